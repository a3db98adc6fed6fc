"""Drafts of a given quality and batches, on the demo checkpoint."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from granite_mlx.engine import shared_thread


@pytest.fixture(scope="module")
def drafts(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.drafts")


@pytest.fixture(scope="module")
def batches(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.batches")


@pytest.fixture(scope="module")
def speech(benchmarks: ModuleType) -> Iterator[Any]:
    models = importlib.import_module("benchmarks.models")
    with models.loaded_endless(models.model_of("demo", "float32")) as speech:
        yield speech


def test_a_draft_is_as_right_as_it_should_be(drafts: ModuleType) -> None:
    ids = list(range(1000))
    for right in (1.0, 0.9, 0.0):
        draft = drafts.CorruptedDraft(ids, right, 1000, seed=1)
        share = sum(one == other for one, other in zip(draft.ids, ids, strict=True)) / len(ids)
        assert share == pytest.approx(right, abs=0.03)
        assert all(0 <= token < 1000 for token in draft.ids)
    assert draft.propose([5, 6], 3) == draft.ids[2:5]
    assert draft.propose(ids, 3) == []


def test_right_drafts_save_readings_and_wrong_ones_change_nothing(
    drafts: ModuleType, speech: Any
) -> None:
    written = list(shared_thread().run(lambda: list(drafts.measure(speech, 2.0, 40, 2))))
    assert len(written) == 2 * (1 + len(drafts.PROBABILITIES))
    found = {row.right: row for row in drafts.rows(written)}
    assert list(found) == [None, *drafts.PROBABILITIES]
    assert all(row.is_plain_text for row in found.values())
    assert found[None].times_plain == 1
    assert found[None].n_readings == 40
    assert found[1.0].n_readings == 2  # 33 with the prompt, the rest in one go
    assert found[1.0].n_readings < found[0.9].n_readings < found[0.5].n_readings
    assert found[0.0].n_readings <= 40
    table = drafts.table(list(found.values())).splitlines()
    assert len(table) == 2 + len(found)
    assert table[2].startswith("| plain decoding |")


def test_another_text_is_told(drafts: ModuleType) -> None:
    plain = drafts.Written((1, 2, 3), 1.0, 2.0, 3)
    other = drafts.Written((1, 2, 4), 1.0, 1.5, 2)
    rows = drafts.rows([(None, plain), (1.0, other)])
    assert [row.is_plain_text for row in rows] == [True, False]
    assert rows[1].times_plain == pytest.approx(2.0)  # 2 tokens in 0.5 s and not in 1 s
    assert "| NO |" in drafts.table(rows)


def test_segments_are_of_one_length_and_differ(batches: ModuleType) -> None:
    found = batches.segments(4, 3.0)
    assert {len(one) for one in found} == {48000}
    assert len({one.tobytes() for one in found}) == 4


def test_a_batch_writes_what_single_segments_do(batches: ModuleType, speech: Any) -> None:
    heard = batches.segments(3, 2.0)
    run = shared_thread().run
    single, together = run(batches.measure_decoding, speech, heard, 6, 2)
    assert (single.n_rows, together.n_rows) == (1, 3)
    assert [len(ids) for ids in together.ids] == [6, 6, 6]
    assert len(set(together.ids)) > 1
    assert together.ids[:2] == single.ids
    assert single.tokens_per_s > 0 < together.tokens_per_s
    assert batches.same_texts(single, together)
    # Keys and values of 256 positions more for each row, at least.
    text = speech.config.text
    width = text.num_key_value_heads * text.head_dim
    assert batches.row_bytes(single, together) > 2 * 4 * text.num_hidden_layers * width * 256


def test_a_text_that_differs_is_seen(batches: ModuleType) -> None:
    single = batches.Decoding(1, 1.0, 1000, ((1, 2),))
    together = batches.Decoding(3, 2.0, 5000, ((1, 3), (4, 5), (6, 7)))
    assert not batches.same_texts(single, together)
    assert batches.row_bytes(single, together) == 2000
    assert "OTHERS" in batches.report(single, together, [])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("drafts", ["--tokens", "8"]), ("batches", ["--tokens", "4", "--rows", "2"])],
)
def test_the_commands(
    benchmarks: ModuleType, name: str, arguments: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "figures.json"
    given = ["--model", "demo", "--dtype", "float32", "--seconds", "2", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", [name, *given, *arguments])
    assert importlib.import_module(f"benchmarks.{name}").main() == 0
    assert "| tokens/s |" in capsys.readouterr().out
    assert json.loads(file.read_text())["machine"]["n_cores"] >= 1


# The encoder's parts, and the limits


def test_the_parts_of_an_encoder_pass(benchmarks: ModuleType, speech: Any) -> None:
    profile = importlib.import_module("benchmarks.encoder_profile")
    wav = importlib.import_module("granite_mlx.bench.wav")
    features = importlib.import_module("granite_mlx.audio.features")

    def work() -> dict[str, float]:
        network = speech.network
        x = features.encoder_input(wav.example_speech(5), speech.features, network.dtype)
        found: dict[str, float] = profile.profile_encoder(network.encoder, speech.config.encoder, x)
        return found

    found = shared_thread().run(work)
    whole_s = found.pop("whole_s")
    assert sum(found.values()) == pytest.approx(whole_s)
    rest_s = found.pop("rest_s")
    assert all(seconds > 0 for seconds in found.values())
    assert rest_s < whole_s
    assert {"products_s", "relative positions_s", "depthwise convolution_s", "norms_s"} < set(found)


@pytest.mark.slow
def test_limits_are_those_of_a_machine(benchmarks: ModuleType) -> None:
    limits = importlib.import_module("benchmarks.limits")
    products = limits.full_size_products(10)
    assert {(one.k, one.n) for one in products} == {
        (1024, 4096), (4096, 1024), (1024, 3072), (1024, 1024), (2048, 1024),
    }  # fmt: skip
    found = limits.measure_limits(10)
    assert found.flops_per_s["float32"] > 1e8
    assert 1e8 < found.bytes_per_s < 1e13
    assert found.blas
