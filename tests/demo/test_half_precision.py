"""When half precision is too far from float32, and how it is reported."""

import importlib
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def half_precision(demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("demo.half_precision")


@pytest.fixture
def by_dtype(half_precision: ModuleType) -> dict:
    """Ten of a thousand words wrong everywhere."""
    return {
        dtype: {
            f"asr.{group}.words_wrong": half_precision.Tally(10, 1000)
            for group in half_precision.SETS
        }
        for dtype in (half_precision.FULL, *half_precision.HALVES)
    }


@pytest.mark.parametrize("n_wrong", [5, 10, 15])
def test_half_a_point_either_way_is_near_enough(
    n_wrong: int, half_precision: ModuleType, by_dtype: dict
) -> None:
    by_dtype["float16"]["asr.fr.words_wrong"] = half_precision.Tally(n_wrong, 1000)
    assert half_precision.too_far(by_dtype) == []


@pytest.mark.parametrize(
    ("dtype", "group", "n_wrong", "points"),
    [("float16", "en", 16, "+0.60"), ("bfloat16", "digits", 4, "-0.60")],
)
def test_more_is_named_and_so_is_the_dtype(
    dtype: str, group: str, n_wrong: int, points: str, half_precision: ModuleType, by_dtype: dict
) -> None:
    by_dtype[dtype][f"asr.{group}.words_wrong"] = half_precision.Tally(n_wrong, 1000)
    (sentence,) = half_precision.too_far(by_dtype)
    assert sentence.startswith(f"{group}: {dtype} is {points} points from float32")


def test_the_table_has_every_set_and_dtype(half_precision: ModuleType, by_dtype: dict) -> None:
    by_dtype["bfloat16"]["asr.digits.words_wrong"] = half_precision.Tally(3, 400)
    head, *rows = half_precision.table(by_dtype).splitlines()
    assert head.split() == list(by_dtype)
    assert [row.split()[0] for row in rows] == list(half_precision.SETS)
    assert rows[-1].split()[1:] == ["1.00", "%", "10/1000"] * 2 + ["0.75", "%", "3/400"]
