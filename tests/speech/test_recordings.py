"""Every kind of recording, parts of one, and those with nothing to hear."""

import io
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx import GraniteSpeech, Transcript
from granite_mlx.selftest.random_weights import random_signal

from .asking import RATE, SECOND, Listen, codes


def test_every_kind_of_source(wav: Path, model: GraniteSpeech) -> None:
    sources: list[Any] = [wav, str(wav), wav.read_bytes(), io.BytesIO(wav.read_bytes())]
    with open(wav, "rb") as file:
        texts = {model.transcribe(s, max_new_tokens=12).text for s in [*sources, file]}
    assert texts == {model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=12).text}


@pytest.mark.parametrize(
    "samples",
    [
        SECOND.astype(np.float64),
        SECOND.tolist(),
        np.stack([SECOND, SECOND], axis=1),
        np.stack([SECOND, SECOND]),
        SECOND[::-1][::-1],
    ],
    ids=["float64", "list", "stereo", "channels first", "reversed"],
)
def test_every_kind_of_array(samples: Any, listen: Listen) -> None:
    assert listen(samples).text == listen().text


def test_arrays_of_mlx(listen: Listen) -> None:
    """Also those that are not computed yet: only the caller's thread can do that."""
    computed = mx.array(SECOND)
    mx.eval(computed)
    assert listen(computed).text == listen().text
    assert listen(mx.array(SECOND / 2) * 2).text == listen().text
    assert listen((computed * 1).astype(mx.bfloat16)).text


def test_other_sample_rates(model: GraniteSpeech) -> None:
    transcript = model.transcribe(random_signal(8000), sample_rate=8000, max_new_tokens=3)
    assert transcript.duration_s == 1.0


# Parts of a recording


def test_times_count_from_the_start_of_the_recording(
    wav: Path, model: GraniteSpeech, listen: Listen
) -> None:
    transcript = model.transcribe(wav, start_s=0.25, end_s=0.75, max_new_tokens=12)
    (segment,) = transcript.segments
    assert (segment.start_s, segment.end_s) == (0.25, 0.75)
    assert transcript.duration_s == 0.5
    assert transcript.text == listen(SECOND[RATE // 4 : 3 * RATE // 4]).text


def test_an_end_beyond_the_recording(wav: Path, model: GraniteSpeech) -> None:
    transcript = model.transcribe(wav, start_s=0.5, end_s=100.0, max_new_tokens=3)
    assert (transcript.segments[0].start_s, transcript.segments[0].end_s) == (0.5, 1.0)


def test_whole_seconds_may_be_integers(wav: Path, model: GraniteSpeech) -> None:
    transcript = model.transcribe(wav, start_s=0, end_s=1, max_new_tokens=3)
    assert Transcript.from_json(transcript.to_json()) == transcript


# Nothing to hear


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.full(RATE, 1e-5), np.zeros((RATE, 8))])
def test_silence(samples: np.ndarray, listen: Listen) -> None:
    fractions: list[float] = []
    transcript = listen(samples, on_progress=fractions.append, keywords=["Ada"], language="en")
    assert transcript.text == ""
    assert transcript.segments == ()
    assert transcript.duration_s == 1.0
    assert codes(transcript) == ["silence"]
    (report,) = transcript.keywords
    assert (report.term, report.offered, report.found) == ("Ada", False, False)  # nobody was asked
    assert transcript.language == "en"
    assert fractions[-1:] == [1.0]  # or a progress bar would stand still


def test_a_whisper_is_no_silence(listen: Listen) -> None:
    assert listen(SECOND * 0.001).text


@pytest.mark.parametrize("n_samples", [1, 16, 160, 639])
def test_too_short_for_a_word(n_samples: int, listen: Listen) -> None:
    transcript = listen(SECOND[:n_samples], keywords=["Ada"])
    assert transcript.text == ""
    assert codes(transcript) == ["too_short"]
    assert not transcript.keywords[0].offered
    assert f"{-(-n_samples // 16)} ms" in transcript.warnings[0].message


@pytest.mark.parametrize("n_samples", [640, 641, 700, 959, 960, 1280])
def test_the_shortest_recordings_that_are_heard(n_samples: int, listen: Listen) -> None:
    assert len(listen(SECOND[:n_samples]).segments) == 1
