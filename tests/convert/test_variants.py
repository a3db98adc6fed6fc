"""`load("...:q8")`: converted once, kept, found again."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

import granite_mlx
from granite_mlx.convert import variants
from granite_mlx.convert.conversion import convert
from granite_mlx.convert.recipes import RECIPES
from granite_mlx.errors import CheckpointError, GraniteError
from granite_mlx.model.checkpoint import DEMO_FOLDER, Checkpoint, find_checkpoint, split_recipe

from ..model.fake_hub import MODEL_ID, FakeHub
from .small import files, small_checkpoint

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


@pytest.mark.slow
def test_the_demo_is_converted_once_and_hears(conversions: list[Path]) -> None:
    shown: list[tuple[int, int]] = []
    granite_mlx.load("demo:q8", on_progress=lambda *done: shown.append(done)).close()
    assert shown[-1][0] == shown[-1][1] > 0
    with granite_mlx.load("demo:q8") as model:
        assert model.model_id == "demo:q8"
        text = model.transcribe(DEMO_RECORDING).text
    assert text == DEMO_RECORDING.with_suffix(".txt").read_text().strip()
    assert len(conversions) == 1


def test_each_recipe_and_each_state_of_a_folder_has_its_own(
    source: Path, conversions: list[Path]
) -> None:
    first = variants.cached_conversion(str(source), "q8").folder
    other = variants.cached_conversion(str(source), "q4").folder
    small = variants.cached_conversion(str(source), "q4-small").folder
    (source / "chat_template.jinja").write_text("{{ messages[0].content }} else")
    second = variants.cached_conversion(str(source), "q8").folder
    assert len({first, other, small, second}) == len(conversions) == 4
    assert not first.exists()  # of a state that is gone
    variants.cached_conversion(str(source), "q4")
    assert not other.exists()
    assert small.exists()


def test_files_that_were_only_touched_are_the_same(source: Path, conversions: list[Path]) -> None:
    first = variants.cached_conversion(str(source), "q8")
    os.utime(source / "model.safetensors", (1, 1))
    assert variants.cached_conversion(str(source), "q8") == first
    assert len(conversions) == 1


def test_files_that_are_not_read_do_not_matter(source: Path, conversions: list[Path]) -> None:
    first = variants.cached_conversion(str(source), "q8")
    for name in (".DS_Store", "notes.txt", "pytorch_model.bin"):
        (source / name).write_bytes(b"anything")
    assert variants.cached_conversion(str(source), "q8") == first
    assert len(conversions) == 1


def test_a_damaged_source_leaves_the_conversion_of_its_better_days(source: Path) -> None:
    first = variants.cached_conversion(str(source), "q8").folder
    (source / "chat_template.jinja").write_text("{{ no template")
    with pytest.raises(CheckpointError, match="chat template cannot be parsed"):
        variants.cached_conversion(str(source), "q8")
    assert variants.is_whole(first)


def test_large_files_are_known_by_their_time(
    source: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "HASHED_BYTES", 100_000)
    variants.cached_conversion(str(source), "q8")
    os.utime(source / "model.safetensors", (1, 1))
    variants.cached_conversion(str(source), "q8")
    assert len(conversions) == 2


def test_a_recipes_words_do_not_matter_and_its_rules_do(
    source: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPES["q8"]
    first = variants.cached_conversion(str(source), "q8").folder
    reworded = tuple(replace(rule, reason="because") for rule in recipe.rules)
    monkeypatch.setitem(RECIPES, "q8", replace(recipe, rules=reworded, limits=None))
    assert variants.cached_conversion(str(source), "q8").folder == first
    monkeypatch.setitem(RECIPES, "q8", replace(recipe, rules=RECIPES["q6"].rules))
    assert variants.cached_conversion(str(source), "q8").folder != first
    assert len(conversions) == 2


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors", "granite_mlx.json"])
@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_damaged_conversion_is_replaced(
    source: Path, conversions: list[Path], name: str, damage: str
) -> None:
    folder = variants.cached_conversion(str(source), "q8").folder
    if damage == "missing":
        (folder / name).unlink()
    else:
        os.truncate(folder / name, 20)
    assert variants.cached_conversion(str(source), "q8").folder == folder
    assert variants.is_whole(folder)
    assert len(conversions) == 2


def test_a_conversion_that_another_process_has_made_is_taken(
    source: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While this one waited for the lock."""
    lock = variants._Shelf.lock

    @contextmanager
    def late(shelf: variants._Shelf) -> Iterator[None]:
        monkeypatch.setattr(variants._Shelf, "lock", lock)
        variants.cached_conversion(str(source), "q8")
        with lock(shelf):
            yield

    monkeypatch.setattr(variants._Shelf, "lock", late)
    assert variants.is_whole(variants.cached_conversion(str(source), "q8").folder)
    assert len(conversions) == 1


