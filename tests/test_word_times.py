"""Times and confidence of words by the demo checkpoint, on real digits at known places."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import granite_mlx
from granite_mlx import GraniteSpeech, Transcript

RATE = 16_000
NAMES = "zero one two three four five six seven eight nine".split()


@pytest.fixture(scope="module")
def model() -> Iterator[GraniteSpeech]:
    with granite_mlx.load("demo", dtype="float32") as model:
        yield model


@pytest.fixture(scope="module")
def joined(data_dir: Path) -> list[tuple[np.ndarray, list[tuple[str, float, float]]]]:
    """The takes of each speaker with silence between them, and where each of them lies."""
    recordings = []
    for speaker in ("jackson", "theo"):
        parts, spans, n_samples = [], [], 0
        for n, path in enumerate(sorted(data_dir.glob(f"digits/*_{speaker}_*.flac"))):
            take, rate = soundfile.read(path, dtype="float32")
            take = soxr.resample(take, rate, RATE).astype(np.float32)
            silence = np.zeros(RATE * (n + 1) // 10, np.float32)  # 0.1 s, 0.2 s, ...
            parts += [silence, 0.3 / np.abs(take).max() * take]
            start = n_samples + len(silence)
            n_samples = start + len(take)
            spans.append((NAMES[int(path.stem[0])], start / RATE, n_samples / RATE))
        recordings.append((np.concatenate(parts), spans))
    return recordings


@pytest.fixture(scope="module")
def transcripts(
    model: GraniteSpeech, joined: list[tuple[np.ndarray, list[tuple[str, float, float]]]]
) -> list[Transcript]:
    return [model.transcribe(samples, sample_rate=RATE) for samples, _ in joined]


def test_words_are_where_they_are_said(
    transcripts: list[Transcript],
    joined: list[tuple[np.ndarray, list[tuple[str, float, float]]]],
) -> None:
    errors_s = []
    for transcript, (_, spans) in zip(transcripts, joined, strict=True):
        assert [word.text for word in transcript.words] == [name for name, _, _ in spans]
        for word, (_, start_s, end_s) in zip(transcript.words, spans, strict=True):
            errors_s += [abs(word.start_s - start_s), abs(word.end_s - end_s)]
            assert word.confidence is not None
            assert word.confidence > 0.8
    assert np.median(errors_s) <= 0.04
    assert np.quantile(errors_s, 0.9) <= 0.1


def test_the_segment_knows_how_sure_its_words_are(transcripts: list[Transcript]) -> None:
    for transcript in transcripts:
        (segment,) = transcript.segments
        known = [word.confidence for word in segment.words if word.confidence is not None]
        assert segment.confidence == pytest.approx(np.mean(known), abs=0.001)
        assert Transcript.from_json(transcript.to_json()).words


def test_a_batch_has_the_same_words(
    model: GraniteSpeech,
    transcripts: list[Transcript],
    joined: list[tuple[np.ndarray, list[tuple[str, float, float]]]],
) -> None:
    batch = model.transcribe_batch([samples for samples, _ in joined], sample_rate=RATE)
    for one, alone in zip(batch, transcripts, strict=True):
        assert isinstance(one, Transcript)
        assert len(one.words) == len(alone.words)
        for word, other in zip(one.words, alone.words, strict=True):
            assert (word.text, word.start_s, word.end_s) == (
                other.text,
                other.start_s,
                other.end_s,
            )
            assert word.confidence == pytest.approx(other.confidence, abs=0.002)


@pytest.mark.parametrize("speculative", ["off", "relaxed"])
def test_other_ways_of_decoding_have_the_same_times(
    model: GraniteSpeech,
    transcripts: list[Transcript],
    joined: list[tuple[np.ndarray, list[tuple[str, float, float]]]],
    speculative: granite_mlx.speech.Speculative,
) -> None:
    words = model.transcribe(joined[0][0], sample_rate=RATE, speculative=speculative).words
    wanted = transcripts[0].words
    assert [(w.start_s, w.end_s) for w in words] == [(w.start_s, w.end_s) for w in wanted]
    assert all(word.confidence is not None for word in words)


def test_times_count_from_the_recordings_start(
    model: GraniteSpeech,
    transcripts: list[Transcript],
    joined: list[tuple[np.ndarray, list[tuple[str, float, float]]]],
) -> None:
    late = np.concatenate([np.zeros(RATE, np.float32), joined[0][0]])
    words = model.transcribe(late, sample_rate=RATE, start_s=1.0).words
    wanted = transcripts[0].words
    assert [word.start_s for word in words] == pytest.approx([w.start_s + 1 for w in wanted])


def test_without(model: GraniteSpeech, joined: list[tuple[np.ndarray, list[object]]]) -> None:
    samples = joined[0][0]
    transcript = model.transcribe(samples, sample_rate=RATE, word_times="off")
    assert transcript.words == ()
    assert transcript.segments[0].confidence is None
    assert model.translate(samples, sample_rate=RATE, to="fr").words == ()
    with pytest.raises(ValueError, match="word_times must be aligned, model or off"):
        model.transcribe(samples, sample_rate=RATE, word_times="yes")  # type: ignore[arg-type]
