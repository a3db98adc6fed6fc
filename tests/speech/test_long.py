"""Recordings of any length: order, channels, ranges, cancelling, progress, and what goes wrong."""

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import granite_mlx
from granite_mlx import (
    AudioError,
    Cancelled,
    CancelToken,
    GraniteSpeech,
    LanguageError,
    Range,
    RecognitionError,
    SegmentLimits,
    TranscriptWarning,
)
from granite_mlx.biasing.terms import read_keywords
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.recognition import Asked, Prepared, Recogniser

from ..segments.sounds import silence, speech
from .asking import RATE, codes

LIMITS = SegmentLimits(least_s=0.5, greatest_s=4.0, pause_s=0.3)
OPTIONS: dict[str, Any] = {"sample_rate": RATE, "max_new_tokens": 4, "segments": LIMITS}
SPOKEN = [(0.0, 2.0), (2.6, 3.6), (4.6, 7.6), (8.2, 9.7), (10.6, 12.6), (13.2, 16.2)]


def talk(spans: Sequence[tuple[float, float]] = SPOKEN) -> np.ndarray:
    """Something sounds in the spans, and nothing between."""
    parts, at_s = [], 0.0
    for n, (start_s, end_s) in enumerate(spans):
        parts += [silence(start_s - at_s), speech(end_s - start_s, seed=n)]
        at_s = end_s
    return np.concatenate(parts)


LONG = talk()


def assert_near(found: Sequence[Any], spans: Sequence[tuple[float, float]]) -> None:
    assert len(found) == len(spans)
    for one, (start_s, end_s) in zip(found, spans, strict=True):
        assert start_s - 0.35 <= one.start_s <= start_s + 0.01
        assert end_s - 0.01 <= one.end_s <= end_s + 0.35


def test_segments_are_those_of_the_pauses_alone(model: GraniteSpeech) -> None:
    transcript = model.transcribe(LONG, **OPTIONS)
    assert_near(transcript.segments, SPOKEN)
    assert transcript.duration_s == len(LONG) / RATE
    for one in transcript.segments:
        part = LONG[round(one.start_s * RATE) : round(one.end_s * RATE)]
        assert one.text == model.transcribe(part, **OPTIONS).text
    assert codes(transcript) == ["cut_off"] * len(SPOKEN)
    assert [(w.start_s, w.end_s) for w in transcript.warnings] == [
        (one.start_s, one.end_s) for one in transcript.segments
    ]


def test_a_stream_gives_the_same_segments(model: GraniteSpeech) -> None:
    stream = model.stream(LONG, **OPTIONS)
    first = next(stream)
    assert [first, *stream] == [*model.transcribe(LONG, **OPTIONS).segments]


def test_a_stream_comes_while_the_recording_is_read(model: GraniteSpeech) -> None:
    fractions: list[float] = []
    stream = model.stream(np.tile(LONG, 5), on_progress=fractions.append, **OPTIONS)
    next(stream)
    assert fractions[-1] < 0.5
    stream.close()  # and nothing complains


def test_a_stream_checks_its_options_at_once(model: GraniteSpeech) -> None:
    with pytest.raises(LanguageError):
        model.stream(LONG, language="klingon")
    with pytest.raises(ValueError, match="channels"):
        model.stream(LONG, channels="left")  # type: ignore[arg-type]
    stream = model.stream("/nowhere.wav")
    with pytest.raises(AudioError):
        next(stream)


def test_many_long_ones_are_like_each_alone(model: GraniteSpeech) -> None:
    recordings = [LONG, LONG[: 9 * RATE], np.zeros(RATE), LONG[2 * RATE :]]
    for batch_size in (1, 3, 8):
        results = model.transcribe_batch(recordings, batch_size=batch_size, **OPTIONS)
        assert results == [model.transcribe(one, **OPTIONS) for one in recordings]


def test_parts_of_a_long_recording(model: GraniteSpeech) -> None:
    transcript = model.transcribe(LONG, start_s=4.3, end_s=10.2, **OPTIONS)
    assert_near(transcript.segments, SPOKEN[2:4])
    assert transcript.duration_s == pytest.approx(5.9)


def test_progress_is_that_of_the_whole(model: GraniteSpeech) -> None:
    fractions: list[float] = []
    model.transcribe(np.tile(LONG, 6), on_progress=fractions.append, **OPTIONS)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(set(fractions)) > 30
    assert max(after - before for before, after in pairwise([0.0, *fractions])) < 0.4


# Channels


