import hashlib
import json
import re
import signal
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Manifest = Callable[..., Path]

DEMO_TEXTS = {
    "digits.flac": ("en", "four three eight six nine two"),
    "digits_nicolas.flac": ("en", "three eight seven nine six four"),
}


@pytest.fixture
def manifest(tmp_path: Path, recording: Callable[..., Path]) -> Manifest:
    """A manifest of scripted recordings: each row's `hears` is what the model hears there."""

    def manifest(*rows: dict[str, Any], name: str = "m.jsonl") -> Path:
        lines = []
        for n, given in enumerate(rows):
            row = {"audio": f"{n}.wav", "text": "words", **given}
            hears = row.pop("hears", row["text"])
            if hears is not None:
                recording(row["audio"], hears)
            lines.append(json.dumps(row, ensure_ascii=True))
        path = tmp_path / name
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return manifest


def summary(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "utterances.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def cells(out: str) -> list[list[str]]:
    return [re.split(r" {2,}", line) for line in out.splitlines()]


class Page(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_demo_model_on_its_examples(finish: Run, demo_checkpoint: Path, tmp_path: Path) -> None:
    rows = [
        {"audio": str(demo_checkpoint / "examples" / name), "text": text, "language": language}
        for name, (language, text) in DEMO_TEXTS.items()
    ]
    french = {"audio": str(demo_checkpoint / "examples" / "french.flac"), "language": "fr"}
    rows.append({**french, "text": (demo_checkpoint / "examples/french.txt").read_text().strip()})
    source = tmp_path / "examples.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out"
    command = ["eval", source, "-o", out, "-m", "demo", "--normalizer", "basic"]
    ran = finish(*command, real=True)
    assert (ran.code, ran.err) == (0, "")
    head, *body = cells(ran.out)
    table = [dict(zip(head, row, strict=False)) for row in body[:3]]
    assert [row["language"] for row in table] == ["en", "fr", "total"]
    assert {row["WER %"] for row in table} == {"0.00"}

    found = summary(out)
    assert (found["wer"], found["cer"]) == (0.0, 0.0)
    [run] = found["runs"]
    assert run["languages"]["en"]["n_words"] == 12
    total = run["total"]
    assert total["n_utterances"] == 3
    assert total["rtfx"] > 0
    assert 0 < total["latency_median_s"] <= total["latency_p95_s"]
    assert total["peak_memory_bytes"] > 4_000_000  # quantised or not, the weights are part of it
    assert set(found["versions"]) >= {"granite-mlx", "mlx", "whisper-normalizer"}
    weights = (demo_checkpoint / "model.safetensors").read_bytes()
    identity = found["models"]["demo"]["sha256"]["model.safetensors"]
    assert identity == hashlib.sha256(weights).hexdigest()
    assert found["machine"]["n_cores"] >= 1
    assert [line["is_warm"] for line in lines(out)] == [False, True, True]

    page = Page(out / "report.html")
    assert "svg" in page.tags
    assert not {"script", "link", "img", "iframe"} & set(page.tags)

    # Nothing is left to do: no model is loaded, the texts are scored anew.
    times = [line["transcribe_s"] for line in lines(out)]
    again = finish(*command[:-1], "none", real=True)
    assert (again.code, again.err) == (0, "")
    assert summary(out)["scoring"] == {"normalizer": "none"}
    assert [line["transcribe_s"] for line in lines(out)] == times


def test_rates_by_language_and_in_total(run: Run, manifest: Manifest, tmp_path: Path) -> None:
    source = manifest(
        {"text": "one cat sat", "hears": "a cat sat down", "language": "en"},
        {"text": "le chat", "hears": "le chat", "language": "fr"},
        {"text": "", "hears": "thank you", "language": "fr"},
    )
    ran = run("eval", source, "-o", tmp_path / "out", "-m", "fake", "--normalizer", "none")
    assert (ran.code, ran.err) == (0, "")
    found = summary(tmp_path / "out")
    [figures] = found["runs"]
    english, french = figures["languages"]["en"], figures["languages"]["fr"]
    assert english["wer"] == pytest.approx(66.667)
    assert (english["substitutions"], english["insertions"]) == (1, 1)
    assert french["wer"] == 100  # two words where nobody speaks, of two that were said
    assert found["wer"] == figures["total"]["wer"] == 80
    assert found["runs"][0]["name"] == "fake"
    first, _, third = lines(tmp_path / "out")
    assert (first["n_words"], first["substitutions"], first["insertions"]) == (3, 1, 1)
    assert (third["n_words"], third["insertions"]) == (0, 2)


def test_rows_without_a_word_are_left_out_if_asked(
    run: Run, manifest: Manifest, tmp_path: Path
) -> None:
    source = manifest({}, {"text": "ignore_time_segment_in_scoring", "hears": "x"}, {"text": ""})
    ran = run("eval", source, "-o", tmp_path / "out", "-m", "fake", "--skip-empty")
    assert ran.code == 0
    assert "warning: 2 of 3 rows have no word to score." in ran.err
    assert summary(tmp_path / "out")["wer"] == 0


def test_only_a_recording_without_words_has_no_rate(
    run: Run, manifest: Manifest, tmp_path: Path
) -> None:
    ran = run("eval", manifest({"text": "?!", "hears": "x"}), "-o", tmp_path / "out", "-m", "fake")
    assert ran.code == 0
    assert summary(tmp_path / "out")["wer"] is None
    Page(tmp_path / "out" / "report.html")


def test_translations(run: Run, model: Any, manifest: Manifest, tmp_path: Path) -> None:
    source = manifest(
        {"text": None, "target": "the cat sat on the mat", "hears": "the cat sat on the mat"},
        {"text": "un", "target": "one", "hears": "un", "language": "fr"},
    )
    ran = run("eval", source, "-o", tmp_path / "out", "-m", "fake", "--to", "en")
    assert (ran.code, ran.err) == (0, "")
    english = summary(tmp_path / "out")["runs"][0]["total"]["translation"]["en"]
    assert english["n_utterances"] == 2
    assert 0 < english["bleu"] < 100
    assert 0 < english["chrf"] < 100
    assert "tok:13a" in english["bleu_signature"]
    assert [call["task"] for call in model.calls] == ["translate", "transcribe", "translate"]
    assert model.calls[0]["to"] == "en"
    assert "BLEU" in ran.out


def test_keywords(run: Run, model: Any, manifest: Manifest, tmp_path: Path) -> None:
    rows = [
        {"text": "call Erik now", "hears": "call Erik now", "keywords": ["Erik", "Kathryn"]},
        {"text": "Kathryn is here", "hears": "Catherine is Erik", "keywords": ["Erik", "Kathryn"]},
    ]
    source = manifest(*rows)
    ran = run("eval", source, "-o", tmp_path / "out", "-m", "fake")
    assert (ran.code, ran.err) == (0, "")
    keywords = summary(tmp_path / "out")["runs"][0]["total"]["keywords"]
    assert (keywords["precision"], keywords["recall"], keywords["f1"]) == (50, 50, 50)
    assert (keywords["n_listed"], keywords["n_offered"], keywords["n_said"]) == (4, 4, 2)
    assert model.calls[0]["keywords"] == ["Erik", "Kathryn"]

    run("eval", source, "-o", tmp_path / "without", "-m", "fake", "--without-keywords")
    assert model.calls[-1]["keywords"] is None
    keywords = summary(tmp_path / "without")["runs"][0]["total"]["keywords"]
    assert (keywords["f1"], keywords["n_offered"]) == (50, 0)


def test_several_models_and_a_peer(
    run: Run, model: Any, manifest: Manifest, tmp_path: Path
) -> None:
    source = manifest(*({"text": "one two", "hears": "one too"} for _ in range(8)))
    peer = tmp_path / "peer.jsonl"
    peer.write_text(
        "\n".join(
            json.dumps({"audio_filepath": f"{n}.wav", "pred_text": "one two", "duration": 1})
            for n in range(8)
        )
    )
    out = tmp_path / "out"
    arguments = ("-m", "a", "-m", "b", "--speculative", "exact", "--speculative", "off")
    ran = run("eval", source, "-o", out, *arguments, "--compare", peer, "--normalizer", "basic")
    assert (ran.code, ran.err) == (0, "")
    found = summary(out)
    names = ["a, drafts exact", "a, drafts off", "b, drafts exact", "b, drafts off", "peer"]
    assert [one["name"] for one in found["runs"]] == names
    assert [one["model"] for one in model.loaded] == ["a", "a", "b", "b"]
    assert {call["speculative"] for call in model.calls} == {"exact", "off"}
    same, *_, best = found["comparisons"]
    assert same["n_changed"] == 0
    assert same["differences"][0]["difference"] == 0
    assert not same["differences"][0]["is_significant"]
    assert (best["run"], best["baseline"]) == ("peer", "a, drafts exact")
    assert best["n_changed"] == 8
    assert best["differences"][0] == {
        "figure": "wer",
        "n_utterances": 8,
        "difference": -50,
        "interval": [-50, -50],
        "is_significant": True,
    }
    assert found["runs"][-1]["total"]["rtfx"] is None

    assert found["notes"] == []

    # An earlier evaluation is a run to compare with, too.
    ran = run("eval", source, "-o", tmp_path / "later", "-m", "c", "--compare", out)
    assert ran.code == 0
    assert [one["name"] for one in summary(tmp_path / "later")["runs"]] == [
        "c", *(f"out: {name}" for name in names[:-1])
    ]  # fmt: skip


def test_what_a_peer_lacks_is_told(
    run: Run, model: Any, manifest: Manifest, tmp_path: Path
) -> None:
    source = manifest(*({"text": "one two", "hears": "one too"} for _ in range(6)))
    peer = tmp_path / "peer.jsonl"
    lines = [{"id": "2.wav", "hypothesis": "one two"}, {"id": "4.wav", "error": "it failed"}]
    lines += [{"id": f"other {n}", "hypothesis": "one"} for n in range(4)]
    peer.write_text("\n\n".join(map(json.dumps, lines)))
    out = tmp_path / "out"
    ran = run("eval", source, "-o", out, "-m", "fake", "--compare", peer)
    assert ran.code == 0
    lacks, strange = summary(out)["notes"]
    assert lacks == (
        "peer has no text for 5 of 6 rows ('0.wav', '1.wav', '3.wav', ...): its own figures are "
        "those of the other 1, differences those of the rows that both runs have."
    )
    assert strange == (
        "peer has 4 lines about rows that are not evaluated here ('other 0', 'other 1', "
        "'other 2', ...); they were left out."
    )
    assert ran.err == f"granite-mlx: warning: {lacks}\ngranite-mlx: warning: {strange}\n"
    head, _, last, *_ = ran.out.splitlines()
    assert last[head.index("missing") :].split()[0] == "5"
    page = (out / "report.html").read_text()
    assert "peer has no text for 5 of 6 rows" in page
    (comparison,) = summary(out)["comparisons"]
    assert comparison["n_shared"] == 1


def test_recordings_at_once(run: Run, model: Any, manifest: Manifest, tmp_path: Path) -> None:
    rows = [{"language": language} for language in ("en", "en", "en", "fr", "fr")]
    rows[1]["hears"] = "!audio too bad"
    ran = run(
        "eval", manifest(*rows), "-o", tmp_path / "out", "-m", "fake", "--batch-size", "2"
    )  # fmt: skip
    assert ran.code == 1
    assert [[Path(one).name for one in batch] for batch in model.batches] == [
        ["0.wav", "1.wav"], ["3.wav", "4.wav"]
    ]  # fmt: skip
    assert [line["n_together"] for line in lines(tmp_path / "out")] == [2, 1, 1, 2, 2]
    assert [line["error"] for line in lines(tmp_path / "out")] == [None, "too bad", *[None] * 3]
    assert summary(tmp_path / "out")["wer"] == 0


def test_a_row_that_fails_is_told_and_tried_again(
    run: Run, model: Any, manifest: Manifest, recording: Callable[..., Path], tmp_path: Path
) -> None:
    source = manifest({}, {"hears": None}, {"hears": "!bug"}, {"hears": "!language no Klingon"})
    out = tmp_path / "out"
    command = ("eval", source, "-o", out, "-m", "fake")
    ran = run(*command)
    assert ran.code == 1
    missing, bug, language, last = ran.err.splitlines()
    assert missing == f"granite-mlx: fake: 1.wav: {tmp_path / '1.wav'}: there is no such file."
    assert "2.wav: ZeroDivisionError: division by zero; this is a bug" in bug
    assert language == "granite-mlx: fake: 3.wav: no Klingon"
    assert "3 utterances failed; the same command tries them again." in last
    assert summary(out)["runs"][0]["total"]["n_failed"] == 3
    assert summary(out)["wer"] == 0

    for name in ("1.wav", "2.wav", "3.wav"):
        recording(name, "word")
    n_calls = len(model.calls)
    ran = run(*command)
    assert (ran.code, ran.err) == (0, "")
    assert len(model.calls) == n_calls + 3
    assert [line["error"] for line in lines(out)] == [None] * 4
    assert summary(out)["wer"] == 75


def test_nothing_goes_well(run: Run, model: Any, manifest: Manifest, tmp_path: Path) -> None:
    source = manifest(*({"hears": "!value too many"} for _ in range(50)))
    ran = run("eval", source, "-o", tmp_path / "out", "-m", "fake")
    assert (ran.code, ran.out) == (2, "")
    *_, stopped, last = ran.err.splitlines()
    assert stopped == "granite-mlx: fake: none of the first went well; stopped."
    assert last == f"granite-mlx: no utterance of {source} could be evaluated."
    assert len(model.calls) == 20
    assert not (tmp_path / "out" / "summary.json").exists()


def test_a_model_that_cannot_be_loaded(run: Run, manifest: Manifest, tmp_path: Path) -> None:
    source = manifest({})
    ran = run("eval", source, "-o", tmp_path / "out", "-m", "missing", "-m", "fake")
    assert ran.code == 1
    assert ran.err == "granite-mlx: missing: there is no model called missing.\n"
    assert summary(tmp_path / "out")["run"] == "fake"
    assert run("eval", source, "-o", tmp_path / "none", "-m", "missing").code == 2


def test_ctrl_c_keeps_what_is_done(
    run: Run, model: Any, manifest: Manifest, recording: Callable[..., Path], tmp_path: Path
) -> None:
    source, out = manifest({}, {"hears": "!interrupt"}, {}), tmp_path / "out"
    command = ("eval", source, "-o", out, "-m", "fake")
    ran = run(*command)
    assert (ran.code, ran.out) == (130, "")
    assert ran.err == (
        "granite-mlx: interrupted; 1 of 3 utterances are done. The same command goes on from "
        "there.\n"
    )
    recording("1.wav", "words")
    assert run(*command).code == 0
    assert len(model.calls) == 4
    assert [line["id"] for line in lines(out)] == ["0.wav", "1.wav", "2.wav"]


def test_a_crash_in_the_middle_of_a_line(
    start: Run, finish: Run, manifest: Manifest, recording: Callable[..., Path], tmp_path: Path
) -> None:
    flag, out = tmp_path / "flag", tmp_path / "out"
    source = manifest({}, {"hears": f"!listening {flag}"})
    command = ("eval", source, "-o", out, "-m", "fake")
    with start(*command) as process:
        while not flag.exists():
            assert process.poll() is None
        # Meanwhile nobody else may write there.
        other = finish(*command)
        assert other.code == 2
        assert "another process is at work there" in other.err
        process.send_signal(signal.SIGKILL)
        process.wait()
    with open(out / "utterances.jsonl", "ab") as file:
        file.write(b'{"run": "fake", "id": "1.w')
    recording("1.wav", "words")
    ran = finish(*command)
    assert (ran.code, ran.err) == (0, "")
    assert [line["id"] for line in lines(out)] == ["0.wav", "1.wav"]


def test_a_changed_command_is_refused(run: Run, manifest: Manifest, tmp_path: Path) -> None:
    source, out = manifest({}, {}), tmp_path / "out"
    assert run("eval", source, "-o", out, "-m", "fake").code == 0
    before = (out / "utterances.jsonl").read_bytes()
    for change, name in (
        (("--punctuate",), "punctuate"),
        (("-m", "other"), "model"),
        (("--limit", "1"), "rows"),
        (("--language", "fr"), "rows"),
    ):
        ran = run("eval", source, "-o", out, "-m", "fake", *change)
        assert (ran.code, ran.out) == (2, "")
        assert f"differs from this one in {name}; name another folder" in ran.err
        assert ran.err.count("\n") == 1
    assert (out / "utterances.jsonl").read_bytes() == before
    # What only the scoring depends on may change.
    assert run("eval", source, "-o", out, "-m", "fake", "--seed", "1", "--samples", "9").code == 0


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("settings.json", "{", "its settings.json is damaged"),
        ("utterances.jsonl", "{}\n", "it holds utterances.jsonl without settings.json"),
    ],
)
def test_a_folder_of_something_else(
    name: str, content: str, complaint: str, run: Run, manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(content)
    ran = run("eval", manifest({}), "-o", tmp_path / "out", "-m", "fake")
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err


def test_a_line_that_is_damaged(run: Run, manifest: Manifest, tmp_path: Path) -> None:
    source, out = manifest({}), tmp_path / "out"
    assert run("eval", source, "-o", out, "-m", "fake").code == 0
    for line, complaint in (
        (b"nonsense\n", "line 2, is no JSON"),
        (b'{"run": 5, "id": "a"}\n', "line 2, is none of an evaluation (run is no text)"),
    ):
        good = (out / "utterances.jsonl").read_bytes()
        (out / "utterances.jsonl").write_bytes(good + line)
        ran = run("eval", source, "-o", out, "-m", "fake")
        assert (ran.code, ran.out) == (2, "")
        assert complaint in ran.err
        (out / "utterances.jsonl").write_bytes(good)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("-m", "a", "-m", "a"), "-m: the same is given twice"),
        (("--speculative", "off", "--speculative", "off"), "--speculative: the same"),
        (("--keyword-boost", "2"), "--keyword-boost has no keywords to raise; leave it out."),
        (("--compare", "nowhere"), "nowhere cannot be read (No such file or directory)"),
        (("--compare", "empty.jsonl"), "no line has a text for a row of this source"),
        (("--compare", "other.jsonl"), "line 1, has neither hypothesis"),
        (("--compare", "twice.jsonl"), "line 3: row '0.wav' is there already"),
        (("--compare", "keys.jsonl"), "line 1: 'id' stands twice in one object"),
        (("-o", "empty.jsonl"), "it cannot be written (File exists)"),
        (("--normalizer", "other"), "invalid choice"),
        (("--samples", "0"), "0 is not 1 or more"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: tuple[str, ...],
    complaint: str,
    run: Run,
    model: Any,
    manifest: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = manifest({})
    monkeypatch.chdir(tmp_path)
    Path("empty.jsonl").write_text("")
    Path("other.jsonl").write_text('{"id": "0.wav", "words": 7}')
    line = '{"id": "0.wav", "hypothesis": "one"}'
    Path("twice.jsonl").write_text(f"{line}\n\n{line}")
    Path("keys.jsonl").write_text('{"id": "0.wav", "id": "1.wav", "hypothesis": "one"}')
    ran = run("eval", source, "-o", "out", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1
    assert not model.loaded


def test_an_output_folder_is_needed(run: Run, manifest: Manifest) -> None:
    ran = run("eval", manifest({}))
    assert ran.code == 2
    assert "-o" in ran.err


def test_what_stands_in_texts_stays_text(run: Run, manifest: Manifest, tmp_path: Path) -> None:
    bad = '<script>alert("1")</script> & <img src=x onerror=alert(1)>'
    rows = [
        {"text": bad, "hears": f"{bad} more", "id": bad, "language": "en"},
        {"text": "nul \x00 lone \ud800 half", "hears": "other \x1b[31m\nwords", "id": "red"},
    ]
    source, out = manifest(*rows), tmp_path / "out"
    ran = run("eval", source, "-o", out, "-m", "fake<b>", "--normalizer", "none")
    assert ran.code == 0
    page = Page(out / "report.html")
    assert not {"script", "img", "b>"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
    assert "<script>alert(" in page.text
    assert bad in page.text
    assert "\x00" not in page.text
    assert lines(out)[0]["reference"] == bad
    addresses = [value for _, value in page.attributes if value and "//" in value]
    assert addresses == []
    assert "\x1b" not in ran.out + ran.err
