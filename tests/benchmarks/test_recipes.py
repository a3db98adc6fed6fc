"""The table of recipes."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import soundfile

from granite_mlx.convert.compare import Agreement
from granite_mlx.convert.recipes import RECIPES
from granite_mlx.evaluate.error_rates import ErrorRate


@pytest.fixture(scope="module")
def recipes(benchmarks: ModuleType, demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.recipes")


def test_rows_in_markdown(recipes: ModuleType) -> None:
    words = {"en": ErrorRate(1, 40), "fr": ErrorRate(0, 30), "digits": ErrorRate()}
    source = recipes.Row(None, 10_215_984, "float32", words, recipes.Tally(19, 20))
    q8 = recipes.Row("q8", 5_677_240, "float32", words, recipes.Tally(), Agreement(400, 399, 0.5))
    lines = recipes.table([source, q8]).splitlines()
    assert {line.count("|") for line in lines} == {9}
    assert lines[2:] == [
        "| none (bfloat16) | 10.2 MB | 2.50 % | 0.00 % |  | 95.0 % |  |  |",
        "| q8 | 5.7 MB | 2.50 % | 0.00 % |  |  | 0.0013 nats | 99.75 % |",
    ]
    json.dumps(recipes.report([source, q8], {"mlx": "1"}))


def test_a_recording_through_source_and_recipe(
    recipes: ModuleType, demo_recipe: ModuleType, demo_checkpoint: Path
) -> None:
    held_out = importlib.import_module("demo.held_out")
    samples, _ = soundfile.read(demo_checkpoint / "examples" / "digits.flac", dtype="float32")
    said = (demo_checkpoint / "examples" / "digits.txt").read_text().split()
    text = " ".join([*said, "nothing"]).capitalize() + "."  # one word that nobody says
    said_so = held_out.Utterance(
        "en", "digits", ("digits", "-", "-"), text, text, [], False, "fsdd"
    )
    utterance = held_out.Recording("test_digits 0", "digits", said_so, samples)
    asked = []

    def keyword_score(model: Any, utterances: Sequence[Any]) -> Any:
        asked.append([model.dtype, *utterances])
        return recipes.Tally(1, 2)

    source, q8 = recipes.measure([utterance], keyword_score, [RECIPES["q8"]])
    assert asked == [["float32", utterance]] * 2
    n_bytes = (demo_checkpoint / "model.safetensors").stat().st_size
    assert (source.recipe, source.n_bytes, source.agreement) == (None, n_bytes, None)
    expected = {"en": ErrorRate(), "fr": ErrorRate(), "digits": ErrorRate(1, len(said) + 1)}
    assert source.words == expected
    assert (q8.recipe, q8.words, q8.names) == ("q8", expected, recipes.Tally(1, 2))
    assert 0.5 * n_bytes < q8.n_bytes < 0.6 * n_bytes
    assert q8.agreement.n_positions > len(said)
    assert 0 < q8.agreement.mean_kl_nats < 0.01
    assert q8.exceeded == ()
