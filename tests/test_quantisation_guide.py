"""docs/quantisation.md against what it is about: the recipes, their limits, what fits which Mac."""

import re
from pathlib import Path

import pytest

from granite_mlx.convert.recipes import RECIPES, ROOMS, Rule, read_recipe
from granite_mlx.convert.recordings import packaged_recordings
from granite_mlx.model import memory
from granite_mlx.model.memory import PUBLISHED_BYTES, RECIPE_BYTES, WORKING_BYTES, has_room

GIB = 1 << 30
METALS_SHARE = 2 / 3


@pytest.fixture(scope="module")
def guide(repository: Path) -> str:
    return (repository / "docs" / "quantisation.md").read_text(encoding="utf-8")


def rows_after(guide: str, head: str) -> list[tuple[str, ...]]:
    """The rows of the first table after a line that starts with `head`."""
    text = guide[guide.index(f"\n{head}") :]
    table = re.search(r"^\|.*\n\|---.*\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    assert table is not None
    return [tuple(map(str.strip, line.strip("|").split("|"))) for line in table[1].splitlines()]


def stored_as(rule: Rule) -> str:
    return "floating" if rule.format is None else rule.format.describe()


def percent(share: float) -> str:
    return f"{100 * share:g} %"


def test_it_has_every_recipe(guide: str) -> None:
    sections = re.findall(r"^### (q\S+): (.+)$", guide, flags=re.MULTILINE)
    assert sections == [(recipe.name, recipe.summary) for recipe in RECIPES.values()]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_rules_and_reasons(guide: str, name: str) -> None:
    rules = RECIPES[name].rules
    assert rows_after(guide, f"### {name}: ") == [
        (f"`{rule.pattern}`", stored_as(rule), rule.reason) for rule in rules
    ]


def test_the_limits(guide: str) -> None:
    told = []
    for recipe in RECIPES.values():
        limits = recipe.limits
        assert limits is not None
        assert limits.min_top1 is not None
        assert limits.max_relative_error is not None
        errors = ", ".join(percent(limits.max_relative_error[room]) for room in ROOMS)
        kl, words = f"{limits.max_kl_nats:g} nats", f"+{limits.max_wer_points:g} points"
        told.append((recipe.name, kl, percent(limits.min_top1), words, errors))
    assert rows_after(guide, "A recipe has limits.") == told


def test_the_recipe_file_is_one(guide: str, tmp_path: Path) -> None:
    fence = re.search(r"^```toml\n(.*?)^```$", guide, flags=re.MULTILINE | re.DOTALL)
    assert fence is not None
    (tmp_path / "mine.toml").write_text(fence[1], encoding="utf-8")
    recipe = read_recipe(tmp_path / "mine.toml")
    assert len(recipe.rules) == 3
    assert recipe.limits is not None
    assert set(recipe.limits.max_relative_error or ()) == set(ROOMS)


def test_what_fits_which_mac(guide: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [
        (
            name,
            gigabytes(size, 2),
            gigabytes(size + WORKING_BYTES, 1),
            smallest_mac(size, monkeypatch),
        )
        for name, size in {"none": PUBLISHED_BYTES, **RECIPE_BYTES}.items()
    ]
    assert rows_after(guide, "## Which one to take") == told


def gigabytes(n_bytes: int, digits: int) -> str:
    return f"{n_bytes / 1e9:.{digits}f} GB"


def smallest_mac(n_bytes: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """By the rule that `granite-mlx doctor` goes by, and by what Metal recommends."""
    for size in (8, 16, 24):
        share = int(size * GIB * METALS_SHARE)
        info = {"memory_size": size * GIB, "max_recommended_working_set_size": share}
        monkeypatch.setattr(memory, "_metal_info", lambda info=info: info)
        if has_room(n_bytes) and n_bytes + WORKING_BYTES <= share:
            return f"{size} GB"
    raise AssertionError("no Mac is large enough")


def test_the_recordings_that_come_along(guide: str) -> None:
    recordings = packaged_recordings()
    texts = [recording.reference or "" for recording in recordings]
    assert len(recordings) == 5
    assert "the recordings that come along, five short ones" in guide
    assert f"among the {sum(len(text.split()) for text in texts)} words of the recordings" in guide