def test_channels_apart(model: GraniteSpeech) -> None:
    left, right = talk([(0, 2), (5, 7), (11, 12.5)]), talk([(2.5, 4.5), (8, 10.5)])
    both = np.zeros((max(len(left), len(right)), 2), np.float32)
    both[: len(left), 0], both[: len(right), 1] = left, right
    transcript = model.transcribe(both, channels="separate", **OPTIONS)
    assert_near(transcript.segments, [(0, 2), (2.5, 4.5), (5, 7), (8, 10.5), (11, 12.5)])
    assert [one.speaker for one in transcript.segments] == [f"channel {n}" for n in (1, 2, 1, 2, 1)]
    assert [*model.stream(both, channels="separate", **OPTIONS)] == [*transcript.segments]
    for n, channel in enumerate((left, right), start=1):
        own = [one for one in transcript.segments if one.speaker == f"channel {n}"]
        alone = model.transcribe(np.pad(channel, (0, len(both) - len(channel))), **OPTIONS)
        assert [(one.start_s, one.text) for one in own] == [
            (one.start_s, one.text) for one in alone.segments
        ]


def test_a_stream_of_channels_is_in_order(model: GraniteSpeech) -> None:
    rng = np.random.default_rng(3)
    spans = [np.cumsum(rng.uniform(0.6, 3.5, 24)).reshape(-1, 2).tolist() for _ in range(3)]
    channels = [talk(one) for one in spans]
    longest = max(map(len, channels))
    block = np.stack([np.pad(one, (0, longest - len(one))) for one in channels], axis=1)
    starts = [one.start_s for one in model.stream(block, channels="separate", **OPTIONS)]
    assert len(starts) > 20
    assert starts == sorted(starts)


def test_a_channel_in_which_nobody_speaks(model: GraniteSpeech) -> None:
    both = np.stack([LONG, np.zeros_like(LONG)], axis=1)
    transcript = model.transcribe(both, channels="separate", **OPTIONS)
    assert {one.speaker for one in transcript.segments} == {"channel 1"}
    silent = model.transcribe(np.zeros((RATE * 9, 2)), channels="separate", **OPTIONS)
    assert codes(silent) == ["silence"]


# Ranges


