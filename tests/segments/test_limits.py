import json
from pathlib import Path
from typing import Any

import pytest

from granite_mlx import CheckpointError, SegmentLimits
from granite_mlx.segments.limits import read_segment_limits


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"greatest_s": 1}, ValueError),
        ({"least_s": -1}, ValueError),
        ({"least_s": 16}, ValueError),
        ({"pause_s": 0}, ValueError),
        ({"pause_s": 11}, ValueError),
        ({"greatest_s": float("nan")}, ValueError),
        ({"greatest_s": "30"}, TypeError),
        ({"pause_s": True}, TypeError),
    ],
)
def test_limits_that_make_no_sense(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        SegmentLimits(**options)


def test_within_a_smaller_context() -> None:
    assert SegmentLimits().within(40) == SegmentLimits()
    assert SegmentLimits().within(8) == SegmentLimits(4, 8, 0.5)
    assert SegmentLimits().within(0.1).greatest_s == 2


def test_of_a_checkpoint(tmp_path: Path, demo_checkpoint: Path) -> None:
    assert read_segment_limits(tmp_path) == SegmentLimits()
    assert read_segment_limits(demo_checkpoint).greatest_s < 10
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({"segment_limits": {"greatest_s": 12.0}}))
    assert read_segment_limits(tmp_path) == SegmentLimits(greatest_s=12.0)
    for wrong in ([], {"longest": 3}, {"greatest_s": "x"}, {"greatest_s": 0.1}):
        path.write_text(json.dumps({"segment_limits": wrong}))
        with pytest.raises(CheckpointError, match="segment_limits"):
            read_segment_limits(tmp_path)


def test_limits_of_one_segment() -> None:
    limits = SegmentLimits.at_once(40.0)
    assert (limits.least_s, limits.greatest_s, limits.long_pause_s) == (0.0, 40.0, 40.0)
