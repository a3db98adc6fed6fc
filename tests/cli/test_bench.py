"""`granite-mlx bench`: the demo checkpoint measured for real, for a short time."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.cli import main
from granite_mlx.cli.model import load_granite_speech

Bench = Callable[..., Any]
SHORT = ("--seconds", "1", "--runs", "1")


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    """Run `granite-mlx bench ARGUMENTS` in this process. -> exit code, stdout, stderr."""

    def bench(*arguments: str | Path, load: Any = load_granite_speech) -> tuple[int, str, str]:
        code = main(["bench", *map(str, arguments)], load=load)
        return code, *capsys.readouterr()

    return bench


def in_float32(model: str | None, **options: Any) -> Any:
    return load_granite_speech(model, **options | {"dtype": "float32"})


def test_a_table_to_paste(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    code, out, err = bench(
        "--seconds", "1", "2", "--runs", "2", "--json", file, load=in_float32
    )  # fmt: skip
    assert (code, err) == (0, "")
    about, blank, head, rule, *rows = out.splitlines()
    assert re.search(r"\d+ (\(.*\) )?cores, \d+ GB, .*granite-mlx .*mlx .*medians of 2", about)
    assert blank == ""
    assert {line.count("|") for line in (head, rule, *rows)} == {9}
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[:3] for row in cells] == [["demo", "float32", "1 s"], ["demo", "float32", "2 s"]]
    written = json.loads(file.read_text())
    assert written["runs"] == 2
    assert written["machine"]["n_cores"] >= 1
    for row, figures in zip(cells, written["figures"], strict=True):
        assert float(row[4]) == pytest.approx(figures["rtfx"], rel=0.06)
        assert figures["rtfx"] == pytest.approx(figures["seconds"] / figures["total_s"]["median"])
        assert figures["total_s"]["n"] == figures["tokens_per_s"]["n"] == 2
        assert 0 < figures["first_token_s"]["median"] <= figures["total_s"]["highest"]
        assert figures["tokens_per_s"]["median"] > 0
        assert figures["peak_bytes"] > 4 * 5_000_000  # at least the weights, in float32


def test_what_cannot_be_loaded_is_told_and_the_rest_measured(bench: Bench) -> None:
    code, out, err = bench("-m", "missing", "-m", "demo", *SHORT)
    assert code == 1
    assert err.startswith("granite-mlx: missing: there is no folder 'missing'")
    assert err.count("\n") == 1
    assert "| demo |" in out


def test_nothing_that_can_be_loaded(bench: Bench) -> None:
    code, out, err = bench("-m", "missing", *SHORT)
    assert (code, out) == (2, "")
    assert "missing" in err


def test_a_length_that_the_model_does_not_hear(bench: Bench) -> None:
    code, out, err = bench("--seconds", "9999", "1", "--runs", "1")
    assert code == 1
    assert "| 1 s |" in out
    assert re.fullmatch(r"granite-mlx: demo: it hears at most \d+ s, not 9999\.\n", err)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--seconds", "0.5"), "0.5"),
        (("--seconds", "long"), "long"),
        (("--seconds", "inf"), "inf"),
        (("--runs", "0"), "1 or more"),
        (("--json", "nowhere/figures.json"), "nowhere/figures.json is no file"),
        (("--json", "."), "is no file"),
    ],
)
def test_arguments_that_make_no_sense(
    bench: Bench, arguments: tuple[str, ...], complaint: str
) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing must be loaded")

    code, out, err = bench(*arguments, load=load)
    assert (code, out) == (2, "")
    assert complaint in err


def test_what_is_done_is_kept_when_it_is_interrupted(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"

    def load(model: str | None, **options: Any) -> Any:
        if model == "later":
            raise KeyboardInterrupt
        return load_granite_speech(model, **options)

    code, out, err = bench("-m", "demo", "-m", "later", *SHORT, "--json", file, load=load)
    assert (code, err) == (130, "granite-mlx: interrupted.\n")
    assert out.count("| demo |") == 1
    assert len(json.loads(file.read_text())["figures"]) == 1
