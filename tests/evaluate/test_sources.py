import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Audio, Dataset, DatasetDict

from granite_mlx.errors import AudioError
from granite_mlx.evaluate.errors import EvaluationError
from granite_mlx.evaluate.hub import Name
from granite_mlx.evaluate.rows import Defaults, Row, Source
from granite_mlx.evaluate.sources import read_source

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def read(path: Path | str, **defaults: Any) -> Source:
    return read_source(str(path), Defaults(**defaults))


def facts(row: Row) -> tuple[Any, ...]:
    return row.id, row.text, row.language, row.target, row.target_language, row.keywords


ROWS = [
    ("a.wav", "one two", "en", None, None, ("Eric", "New York")),
    ("7", "un", "fr", "one", "en", ()),
]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "m.jsonl",
            '\ufeff{"audio": "a.wav", "text": "one two", "language": "English", '
            '"keywords": ["Eric", "New York"]}\n\n'
            '{"id": 7, "audio": "b.wav", "text": "un", "language": "fr-CA", "target": "one", '
            '"target_language": "en"}',
        ),
        (
            "m.csv",
            "id,audio,text,language,target,target_language,keywords\r\n"
            'a.wav,a.wav,one two,en,,,"Eric; New York"\r\n'
            "7,b.wav,un,fr,one,en,\r\n",
        ),
        (
            "m.tsv",
            "id\taudio_filepath\ttext\tlanguage\ttarget\ttarget_language\tkeywords\n"
            "a.wav\ta.wav\tone two\ten\t\t\tEric;New York\n"
            "7\tb.wav\tun\tfr\tone\ten\t\n",
        ),
    ],
)
def test_manifests_say_the_same_in_every_form(name: str, content: str, write: Write) -> None:
    path = write(name, content)
    source = read(path)
    assert [facts(row) for row in source.rows] == ROWS
    assert [row.audio for row in source.rows] == [path.parent / "a.wav", path.parent / "b.wav"]
    assert source.notes == ()


def test_the_digest_is_of_what_is_asked(write: Write) -> None:
    digests = {
        read(write(f"{n}.jsonl", json.dumps({"audio": "a.wav", **row}))).digest
        for n, row in enumerate(
            [{"text": "a"}, {"text": "b"}, {"text": "a", "language": "en"}, {"text": "a"}]
        )
    }
    assert len(digests) == 3


def test_tabs_part_cells_and_quotation_marks_are_text(write: Write) -> None:
    source = read(write("m.tsv", 'audio\ttext\na.wav\t"Stop, he said\n'))
    assert source.rows[0].text == '"Stop, he said'


def test_an_empty_text_is_that_nobody_speaks(write: Write) -> None:
    path = write("m.csv", "audio,text\na.wav,\nb.wav,words\nc.wav,ignore_time_segment_in_scoring\n")
    assert [row.text for row in read(path).rows][:2] == ["", "words"]
    source = read(path, skip_empty=True)
    assert [row.text for row in source.rows] == ["words"]
    assert source.notes == ("2 of 3 rows have no word to score.",)


def test_columns_that_mean_nothing_are_told(write: Write) -> None:
    path = write("m.jsonl", '{"audio": "a.wav", "text": "a", "lang": "fr", "duration": 1}')
    assert read(path).notes == (f"{path}: columns that are not used: lang, duration.",)


def test_what_rows_do_not_say_is_given_for_all(write: Write) -> None:
    path = write("m.jsonl", '{"audio": "a.wav", "text": "a"}\n{"audio": "b.wav", "target": "b"}')
    first, second = read(path, language="fr", target_language="en").rows
    assert facts(first) == ("a.wav", "a", "fr", None, None, ())
    assert facts(second) == ("b.wav", None, "fr", "b", "en", ())
    assert len(read(path, limit=1).rows) == 1


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("m.jsonl", '{"audio": "a", "text": "x"}\n{"audio": ', "m.jsonl, line 2, is no JSON"),
        ("m.jsonl", "[1]", "line 1, is no object"),
        ("m.jsonl", "[" * 100_000, "line 1, is no JSON"),
        ("m.jsonl", b'{"audio": "a", "text": "x"}\n\xff', "line 2, is not UTF-8"),
        ("m.jsonl", "", "holds no rows"),
        ("m.jsonl", '{"text": "x"}', "names no recording; it needs audio, a path (its columns: te"),
        ("m.jsonl", '{"audio": "", "text": "x"}', "names no recording"),
        ("m.jsonl", '{"audio": "a\\u0000", "text": "x"}', "names no recording"),
        ("m.jsonl", '{"audio": "a"}', "line 1 has neither a text nor a target"),
        ("m.jsonl", '{"audio": "a", "text": 7}', "line 1: text must be a text, not 7"),
        ("m.jsonl", '{"audio": "a", "text": "", "keywords": 7}', "keywords must be a list"),
        ("m.jsonl", '{"audio": "a", "text": "", "keywords": ["a,b"]}', "contains a comma"),
        ("m.jsonl", '{"audio": "a", "text": "", "keywords": [7]}', "must be a string"),
        ("m.jsonl", '{"audio": "a", "text": "", "language": "xx"}', "line 1: the language 'xx'"),
        ("m.jsonl", '{"audio": "a", "target": "x"}', "target in an unknown language"),
        (
            "m.jsonl",
            '{"audio": "a", "text": "x"}\n{"audio": "a", "text": "y"}',
            "line 2: the id 'a' is there already",
        ),
        ("m.jsonl", '{"audio": "a", "text": "x", "text": "y"}', "line 1: 'text' stands twice"),
        ("m.jsonl", '{"audio": "a", "text": "x", "id": ""}', "line 1: id must be 1 to 500 char"),
        ("m.jsonl", '{"audio": "a", "text": "x", "id": "a\\nb"}', r"not 'a\nb'"),
        ("m.jsonl", '{"audio": "a", "text": "x", "id": 1.5}', "a whole number, not 1.5"),
        ("m.jsonl", '{"audio": "a", "text": "x", "id": true}', "a whole number, not True"),
        ("m.jsonl", '{"audio": "a", "text": "x", "id": ["b"]}', "a whole number, not ['b']"),
        ("m.tsv", "audio\ttext\ttext\na.wav\tx\ty\n", "line 1, has a column 'text' twice"),
        ("m.csv", "audio,text,,\na.wav,x,,\n", "line 1, has two columns without a name"),
        ("m.csv", "audio,text\na.wav,one,two\n", "line 2, has 3 cells under 2 columns"),
        ("m.csv", 'audio,text\na.wav,"one\n', "is no line of a table"),
        ("m.csv", "a.wav,text\n", "holds no rows"),
        ("m.txt", "a.wav text", "is no manifest; its name must end in .jsonl"),
    ],
)
def test_one_sentence_says_what_where_and_what_to_do(
    name: str, content: str | bytes, complaint: str, write: Write
) -> None:
    with pytest.raises(EvaluationError) as caught:
        read(write(name, content))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    for name in (tmp_path / "m.jsonl", tmp_path / "folder", "nothing.csv"):
        with pytest.raises(EvaluationError, match=f"no file or folder {name}"):
            read(name)
    with pytest.raises(EvaluationError, match="holds nothing to evaluate"):
        read(tmp_path)


