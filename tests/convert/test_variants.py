"""`load("...:q8")`: converted once, kept, found again."""

import os
import shutil
from pathlib import Path

import pytest

import granite_mlx
from granite_mlx.convert import variants
from granite_mlx.convert.conversion import convert
from granite_mlx.errors import CheckpointError, GraniteError
from granite_mlx.model.checkpoint import DEMO_FOLDER, split_recipe

from .small import small_checkpoint

DEMO_RECORDING = DEMO_FOLDER / "examples" / "digits.flac"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(variants.CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return small_checkpoint(tmp_path / "source")


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The destinations of every conversion that is made."""
    made: list[Path] = []

    def counted(source, destination, **options):
        made.append(Path(destination))
        return convert(source, destination, **options)

    monkeypatch.setattr(variants, "convert", counted)
    return made


def test_the_demo_is_converted_once_and_hears(conversions: list[Path]) -> None:
    shown: list[tuple[int, int]] = []
    for _ in range(2):
        with granite_mlx.load("demo:q8", on_progress=lambda *done: shown.append(done)) as model:
            assert model.model_id == "demo:q8"
            text = model.transcribe(DEMO_RECORDING).text
        assert text == DEMO_RECORDING.with_suffix(".txt").read_text().strip()
    assert len(conversions) == 1
    assert shown[-1][0] == shown[-1][1] > 0


def test_each_recipe_and_each_state_of_a_folder_has_its_own(
    source: Path, conversions: list[Path]
) -> None:
    first = variants.cached_conversion(str(source), "q8")
    assert variants.cached_conversion(str(source), "q4").folder != first.folder
    os.utime(source / "model.safetensors", (1, 1))
    assert variants.cached_conversion(str(source), "q8").folder != first.folder
    assert len(conversions) == 3


def test_a_damaged_conversion_is_replaced(source: Path, conversions: list[Path]) -> None:
    folder = variants.cached_conversion(str(source), "q8").folder
    (folder / "tokenizer.json").unlink()
    assert variants.cached_conversion(str(source), "q8").folder == folder
    assert variants.is_whole(folder)
    assert len(conversions) == 2


def test_a_conversion_outlives_its_source(
    source: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's checkpoint has left its cache: the small one is used without a network call."""
    here = [True]
    checkpoint = variants.Checkpoint(source, "owner/granite", revision="0123456789abcdef")
    monkeypatch.setattr(variants, "is_local_or_cached", lambda base: here[0])
    monkeypatch.setattr(variants, "find_checkpoint", lambda *_: checkpoint)
    monkeypatch.setattr(
        variants, "convert", lambda _, folder, **__: shutil.copytree(source, folder)
    )
    first = variants.cached_conversion("owner/granite", "q8")
    assert "0123456789ab" in first.folder.name
    assert first.revision == checkpoint.revision
    here[0] = False
    monkeypatch.setattr(variants, "find_checkpoint", lambda *_: pytest.fail("asked for the source"))
    assert variants.cached_conversion("owner/granite", "q8").folder == first.folder


def test_an_unknown_recipe_is_refused_before_anything_is_done(conversions: list[Path]) -> None:
    with pytest.raises(CheckpointError, match=r"recipe 'q9'.*q8, q6, q4, q4-small"):
        granite_mlx.load("demo:q9")
    assert not conversions


def test_a_cache_that_cannot_be_written_is_one_sentence(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(variants.CACHE_VARIABLE, str(tmp_path / "file" / "below"))
    with pytest.raises(GraniteError, match=r"below"):
        variants.cached_conversion(str(source), "q8")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(variants.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert variants.cache_folder() == tmp_path / "granite-mlx"
    monkeypatch.setattr("sys.platform", "darwin")
    assert variants.cache_folder() == Path.home() / "Library" / "Caches" / "granite-mlx"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("demo:q8", ("demo", "q8")),
        ("ibm-granite/granite-4.0-1b-speech:q4", ("ibm-granite/granite-4.0-1b-speech", "q4")),
        ("demo", None),
        ("no such thing:q8", None),
        ("C:q8", None),
    ],
)
def test_what_has_a_recipe_behind_it(model: str, expected: tuple[str, str] | None) -> None:
    assert split_recipe(model) == expected


def test_a_folder_with_a_colon_in_its_name_is_a_folder(tmp_path: Path) -> None:
    folder = small_checkpoint(tmp_path / "odd:q8")
    assert split_recipe(str(folder)) is None
    assert split_recipe(f"{folder}:q8") == (str(folder), "q8")


def test_the_environment_may_name_a_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANITE_MLX_MODEL", "demo:q4")
    assert split_recipe(None) == ("demo", "q4")
