"""Segments that are told while a call goes on, and files that it has let go of when it ends."""

import asyncio
import gc
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from granite_mlx import Cancelled, CancelToken, GraniteSpeech, Segment, SegmentLimits

from ..segments.sounds import silence, speech
from .asking import RATE

LIMITS = SegmentLimits(least_s=0.5, greatest_s=4.0, pause_s=0.3)
OPTIONS: dict[str, Any] = {"max_new_tokens": 4, "segments": LIMITS}
TALK = np.concatenate(
    [part for n in range(5) for part in (speech(1.0 + n / 4, seed=n), silence(0.8))]
)


@pytest.mark.parametrize("task", [{}, {"to": "fr"}])
def test_each_segment_is_told_once_in_order(model: GraniteSpeech, task: dict[str, str]) -> None:
    told: list[Segment] = []
    call = model.translate if task else model.transcribe
    options = {"sample_rate": RATE, **OPTIONS, **task}
    transcript = call(TALK, on_segment=told.append, **options)
    assert tuple(told) == transcript.segments
    assert len(told) == 5
    assert transcript == call(TALK, **options)


def test_the_first_one_is_not_kept_waiting(model: GraniteSpeech) -> None:
    """It is told before all of the recording was read."""
    fractions: list[float] = []
    at: list[float] = []
    model.transcribe(
        np.tile(TALK, 4),
        sample_rate=RATE,
        on_progress=fractions.append,
        on_segment=lambda _: at.append(fractions[-1]),
        **OPTIONS,
    )
    assert at[0] < 0.5


def test_awaited(model: GraniteSpeech) -> None:
    told: list[Segment] = []
    work = model.transcribe_async(TALK, sample_rate=RATE, on_segment=told.append, **OPTIONS)
    assert asyncio.run(work).segments == tuple(told)


def test_what_it_raises_ends_the_call(model: GraniteSpeech, recording: io.FileIO) -> None:
    def fail(segment: Segment) -> None:
        raise ValueError("from on_segment")

    with pytest.raises(ValueError, match="from on_segment"):
        model.transcribe(recording, on_segment=fail, **OPTIONS)
    assert model.n_requests == 0
    recording.close()


def test_a_cancelled_call_has_let_go_of_its_file(
    model: GraniteSpeech, recording: io.FileIO
) -> None:
    """Closing it too late was noise on stderr, which is an error of this test."""
    cancel = CancelToken()
    with pytest.raises(Cancelled) as caught:
        model.transcribe(recording, cancel=cancel, on_progress=lambda _: cancel.cancel(), **OPTIONS)
    recording.close()
    del caught
    gc.collect()


@pytest.fixture
def recording(tmp_path: Path) -> io.FileIO:
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.tile(TALK, 4), RATE)
    return open(path, "rb", buffering=0)
