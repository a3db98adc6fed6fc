"""Pieces in which nobody pauses are read once more where the head has heard another word."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import granite_mlx
from granite_mlx import GraniteSpeech, SegmentLimits
from granite_mlx.decoding.prompts import Task
from granite_mlx.errors import RecognitionError
from granite_mlx.reading import Spoken
from granite_mlx.recognition import Recogniser
from granite_mlx.rereading import smaller
from granite_mlx.segments.joining import Seam
from granite_mlx.segments.letters import NO_LETTERS, Letters
from granite_mlx.segments.splitter import Piece

from ..segments.sounds import silence, speech
from .asking import RATE, codes
from .scripted import Follow, follow

TEXT = (
    "yesterday the neighbour found a small horse at home in the kitchen "
    "Eric opens a big window in october"
)
OPTIONS: dict[str, Any] = {
    "sample_rate": RATE,
    "segments": SegmentLimits(least_s=0.0, greatest_s=3.6, pause_s=0.3),
    "batch_size": 1,
}
"""Three pieces: the first two overlap, the third one begins at a pause."""
BEHIND, WRONG = "neighbour", "cat"
WAYS = ("exact", "off")


@pytest.fixture(scope="module")
def model() -> Iterator[GraniteSpeech]:
    with granite_mlx.load("demo", dtype="float32") as model:
        yield model


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Follow:
    return follow(monkeypatch)


@pytest.fixture(scope="module")
def talk(demo_checkpoint: Path) -> np.ndarray:
    """Two sentences by two voices, and nothing between."""
    parts = []
    for name in ("english", "english_name"):
        samples, _ = soundfile.read(demo_checkpoint / "examples" / f"{name}.flac", dtype="float32")
        loud = np.flatnonzero(np.abs(samples) > 0.02)
        parts.append(samples[loud[0] : loud[-1]])
    return np.concatenate(parts)


def instead(model: GraniteSpeech, before: str, word: str) -> dict[int, int]:
    """Behind the word `before` comes another one than was said."""
    *_, behind = model.tokenizer.encode(" " + before)
    (wrong,) = model.tokenizer.encode(" " + word)
    return {behind: wrong}


@pytest.mark.parametrize("way", WAYS)
def test_smaller_pieces_mend_a_word(
    model: GraniteSpeech, talk: np.ndarray, script: Follow, way: Any
) -> None:
    plain = model.transcribe(talk, speculative=way, **OPTIONS)
    assert plain.text == TEXT
    found = script(instead(model, BEHIND, WRONG))
    mended = model.transcribe(talk, speculative=way, **OPTIONS)
    assert mended.text == plain.text
    assert found.n_read > 3
    assert codes(mended) == []
    assert [word.text for word in mended.words] == mended.text.split()
    starts_s = [word.start_s for word in mended.words]
    assert starts_s == sorted(starts_s)
    assert np.abs(np.subtract(starts_s, [word.start_s for word in plain.words])).max() < 0.05


def test_the_first_reading_stands_where_the_second_is_no_better(
    model: GraniteSpeech, talk: np.ndarray, script: Follow
) -> None:
    found = script(instead(model, BEHIND, WRONG), n_prompts=100)
    transcript = model.transcribe(talk, **OPTIONS)
    assert f" {BEHIND} {WRONG} " in transcript.text
    assert len(transcript.segments) == 3
    assert found.n_read > 3


def test_nothing_is_read_again_without_the_guard_s_doubt(
    model: GraniteSpeech, talk: np.ndarray, script: Follow
) -> None:
    found = script({}, n_prompts=100)
    model.transcribe(talk, **OPTIONS)
    assert found.n_read == 3


def test_what_is_cut_off_is_not_read_again(
    model: GraniteSpeech, talk: np.ndarray, script: Follow
) -> None:
    found = script({}, n_prompts=100)
    transcript = model.transcribe(talk, max_new_tokens=4, **OPTIONS)
    assert "cut_off" in codes(transcript)
    assert found.n_read == 3


def test_a_second_reading_that_fails_leaves_the_first(
    model: GraniteSpeech, talk: np.ndarray, script: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = Recogniser.prepared

    def failing(self: Recogniser, askeds: Any) -> Any:
        if any(len(one.samples) <= 2.2 * RATE for one in askeds):
            raise RecognitionError("no room.")
        return prepared(self, askeds)

    script(instead(model, BEHIND, WRONG))
    monkeypatch.setattr(Recogniser, "prepared", failing)
    transcript = model.transcribe(talk, **OPTIONS)
    assert f" {BEHIND} {WRONG} " in transcript.text
    assert "segment_failed" not in codes(transcript)


def test_a_piece_at_a_pause_is_read_once(
    model: GraniteSpeech, demo_checkpoint: Path, script: Follow
) -> None:
    found = script(instead(model, BEHIND, WRONG), n_prompts=100)
    transcript = model.transcribe(demo_checkpoint / "examples" / "english.flac")
    assert f" {BEHIND} {WRONG} " in transcript.text
    assert found.n_read == 1


def test_a_live_session_reads_again_as_a_file_does(
    model: GraniteSpeech, talk: np.ndarray, script: Follow
) -> None:
    script(instead(model, BEHIND, WRONG))
    with model.live(drafts=False, segments=OPTIONS["segments"]) as session:
        session.feed(talk)
        assert session.finish().text == TEXT


LIMITS = SegmentLimits(least_s=0.0, greatest_s=4.5, pause_s=0.3)
SEAM = Seam("a", "b", RATE // 2, RATE)


def spoken(samples: np.ndarray) -> Spoken:
    return Spoken(Piece(7 * RATE, samples, SEAM, joined_on=True), 1, Task())


def ear(samples: np.ndarray) -> Letters:
    """It hears words of four letters without a pause, one letter every 80 ms."""
    places = np.arange(len(samples) * 100 // RATE // 8)
    return Letters(np.where(places % 5 == 4, ord(" "), ord("a") + places % 5), places * 8)


def test_smaller_pieces_overlap_the_neighbours_as_the_whole_one_did() -> None:
    whole = spoken(speech(4.4, seed=3))
    parts = smaller(whole, LIMITS, ear)
    assert len(parts) >= 2
    assert parts[0].piece.start == whole.piece.start
    assert 0 <= whole.piece.end - parts[-1].piece.end < 0.1 * RATE
    assert parts[0].piece.seam is SEAM
    assert parts[-1].piece.joined_on
    assert {(one.channel, one.task) for one in parts} == {(1, Task())}
    assert max(len(one.piece.samples) for one in parts) < len(whole.piece.samples)


@pytest.mark.parametrize("samples", [speech(1.0, seed=1), silence(4.0)], ids=["short", "silent"])
def test_what_cannot_be_cut_is_left(samples: np.ndarray) -> None:
    assert smaller(spoken(samples), LIMITS, lambda _: NO_LETTERS) == []


def test_limits_with_a_long_pause() -> None:
    whole = spoken(speech(4.4, seed=3))
    limits = replace(LIMITS, pause_s=1.5, least_s=2.0)
    assert len(smaller(whole, limits, ear)) >= 2
