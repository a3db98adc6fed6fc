"""Time left: from sizes at first, then from what a byte of each kind turned out to hold."""

from collections.abc import Callable
from pathlib import Path

import pytest

from granite_mlx.cli.inputs import Recording
from granite_mlx.cli.pace import Pace, clock


@pytest.fixture
def sized(tmp_path: Path) -> Callable[..., Recording]:
    """A recording of so many bytes."""

    def sized(name: str, n_bytes: int) -> Recording:
        (tmp_path / name).write_bytes(b"x" * n_bytes)
        return Recording(str(tmp_path / name))

    return sized


def test_before_anything_is_done_bytes_tell(sized: Callable[..., Recording]) -> None:
    a, b = sized("a.wav", 100), sized("b.wav", 300)
    pace = Pace([a, b])
    assert pace.left_s([a], 0.0, 5.0) is None
    assert pace.left_s([a], 0.5, 2.0) == pytest.approx(14.0)  # 50 of 400 bytes in 2 s
    assert pace.left_s([a, b], 0.5, 2.0) == pytest.approx(2.0)
    assert pace.line([a], 0.5, 2.0) == "50%, 0:14 left"


def test_each_kind_holds_what_it_held(sized: Callable[..., Recording]) -> None:
    wav, mp3, other_mp3, flac = (
        sized("a.wav", 1000), sized("b.mp3", 100), sized("c.MP3", 200), sized("d.flac", 110),
    )  # fmt: skip
    pace = Pace([wav, mp3, other_mp3, flac])
    pace.finish(wav, 10.0, 1.0)
    pace.finish(mp3, 100.0, 10.0)
    assert pace.rtfx() == pytest.approx(10.0)
    # 200 bytes of mp3 are 200 s; a byte of a new kind is as a byte so far: 110 s in 1100 bytes.
    assert pace.left_s([other_mp3], 0.0, 0.0) == pytest.approx((200 + 11) / 10)
    assert pace.left_s([other_mp3], 0.5, 10.0) == pytest.approx((100 + 11) / 10)
    assert pace.line([other_mp3], 0.5, 10.0) == "50%, 0:11 left, RTFx 10.0"
    pace.leave_out(other_mp3)
    assert pace.left_s([flac], 0.0, 0.0) == pytest.approx(1.1)
    assert pace.summary() == "2 files, 1:50 of audio in 0:11 (RTFx 10.0)"


def test_a_growing_file_counts_as_it_was(sized: Callable[..., Recording], tmp_path: Path) -> None:
    a, b = sized("a.wav", 100), sized("b.wav", 100)
    pace = Pace([a, b, a])
    (tmp_path / "a.wav").write_bytes(b"x" * 5000)
    pace.finish(a, 10.0, 1.0)
    pace.finish(a, 10.0, 1.0)
    assert pace.left_s([b], 0.0, 0.0) == pytest.approx(1.0)


def test_nothing_is_told_about_what_is_not_known(sized: Callable[..., Recording]) -> None:
    a, stdin = sized("a.wav", 100), Recording("-")
    pace = Pace([a, stdin, Recording("missing.wav")])
    assert pace.left_s([a], 0.5, 1.0) is None
    pace.finish(stdin, 10.0, 1.0)
    assert pace.left_s([a], 0.5, 1.0) is None  # bytes and seconds do not add up
    assert pace.line([a], 0.5, 1.0) == "50%, RTFx 10.0"
    assert Pace([a]).rtfx() is None
    assert Pace([a]).summary() == "0 files, 0:00 of audio in 0:00"


@pytest.mark.parametrize(
    ("time_s", "text"), [(0.0, "0:00"), (59.6, "1:00"), (75.4, "1:15"), (3675.0, "1:01:15")]
)
def test_clock(time_s: float, text: str) -> None:
    assert clock(time_s) == text