def test_librispeech(write: Write, tmp_path: Path) -> None:
    write("clean/84/121/84-121.trans.txt", "84-121-0000 GO DO YOU HEAR\n84-121-0001\n")
    write("clean/61/70/61-70.trans.txt", "61-70-0000 HE SAID\n")
    write("clean/84/121/84-121-0000.wav", "")
    source = read(tmp_path / "clean")
    assert [(row.id, row.text) for row in source.rows] == [
        ("61-70-0000", "HE SAID"), ("84-121-0000", "GO DO YOU HEAR"), ("84-121-0001", "")
    ]  # fmt: skip
    missing, there, _ = source.rows
    assert there.open() == str(tmp_path / "clean/84/121/84-121-0000.wav")
    with pytest.raises(AudioError, match=r"61-70-0000\.flac: there is no such file"):
        missing.open()


def test_a_text_beside_each_recording(demo_checkpoint: Path) -> None:
    source = read(demo_checkpoint / "examples")
    assert source.rows[0].id == "digits.flac"
    assert source.rows[0].text == "four three eight six nine two"


@pytest.fixture
def dataset(demo_checkpoint: Path) -> Dataset:
    """Two recordings, one as its bytes and one as a path, as `datasets` keeps them."""
    examples = demo_checkpoint / "examples"
    stored = [
        {"bytes": (examples / "digits.flac").read_bytes(), "path": None},
        {"bytes": None, "path": str(examples / "french.flac")},
    ]
    columns = {
        "audio": stored,
        "sentence": ["four three", "où est"],
        "id": ["x", "x"],
        "language": ["en", "French"],
        "keywords": [["Eric"], []],
        "speaker": [1, 2],
    }
    return Dataset.from_dict(columns).cast_column("audio", Audio())


@pytest.mark.parametrize("form", ["saved", "splits", "parquet"])
def test_data_sets(
    form: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    if form == "saved":
        dataset.save_to_disk(folder)
    elif form == "splits":
        DatasetDict({"test": dataset}).save_to_disk(folder)
    else:
        folder.mkdir()
        dataset.to_parquet(folder / "test-00000-of-00001.parquet")
    source = read(folder)
    assert [facts(row) for row in source.rows] == [
        ("0-x", "four three", "en", None, None, ("Eric",)),
        ("1-x", "où est", "fr", None, None, ()),
    ]
    assert source.notes == (f"{folder}: columns that are not used: speaker.",)
    for row in source.rows:
        audio = row.open()
        assert not isinstance(audio, str)
        with audio:
            assert audio.read(4) == b"fLaC"
    if form != "saved":
        assert len(read(f"{folder}::test").rows) == 2
        with pytest.raises(EvaluationError, match="nosuch"):
            read(f"{folder}::nosuch")


def test_a_data_set_without_audio_or_text(dataset: Dataset, tmp_path: Path) -> None:
    dataset.remove_columns("audio").save_to_disk(tmp_path / "silent")
    with pytest.raises(EvaluationError, match="has no column of audio; it has sentence"):
        read(tmp_path / "silent")
    dataset.remove_columns("sentence").save_to_disk(tmp_path / "mute")
    with pytest.raises(EvaluationError, match="no column has the text"):
        read(tmp_path / "mute")


def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(EvaluationError, match=r"pip install 'granite-mlx\[eval\]'"):
        read("someone/something")


def test_names_of_data_sets() -> None:
    assert Name.parse("a/b") == Name("a/b", None, "test")
    assert Name.parse("a/b:clean") == Name("a/b", "clean", "test")
    assert Name.parse("a/b::test.clean") == Name("a/b", None, "test.clean")
    assert Name.parse("a/b:c:d") == Name("a/b", "c", "d")
    for wrong in ("a/b:c:d:e", ":c"):
        with pytest.raises(EvaluationError, match="is no data set"):
            Name.parse(wrong)