def test_ranges_ask_something_else(model: GraniteSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    prompt = SpeechTokenizer.prompt

    def remember(self: SpeechTokenizer, instruction: str, system: str | None = None) -> str:
        asked.append(instruction)
        return prompt(self, instruction, system)

    ranges = [
        Range(4.2, 8, keywords=["Ada"], language="fr"),
        Range(8.5, 12.6, to="de", language="en"),
    ]
    model.transcribe(LONG, ranges=ranges, **OPTIONS)
    monkeypatch.setattr(SpeechTokenizer, "prompt", remember)
    transcript = model.transcribe(LONG, ranges=ranges, **OPTIONS)
    assert {8.5, 12.6} <= {one.start_s for one in transcript.segments} | {
        one.end_s for one in transcript.segments
    }
    plain = "can you transcribe the speech into a written format?"
    inside = [text for text in asked if text != plain]
    assert inside[-3:] == [f"{plain} Keywords: Ada"] + ["translate the speech to German."] * 2
    assert transcript.language is None
    for segment in transcript.segments:
        middle_s = (segment.start_s + segment.end_s) / 2
        wanted = (None, None)
        if 4.2 < middle_s < 8:
            wanted = ("fr", None)
        elif 8.5 < middle_s < 12.6:
            wanted = ("en", "de")
        assert (segment.language, segment.target_language) == wanted
    assert [one.term for one in transcript.keywords] == ["Ada"]


@pytest.mark.parametrize(
    ("ranges", "task", "language", "target"),
    [
        ([Range(0, 8, to="fr", language="en")], "transcribe", None, None),
        ([Range(8, 12, to="fr", language="en")], "transcribe", None, None),
        ([Range(0, 99, to="fr", language="en")], "translate", "en", "fr"),
        ([Range(0, 8, to="fr"), Range(8, to="de")], "translate", None, None),
        ([Range(0, 99, language="fr")], "transcribe", "fr", None),
        ([Range(90, 99, language="fr")], "transcribe", None, None),
    ],
)
def test_the_whole_tells_what_its_parts_have_in_common(
    model: GraniteSpeech, ranges: list[Range], task: str, language: str | None, target: str | None
) -> None:
    whole = model.transcribe(LONG, ranges=ranges, **OPTIONS)
    assert (whole.task, whole.language, whole.target_language) == (task, language, target)


def test_a_part_tells_what_was_asked_of_it(model: GraniteSpeech) -> None:
    ranges = [Range(8, 20, to="fr", language="en")]
    part = model.transcribe(LONG, start_s=8, ranges=ranges, **OPTIONS)
    assert (part.task, part.language, part.target_language) == ("translate", "en", "fr")


def test_a_range_behind_the_end_is_told(model: GraniteSpeech) -> None:
    ranges = [Range(8, 12, language="fr"), Range(90, 99, language="fr")]
    told = [one for one in model.transcribe(LONG, ranges=ranges, **OPTIONS).warnings
            if one.code == "range_unused"]  # fmt: skip
    assert [one.message for one in told] == [
        "the range from 90 s on changes nothing: the recording ends at 16.2 s."
    ]
    part = model.transcribe(LONG, ranges=ranges, start_s=2, end_s=5, **OPTIONS)
    assert "range_unused" not in codes(part)


def test_a_range_knows_what_a_call_knows(model: GraniteSpeech) -> None:
    everywhere = model.transcribe(LONG, keywords=["Ada"], **OPTIONS)
    ranged = model.transcribe(LONG, ranges=[Range(0.0, keywords=iter(["Ada"]))], **OPTIONS)
    assert ranged.segments == everywhere.segments


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: [Range(-1)], ValueError, "start_s"),
        (lambda: [Range(2, 1)], ValueError, "end_s"),
        (lambda: [Range("2")], TypeError, "start_s"),
        (lambda: [Range(0, language="klingon")], LanguageError, "klingon"),
        (lambda: [Range(0, language="fr", to="de")], LanguageError, "German"),
        (lambda: [Range(0, keywords="Ada")], TypeError, "list of terms"),
        (lambda: [Range(0, 5), Range(4, 6)], ValueError, "overlap"),
        (lambda: [Range(2, 2.005)], ValueError, "too short to hold a word"),
        (lambda: [Range(0), Range(4, 6)], ValueError, "ends at the end of the recording"),
        (lambda: [(0, 5)], TypeError, "Range"),
    ],
)
def test_ranges_that_make_no_sense(
    model: GraniteSpeech, make: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.transcribe(b"", ranges=make())


# What goes wrong


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third stretch of speech cannot be recognised."""
    prepared = Recogniser.prepared

    def prepare_some(self: Recogniser, askeds: Sequence[Asked]) -> list[Prepared]:
        if any(3 * RATE <= len(one.samples) <= 3.7 * RATE for one in askeds):
            raise RuntimeError("out of memory")
        return prepared(self, askeds)

    monkeypatch.setattr(Recogniser, "prepared", prepare_some)


@pytest.mark.usefixtures("failing")
def test_a_segment_that_fails_leaves_the_others(model: GraniteSpeech) -> None:
    samples = talk(SPOKEN[:5])
    transcript = model.transcribe(samples, **OPTIONS)
    assert_near(transcript.segments, [*SPOKEN[:2], *SPOKEN[3:5]])
    (failed,) = [one for one in transcript.warnings if one.code == "segment_failed"]
    assert "out of memory" in failed.message
    assert failed.start_s == pytest.approx(4.5, abs=0.1)
    assert failed.end_s == pytest.approx(7.9, abs=0.1)


@pytest.mark.usefixtures("failing")
def test_where_all_fails_the_failure_is_raised(model: GraniteSpeech) -> None:
    with pytest.raises(RecognitionError, match=r"array could be transcribed: .*memory") as raised:
        model.transcribe(speech(3.2), **OPTIONS)
    assert isinstance(raised.value.__cause__, RuntimeError)


@pytest.mark.usefixtures("failing")
def test_where_all_of_one_fails_the_others_stand(model: GraniteSpeech) -> None:
    results = model.transcribe_batch([speech(1.0), speech(3.2), speech(1.5)], **OPTIONS)
    assert [type(one).__name__ for one in results] == [
        "Transcript", "RecognitionError", "Transcript",
    ]  # fmt: skip


def test_what_is_sampled_does_not_depend_on_the_batch(model: GraniteSpeech) -> None:
    options = OPTIONS | {"temperature": 1.2, "seed": 3}
    alone = model.transcribe(LONG, batch_size=1, **options)
    assert len({one.text for one in alone.segments}) > 1
    for batch_size in (2, 8):
        assert model.transcribe(LONG, batch_size=batch_size, **options) == alone
    assert model.transcribe_batch([speech(1.0), LONG], **options)[1] == alone


def test_the_last_of_a_batch_is_told_before_the_next_one_begins(model: GraniteSpeech) -> None:
    events: list[float | str] = []
    model.transcribe_batch(
        [speech(1.0, seed=n) for n in range(3)], batch_size=1, on_progress=events.append,
        on_result=lambda place, _: events.append(f"result {place}"), **OPTIONS,
    )  # fmt: skip
    told = events.index("result 0")
    assert all(one <= 1 / 3 for one in events[:told] if isinstance(one, float))


def test_each_result_is_told_as_it_comes(model: GraniteSpeech) -> None:
    told: list[tuple[int, Any]] = []
    fractions: list[float] = []
    n_told_before: list[int] = []

    def on_progress(fraction: float) -> None:
        fractions.append(fraction)
        n_told_before.append(len(told))

    recordings = [LONG, b"no sound", *[speech(1.0, seed=n) for n in range(40)], np.zeros(RATE)]
    results = model.transcribe_batch(
        recordings, batch_size=2, on_progress=on_progress, on_result=lambda *one: told.append(one),
        **OPTIONS,
    )  # fmt: skip
    assert told == [*enumerate(results)]
    assert isinstance(results[1], AudioError)
    assert 2 < n_told_before[len(fractions) // 2] < len(recordings) - 2


def test_damage_leaves_what_is_before(model: GraniteSpeech) -> None:
    damaged = LONG.copy()
    damaged[11 * RATE] = np.nan
    transcript = model.transcribe(damaged, **OPTIONS)
    assert_near(transcript.segments[:4], SPOKEN[:4])
    assert all(one.end_s <= 11 for one in transcript.segments)
    (warning,) = [one for one in transcript.warnings if one.code == "damaged"]
    assert "nan at 11.000 s" in warning.message
    assert warning.start_s == transcript.duration_s == pytest.approx(11, abs=0.3)
    heard = []
    with pytest.raises(AudioError, match="nan"):
        heard.extend(model.stream(damaged, **OPTIONS))
    assert heard == [*transcript.segments]


def test_what_on_progress_raises_is_no_failure(model: GraniteSpeech) -> None:
    def on_progress(fraction: float) -> None:
        if fraction > 0.5:
            raise ValueError("from on_progress")

    with pytest.raises(ValueError, match="from on_progress"):
        model.transcribe(np.tile(LONG, 3), on_progress=on_progress, **OPTIONS)


# Cancelling


def test_cancelled_before_it_begins(model: GraniteSpeech) -> None:
    token = CancelToken()
    token.cancel()
    assert token.is_cancelled
    with pytest.raises(Cancelled):
        model.transcribe(LONG, cancel=token, **OPTIONS)


def test_cancelled_by_another_thread(model: GraniteSpeech) -> None:
    token, begun = CancelToken(), threading.Event()
    steps: list[float] = []

    def on_progress(fraction: float) -> None:
        steps.append(fraction)
        begun.set()

    threading.Thread(target=lambda: (begun.wait(60), token.cancel())).start()
    with pytest.raises(Cancelled):
        model.transcribe(
            np.tile(LONG, 400), cancel=token, on_progress=on_progress,
            **OPTIONS | {"max_new_tokens": 40},
        )  # fmt: skip
    assert steps[-1] < 0.9
    assert model.transcribe(LONG, **OPTIONS).segments


def test_cancelled_while_nothing_is_said(model: GraniteSpeech) -> None:
    token = CancelToken()
    with pytest.raises(Cancelled):
        model.transcribe(
            np.zeros(100 * RATE), cancel=token, on_progress=lambda _: token.cancel(), **OPTIONS
        )


# What is no speech, and what is hardly a recording


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(60 * RATE, np.float32),
        np.full(60 * RATE, 0.7, np.float32),
        silence(60, 0.1),
        np.eye(1, 60 * RATE, 30 * RATE, dtype=np.float32)[0],
    ],
    ids=["silence", "constant", "noise", "click"],
)
def test_long_recordings_without_speech(samples: np.ndarray, model: GraniteSpeech) -> None:
    fractions: list[float] = []
    transcript = model.transcribe(
        samples, keywords=["Ada"], on_progress=fractions.append, **OPTIONS
    )
    assert transcript.segments == ()
    assert transcript.duration_s == 60.0
    assert set(codes(transcript)) <= {"silence", "no_speech"}
    assert not transcript.keywords[0].offered
    assert len(set(fractions)) > 3
    assert fractions[-1] == 1.0


def test_clipped_speech_is_still_cut_at_its_pauses(model: GraniteSpeech) -> None:
    clipped = np.clip(LONG * 50, -1, 1)
    assert_near(model.transcribe(clipped, **OPTIONS).segments, SPOKEN)


def test_one_sample(model: GraniteSpeech) -> None:
    assert codes(model.transcribe(np.ones(1), **OPTIONS)) == ["too_short"]


def test_one_segment_whatever_the_pauses(model: GraniteSpeech) -> None:
    limits = SegmentLimits.at_once(len(LONG) / RATE + 1)
    fractions: list[float] = []
    (found,) = model.transcribe(
        LONG, on_progress=fractions.append, **OPTIONS | {"segments": limits}
    ).segments
    assert (found.start_s, found.end_s) == (0.0, len(LONG) / RATE)
    assert fractions[0] == pytest.approx(0.3)  # reading alone is no progress


def test_limits_of_one_s_own(model: GraniteSpeech) -> None:
    options = OPTIONS | {"segments": SegmentLimits(0, 3, 1.0)}
    found = model.transcribe(LONG, **options).segments
    assert max(one.end_s - one.start_s for one in found) <= 3.01
    with pytest.raises(ValueError, match="greatest_s"):
        granite_mlx.SegmentLimits(greatest_s=0.5)


def test_cancelled_says_so() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled, match="stopped by its CancelToken"):
        token.check()


def test_a_stream_of_translations_reads_its_keywords_once(
    model: GraniteSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    monkeypatch.setattr(
        "granite_mlx.request.read_keywords", lambda k: read.append(k) or read_keywords(k)
    )
    model.stream(LONG, to="fr", keywords=["Sputnik"], **OPTIONS)
    assert [one for one in read if one is not None] == [["Sputnik"]]


def test_progress_of_a_batch_is_told_complete_once(model: GraniteSpeech) -> None:
    told: list[float] = []
    model.transcribe_batch([LONG, LONG], on_progress=told.append, **OPTIONS)
    assert told.count(1.0) == 1


def test_channels_out_of_phase_are_told(model: GraniteSpeech) -> None:
    stereo = np.stack([LONG, -LONG], axis=1)
    transcript = model.transcribe(stereo, **OPTIONS)
    assert codes(transcript) == ["out_of_phase", "silence"]
    first, second = transcript.warnings
    assert "channels='separate'" in first.message
    assert "once for each channel" in first.message
    assert "cancel each other out" in second.message  # the cause
    apart = model.transcribe(stereo, channels="separate", **OPTIONS)
    assert "out_of_phase" not in codes(apart)
    assert "out_of_phase" not in codes(model.transcribe(LONG, **OPTIONS))


def test_a_part_out_of_phase_has_its_time(model: GraniteSpeech) -> None:
    signs = np.where(np.arange(len(LONG)) < 8 * RATE, 1, -1)
    stereo = np.stack([LONG, LONG * signs], axis=1)
    transcript = model.transcribe(stereo, start_s=1.0, **OPTIONS)
    assert transcript.segments
    (warning,) = [one for one in transcript.warnings if one.code == "out_of_phase"]
    assert warning.start_s == 8.0
    assert warning.end_s == pytest.approx(len(LONG) / RATE, abs=0.5)


def test_a_stream_tells_the_warnings_of_the_transcript(model: GraniteSpeech) -> None:
    stereo = np.stack([LONG, LONG * np.where(np.arange(len(LONG)) < 8 * RATE, 1, -1)], axis=1)
    silent, damaged = np.zeros((RATE * 3, 2)), LONG.copy()
    damaged[11 * RATE] = np.nan
    for audio in (stereo, silent, np.stack([LONG, -LONG], axis=1), LONG):
        told: list[TranscriptWarning] = []
        segments = [*model.stream(audio, on_warning=told.append, **OPTIONS)]
        transcript = model.transcribe(audio, **OPTIONS)
        assert told == [*transcript.warnings]
        assert segments == [*transcript.segments]
    told = []
    with pytest.raises(AudioError, match="nan"):
        list(model.stream(damaged, on_warning=told.append, **OPTIONS))
    assert told == [*model.transcribe(damaged, **OPTIONS).warnings]


def test_what_on_warning_raises_ends_the_stream(model: GraniteSpeech) -> None:
    def on_warning(warning: TranscriptWarning) -> None:
        raise RuntimeError(warning.code)

    with pytest.raises(RuntimeError, match="cut_off"):
        list(model.stream(LONG, on_warning=on_warning, **OPTIONS))