def test_what_is_being_made_is_waited_for(source: Path, conversions: list[Path]) -> None:
    shelf = variants._Shelf(variants.cache_folder(), variants._slug(str(source)), RECIPES["q8"])
    waiting = threading.Thread(target=variants.cached_conversion, args=(str(source), "q8"))
    with shelf.lock():
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert conversions == []
    waiting.join()
    assert len(conversions) == 1


# Models of the hub


@pytest.fixture
def q8(conversions: list[Path]) -> Callable[..., Checkpoint]:
    return lambda revision=None: variants.cached_conversion(MODEL_ID, "q8", revision)


def forget(hub: FakeHub) -> None:
    """The hub's cache is emptied, and the hub out of reach."""
    shutil.rmtree(constants.HF_HUB_CACHE)
    hub.close()


def test_a_model_of_the_hub_is_fetched_and_converted_once(
    hub: FakeHub, source: Path, conversions: list[Path], q8: Callable[..., Checkpoint]
) -> None:
    commit = hub.commit(files(source))
    first = q8()
    assert (first.model_id, first.revision) == (f"{MODEL_ID}:q8", commit)
    n_requests = len(hub.requests)
    assert q8() == first
    assert "README.md" not in hub.fetched()  # only loading's own files
    assert len(hub.requests) == n_requests
    assert len(conversions) == 1
    with granite_mlx.load(f"{MODEL_ID}:q8") as model:
        assert model.network.language_model.lm_head.bits == 8


def test_a_conversion_made_without_the_network_gets_its_head_later(
    hub: FakeHub, source: Path, q8: Callable[..., Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(files(source) | {"out_llm.safetensors": b"as it is"})
    cached = find_checkpoint(MODEL_ID).folder
    (cached / "out_llm.safetensors").unlink()  # as other programs leave it
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not (q8().folder / "out_llm.safetensors").exists()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert (q8().folder / "out_llm.safetensors").read_bytes() == b"as it is"


def test_a_file_of_the_source_that_cannot_be_read(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CheckpointError, match=r"cannot be read \(Permission denied\)"):
        variants.cached_conversion(str(source), "q8")


def test_a_conversion_outlives_its_source(
    hub: FakeHub, source: Path, q8: Callable[..., Checkpoint]
) -> None:
    hub.commit(files(source))
    first = q8()
    forget(hub)
    assert q8() == first
    assert q8(first.revision) == first
    assert q8((first.revision or "")[:9]) == first


def test_no_other_revision_is_taken_for_the_one_asked_for(
    hub: FakeHub, source: Path, q8: Callable[..., Checkpoint]
) -> None:
    content = files(source)
    main = hub.commit(content)
    other = hub.commit(content | {"LICENSE": b"another"}, ref="v2")
    assert q8("v2").revision == other
    forget(hub)
    with pytest.raises(CheckpointError, match="out of reach"):
        q8()
    assert q8("v2").revision == other
    assert main != other


def test_a_branch_that_has_moved_on_leaves_what_others_need(
    hub: FakeHub,
    source: Path,
    q8: Callable[..., Checkpoint],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = files(source)
    hub.commit(content, ref="v1")
    pinned = q8("v1")
    hub.commit(content | {"generation_config.json": b"{}"})
    first = q8()
    hub.commit(content | {"generation_config.json": b"{ }"})
    moved = find_checkpoint(MODEL_ID, hub.refs["main"])
    monkeypatch.setattr(variants, "find_checkpoint", lambda *_: moved)
    second = q8()
    assert second.folder != first.folder
    assert not first.folder.exists()
    assert pinned.folder.exists()


# Names and places


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
