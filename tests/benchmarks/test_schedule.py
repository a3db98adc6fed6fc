"""What is measured in which order, what is remembered, and what the figures are."""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from granite_mlx.model.config import SpeechConfig, parse_config


@pytest.fixture(scope="module")
def schedule(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.schedule")


@pytest.fixture(scope="module")
def journal(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.journal")


@pytest.fixture(scope="module")
def summary(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.summary")


@pytest.fixture(scope="module")
def report(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.report")


KINDS = {"limits": ["limits"], "a": ["stages", "end_to_end", "profile"], "b": ["end_to_end"]}


def test_in_turn_and_repetitions_last(schedule: ModuleType) -> None:
    settings = schedule.Settings((5.0, 60.0), n_runs=2, n_tokens=4, budget_s=1)
    told = [str(item) for item in schedule.items(KINDS, settings)]
    assert told == [
        "limits: limits, 5 s, run 1",
        "a: stages, 5 s, run 1", "a: stages, 60 s, run 1",
        "a: end_to_end, 5 s, run 1", "b: end_to_end, 5 s, run 1",
        "a: end_to_end, 60 s, run 1", "b: end_to_end, 60 s, run 1",
        "a: profile, 5 s, run 1",
        "limits: limits, 5 s, run 2",
        "a: stages, 5 s, run 2", "a: stages, 60 s, run 2",
        "a: end_to_end, 5 s, run 2", "b: end_to_end, 5 s, run 2",
        "a: end_to_end, 60 s, run 2", "b: end_to_end, 60 s, run 2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "profiled_s"), [((10.0, 30.0), 30.0), ((5.0, 10.0, 120.0), 10.0), ((60.0,), 60.0)]
)
def test_which_length_is_itemised(
    schedule: ModuleType, seconds: tuple[float, ...], profiled_s: float
) -> None:
    assert schedule.Settings(seconds, 1, 1, 1).profiled_s == profiled_s


def test_the_presets_keep_their_promise(schedule: ModuleType) -> None:
    assert schedule.QUICK.budget_s < 15 * 60
    assert schedule.FULL.budget_s < 60 * 60
    assert schedule.FULL.seconds == (5, 10, 30, 60, 120)


def test_texts_that_end_by_themselves_have_room(schedule: ModuleType) -> None:
    settings = schedule.Settings((10.0,), 1, 16, 1)
    assert schedule.n_tokens(settings, "end_to_end", 120, True) == 16
    assert schedule.n_tokens(settings, "stages", 120, False) == 16
    assert schedule.n_tokens(settings, "end_to_end", 120, False) == 480
    assert schedule.n_tokens(settings, "end_to_end", 5, False) == 64


def test_longer_recordings_are_expected_to_take_longer(schedule: ModuleType) -> None:
    took_s = {
        schedule.Item("a", "stages", 10.0, 1): 4.0,
        schedule.Item("a", "stages", 10.0, 2): 5.0,
        schedule.Item("a", "stages", 30.0, 1): 12.0,
        schedule.Item("b", "stages", 30.0, 1): 99.0,
    }
    expected = [
        schedule.expected_s(took_s, schedule.Item("a", "stages", seconds, 3))
        for seconds in (5.0, 10.0, 30.0, 60.0)
    ]
    assert expected == [5.0, 5.0, 12.0, 24.0]
    assert schedule.expected_s(took_s, schedule.Item("a", "end_to_end", 5.0, 1)) == 0


# The journal


@pytest.fixture
def record(journal: ModuleType) -> Callable[..., Any]:
    def record(
        contender: str,
        kind: str,
        seconds: float,
        run: int,
        text: str | None = None,
        **values: float,
    ) -> Any:
        return journal.Record("c", contender, "m", kind, seconds, run, values, text, 1.0, "now")

    return record


def test_records_survive_a_line_that_was_cut_off(
    journal: ModuleType, record: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    first = journal.Journal(path)
    assert list(first.records()) == []
    first.append(record("a", "stages", 5.0, 1, "« déjà »", encoder_s=1.5))
    with path.open("a") as file:
        file.write('{"context": "c", "conten')
    second = journal.Journal(path)
    second.append(record("a", "stages", 5.0, 2))
    found = list(second.records())
    assert [one.run for one in found] == [1, 2]
    assert found[0] == record("a", "stages", 5.0, 1, "« déjà »", encoder_s=1.5)


def test_everything_that_matters_makes_another_context(journal: ModuleType, tmp_path: Path) -> None:
    facts: dict[str, Any] = {"machine": {"chip": "M4"}, "versions": {"mlx": "1"}, "n_tokens": 4}
    same = journal.context(**facts)
    assert journal.context(**dict(reversed(list(facts.items())))) == same
    for key, other in (("machine", {"chip": "M3"}), ("versions", {"mlx": "2"}), ("n_tokens", 5)):
        assert journal.context(**facts | {key: other}) != same
    (tmp_path / "model.safetensors").write_bytes(b"123")
    assert journal.model_facts(tmp_path) == {"model.safetensors": 3}


# Figures


@pytest.fixture(scope="module")
def config(full_size: ModuleType) -> SpeechConfig:
    return parse_config(full_size.real_config())


STAGES = {
    "features_s": 0.01, "encoder_s": 2.0, "projector_s": 0.1, "prefill_s": 1.0, "decode_s": 6.0,
    "n_frames": 500, "n_positions": 172, "n_tokens": 13,
}  # fmt: skip


@pytest.fixture
def records(record: Callable[..., Any]) -> list[Any]:
    return [
        record("limits", "limits", 10.0, 1, float32_flops_per_s=4e11, bfloat16_flops_per_s=0.0,
               bytes_per_s=2e10),
        record("limits", "limits", 10.0, 2, float32_flops_per_s=6e11, bytes_per_s=2e10),
        record("granite-mlx", "load", 0.0, 0, load_s=3.0, token_weight_bytes=4e9),
        record("granite-mlx", "stages", 10.0, 1, **STAGES),
        record("granite-mlx", "stages", 10.0, 2, **STAGES | {"encoder_s": 4.0}),
        record("peer", "stages", 10.0, 1, **STAGES | {"encoder_s": 9.0, "decode_s": 12.0}),
        record("granite-mlx", "end_to_end", 10.0, 1, "one", total_s=4.0, peak_resident_bytes=5e9,
               peak_device_bytes=6e9),
        record("peer", "end_to_end", 10.0, 1, "two", total_s=8.0),
    ]  # fmt: skip


def figures(summary: ModuleType, records: list[Any], config: SpeechConfig) -> dict[str, Any]:
    found = summary.rows(records, ["granite-mlx", "peer"], config, "float32")
    return {row.quantity.name: row for row in found}


def test_medians_ranges_and_ratios(
    summary: ModuleType, records: list[Any], config: SpeechConfig
) -> None:
    found = figures(summary, records, config)
    encoder = found["encoder"].cells["granite-mlx"].figure
    assert (encoder.median, encoder.lowest, encoder.highest, encoder.n) == (3.0, 2.0, 4.0, 2)
    assert found["encoder"].times("granite-mlx", "peer") == 3.0
    assert found["decode"].cells["granite-mlx"].figure.median == 2.0  # 12 tokens in 6 s
    assert found["decode"].times("granite-mlx", "peer") == 2.0
    assert found["RTFx"].cells["peer"].figure.median == 1.25
    assert found["RTFx"].times("granite-mlx", "peer") == 2.0
    assert found["peak memory"].cells["granite-mlx"].figure.median == 6.0
    assert found["peak memory"].times("granite-mlx", "peer") is None
    assert found["load"].seconds == 0
    assert "first token" not in found


def test_parts_of_the_limit(
    summary: ModuleType, benchmarks: ModuleType, records: list[Any], config: SpeechConfig
) -> None:
    costs = importlib.import_module("benchmarks.costs")
    found = figures(summary, records, config)
    encoder_flops = costs.flops(costs.encoder_products(config.encoder, 500))
    ours = found["encoder"].cells["granite-mlx"].of_limit
    assert ours == pytest.approx(encoder_flops / 3.0 / 5e11)
    prefill_flops = costs.flops(costs.decoder_products(config.text, 172))
    assert found["prefill"].cells["peer"].of_limit == pytest.approx(prefill_flops / 1.0 / 5e11)
    # Ours tells what a token reads of the weights; of a peer it is computed.
    cached = 4 * costs.cache_values(config.text, 178)
    weights = 4 * costs.decoder_weights(config.text)
    decode = found["decode"].cells
    assert decode["granite-mlx"].of_limit == pytest.approx(2.0 * (4e9 + cached) / 2e10)
    assert decode["peer"].of_limit == pytest.approx(1.0 * (weights + cached) / 2e10)
    assert found["features"].cells["peer"].of_limit is None


def test_a_limit_that_was_not_measured(
    summary: ModuleType, records: list[Any], config: SpeechConfig
) -> None:
    found = summary.rows(records[:1] + records[3:], ["granite-mlx"], config, "bfloat16")
    parts = {row.quantity.name: row.cells["granite-mlx"].of_limit for row in found}
    assert parts["encoder"] is None
    assert parts["decode"] is not None


def test_the_table(
    summary: ModuleType, report: ModuleType, records: list[Any], config: SpeechConfig
) -> None:
    names = ["granite-mlx", "peer"]
    table = report.table(summary.rows(records, names, config, "float32"), names).splitlines()
    assert {row.count("|") for row in table} == {6}
    assert table[0] == "| audio | stage | granite-mlx | peer | ours to peer |"
    assert table[2] == "|  | load, s | 3.00 |  |  |"
    (encoder,) = (row for row in table if "encoder" in row)
    assert encoder.startswith(
        "| 10 s | encoder, s | 3.00 (2.00 to 4.00), 30 % of the limit | 9.00,"
    )
    assert encoder.endswith("| 3.00 x |")


def test_a_command_line_is_compared_with_ours(report: ModuleType, benchmarks: ModuleType) -> None:
    known = importlib.import_module("benchmarks.contenders.known")
    names = ["granite-mlx", "mlx-audio", "granite-mlx, command", "mlx-audio, command", "x, other"]
    assert {name: known.rival(name, names) for name in names} == {
        "granite-mlx": None,
        "mlx-audio": "granite-mlx",
        "granite-mlx, command": None,
        "mlx-audio, command": "granite-mlx, command",
        "x, other": "granite-mlx",
    }
    assert known.rival("mlx-audio", ["mlx-audio"]) is None


@pytest.mark.parametrize(
    ("value", "shown"), [(1234.5, "1234"), (99.96, "100."), (3, "3.00"), (0.01234, "0.0123")]
)
def test_three_digits(report: ModuleType, value: float, shown: str) -> None:
    assert report.number(value) == shown.rstrip(".")


def test_plots(
    summary: ModuleType, records: list[Any], config: SpeechConfig, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    plots = importlib.import_module("benchmarks.plots")
    names = ["granite-mlx", "peer"]
    rows = list(summary.rows(records, names, config, "float32"))
    plots.plot(rows, names, "title", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_json_can_be_read(
    benchmarks: ModuleType, report: ModuleType, schedule: ModuleType, records: list[Any],
    config: SpeechConfig, tmp_path: Path,
) -> None:  # fmt: skip
    models, session = (importlib.import_module(f"benchmarks.{m}") for m in ("models", "session"))
    machine = importlib.import_module("granite_mlx.bench.machine").this_machine()
    model = models.Model("m", tmp_path, "float32", True)
    outcome = session.Outcome(model, records, {"granite-mlx": {"mlx": "1"}}, ["x"], ["y failed"])
    found = [(outcome, config)]
    content = json.loads(json.dumps(report.content(machine, schedule.QUICK, found, ["run"])))
    assert content["models"][0]["left_out"] == ["x"]
    text = report.document(machine, schedule.QUICK, found)
    assert "Left out:\n\n- x\n\nFailed:\n\n- y failed\n" in text
    assert "products 500 (400 to 600) GFLOP/s, reading 20.0 (20.0 to 20.0) GB/s" in text


def test_what_others_took(benchmarks: ModuleType) -> None:
    quiet = importlib.import_module("benchmarks.quiet")
    before, after = quiet.Ticks(1000, 400, 100), quiet.Ticks(1200, 550, 200)
    assert quiet.others_share(before, after) == pytest.approx(50 / 200)
    assert quiet.others_share(before, before) is None
    assert quiet.others_share(None, after) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_own_work_is_not_that_of_others(benchmarks: ModuleType) -> None:
    quiet = importlib.import_module("benchmarks.quiet")
    before = quiet.ticks(os.getpid())
    end_s = time.process_time() + 0.3
    while time.process_time() < end_s:
        pass
    after = quiet.ticks(os.getpid())
    assert after.own - before.own >= 0.25 * os.sysconf("SC_CLK_TCK")
    assert after.busy - before.busy >= 0.8 * (after.own - before.own)
    assert quiet.ticks(2**30) is None
