"""Live sessions of the demo checkpoint: finals, drafts, turns, and what goes wrong."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest

from granite_mlx import AudioError, Cancelled, GraniteSpeech, LanguageError
from granite_mlx.live.events import Draft, Event, Final, TurnDone, TurnStarted, TurnStopped

from ..segments.sounds import speech
from .talk import (
    RATE,
    assert_in_order,
    chunks,
    drafts,
    finals,
    listened,
    room,
    said,
    without_drafts,
)

TEXTS = [
    "yesterday the neighbour found a small horse at home",
    "à onze heures il y a vingt neuf couteaux sur la plage",
    "three eight seven nine six four",
]
ENOUGH_S = 60


def test_finals_are_the_offline_text_of_their_stretch(
    model: GraniteSpeech, talk: np.ndarray
) -> None:
    transcript, events = listened(model, talk)
    assert [one.text for one in transcript.segments] == TEXTS
    assert [one.text for one in finals(events)] == TEXTS
    for segment in transcript.segments:
        part = talk[round(segment.start_s * RATE) : round(segment.end_s * RATE)]
        (alone,) = model.transcribe(part, sample_rate=RATE).segments
        assert segment.text == alone.text
        assert segment.confidence == alone.confidence
        assert [w.start_s for w in segment.words] == pytest.approx(
            [segment.start_s + w.start_s for w in alone.words], abs=0.002
        )
    assert transcript.duration_s == len(talk) / RATE
    assert transcript.text == model.transcribe(talk, sample_rate=RATE).text


@pytest.mark.slow
@pytest.mark.parametrize("size", [777, 16_000, 10**9])
def test_chunks_do_not_matter(model: GraniteSpeech, talk: np.ndarray, size: int) -> None:
    samples = talk[: 8 * RATE]
    wanted, events = listened(model, samples, 1600)
    found, again = listened(model, samples, size)
    assert found == wanted
    assert again == events
    assert_in_order(events)


def test_drafts_grow_and_come_before_the_final_text(
    model: GraniteSpeech, examples: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("granite_mlx.live.session.DRAFT_REST", 0.0)  # however slow the machine is
    session = model.live()
    events: list[Event] = []
    samples, size = said(examples, "english"), 4800  # long enough for another draft
    with session:
        for n, chunk in enumerate(chunks(samples[: len(samples) // size * size], size), start=1):
            session.feed(chunk)
            wait_until(lambda n=n: session._drafted_s > (n * size - 1) / RATE)
            events += session.ready()
        session.finish()
        events += session.ready()
    assert_in_order(events)
    said_by = [one.text.split() for one in drafts(events)]
    assert len(said_by) >= 5
    assert [len(one) for one in said_by] == sorted(len(one) for one in said_by)
    for *words, last in said_by:  # of which there may be a beginning
        text = TEXTS[0].split()
        assert words == text[: len(words)]
        assert text[len(words)].startswith(last)
    places = [n for n, event in enumerate(events) if isinstance(event, Draft)]
    assert max(places) < next(n for n, event in enumerate(events) if isinstance(event, Final))


def test_a_turn_is_done_before_the_sound_ends(
    model: GraniteSpeech, examples: dict[str, np.ndarray]
) -> None:
    """The pause is enough: nothing more has to come."""
    with model.live() as session:
        session.feed(np.concatenate([examples["english"], room(0.6)]))
        told = iter(session)
        while not isinstance(event := next(told), Final):
            pass
        assert event.text == TEXTS[0]


def test_without_a_pause_pieces_overlap_and_no_word_is_lost(
    model: GraniteSpeech, examples: dict[str, np.ndarray]
) -> None:
    """As offline: digits are what the demo hears right from the middle of a sentence on."""
    digits = [examples["digits_nicolas"], examples["digits"]]
    samples = np.concatenate([sound[2000:-2000] for sound in digits * 2])
    transcript, events = listened(model, samples)
    assert_in_order(events)
    offline = model.transcribe(samples, sample_rate=RATE).text.split()
    assert abs(len(transcript.text.split()) - len(offline)) <= 1
    starts = [one.start_s for one in transcript.segments]
    assert starts == sorted(starts)


def test_a_seam_is_joined_as_offline(model: GraniteSpeech, examples: dict[str, np.ndarray]) -> None:
    """One voice without any gap: both cut where the character head finds the widest one."""
    part = examples["english"][3000 : 3 * RATE]
    samples = np.concatenate([part] * 5)
    transcript, events = listened(model, samples)
    offline = model.transcribe(samples, sample_rate=RATE)
    assert [(s.text, s.start_s, s.end_s) for s in transcript.segments] == [
        (s.text, s.start_s, s.end_s) for s in offline.segments
    ]
    assert any(
        before.at_s == after.at_s
        for before in events
        if isinstance(before, TurnStopped)
        for after in events
        if isinstance(after, TurnStarted)
    )
    assert_in_order(events)


def test_nothing_is_invented_where_nobody_speaks(model: GraniteSpeech) -> None:
    t = np.arange(4 * RATE) / RATE
    tone = (0.1 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    noise = np.concatenate([room(2), 100 * room(3), tone, np.zeros(2 * RATE, np.float32)])
    transcript, events = listened(model, noise)
    assert transcript.segments == ()
    assert [one.code for one in transcript.warnings] == ["no_speech"]
    assert_in_order(events)


def test_soft_speech_between_loud_speech_is_heard(
    model: GraniteSpeech, examples: dict[str, np.ndarray]
) -> None:
    soft = examples["english"] * np.float32(0.01)
    parts = [examples["french"], np.zeros(RATE, np.float32), soft, np.zeros(2 * RATE, np.float32)]
    transcript, _ = listened(model, np.concatenate(parts))
    assert "neighbour" in transcript.text
    assert "couteaux" in transcript.text


def test_committed_turns_are_offline_texts(
    model: GraniteSpeech, examples: dict[str, np.ndarray]
) -> None:
    parts = [said(examples, "english", "french"), examples["digits_nicolas"]]
    with model.live(turns="commits", drafts=False) as session:
        for part in parts:
            for chunk in chunks(part, 5000):
                session.feed(chunk)
            session.commit()
        session.commit()  # nothing was said since: no turn
        session.finish()
        events = session.ready()
    assert_in_order(events)
    assert [type(e) for e in events if isinstance(e, (TurnStarted, TurnDone))] == [
        TurnStarted, TurnDone, TurnStarted, TurnDone,
    ]  # fmt: skip
    for turn, part in enumerate(parts):
        text = " ".join(one.text for one in finals(events) if one.turn == turn)
        assert text == model.transcribe(part, sample_rate=RATE).text


def test_a_commit_ends_a_turn_at_once(
    model: GraniteSpeech, examples: dict[str, np.ndarray]
) -> None:
    with model.live(drafts=False) as session:
        session.feed(examples["english"][: 2 * RATE])
        session.commit()
        session.feed(examples["french"])
        transcript = session.finish()
    assert transcript.segments[0].text.startswith("yesterday the neighbour")
    assert transcript.segments[0].end_s <= 2
    assert transcript.segments[-1].text == TEXTS[1]


@pytest.mark.parametrize("turns", ["pauses", "commits"])
def test_what_is_cleared_is_not_written(
    model: GraniteSpeech, examples: dict[str, np.ndarray], turns: str
) -> None:
    with model.live(turns=turns, drafts=False) as session:
        session.feed(examples["english"][: 2 * RATE])
        session.clear()
        session.feed(examples["french"])
        transcript = session.finish()
        events = session.ready()
    assert transcript.text == TEXTS[1]
    assert_in_order(events)
    assert TurnDone(0, is_cleared=True) in events


def test_translation_and_keywords(model: GraniteSpeech, examples: dict[str, np.ndarray]) -> None:
    french = examples["french"]
    transcript, _ = listened(model, french, to="en", language="fr")
    assert transcript.text == model.translate(french, sample_rate=RATE, to="en").text
    assert (transcript.task, transcript.target_language) == ("translate", "en")
    named = examples["english_name"]
    found, _ = listened(model, named, keywords=["Erik"])
    assert found.text == model.transcribe(named, sample_rate=RATE, keywords=["Erik"]).text
    assert [one.term for one in found.keywords] == ["Erik"]


def test_pcm_at_another_rate(model: GraniteSpeech, examples: dict[str, np.ndarray]) -> None:
    import soxr

    sound = soxr.resample(examples["english"], RATE, 24_000)
    pcm = (np.clip(sound, -1, 1) * 32767).astype("<i2")
    with model.live(sample_rate=24_000, drafts=False) as session:
        for chunk in chunks(pcm, 1111):
            session.feed(chunk.tobytes())
        assert session.finish().text == TEXTS[0]


def test_sessions_share_the_model(model: GraniteSpeech, examples: dict[str, np.ndarray]) -> None:
    names = ["english", "french", "digits_nicolas"] * 2
    texts: dict[int, str] = {}

    def listen(place: int) -> None:
        sound = said(examples, names[place])
        texts[place] = listened(model, sound, drafts=True)[0].text

    threads = [threading.Thread(target=listen, args=(n,)) for n in range(len(names))]
    for thread in threads:
        thread.start()
    assert model.transcribe(examples["english"], sample_rate=RATE).text == TEXTS[0]
    for thread in threads:
        thread.join(ENOUGH_S)
    assert [texts[n] for n in range(len(names))] == TEXTS * 2


@pytest.mark.slow
def test_requests_and_sessions_with_and_without_a_boost_share_the_batch(
    model: GraniteSpeech, examples: dict[str, np.ndarray]
) -> None:
    # What so high a boost does would not stand before the guard.
    boost = {"keywords": ["neighbours", "Horst"], "keyword_boost": 12.0, "guard": "off"}
    samples = said(examples, "english")

    def live(**options: Any) -> str:
        return listened(model, samples, len(samples), **options)[0].text

    def transcribed(**options: Any) -> str:
        return model.transcribe(samples, sample_rate=RATE, **options).text

    calls = [partial(call, **options) for call in (live, transcribed) for options in ({}, boost)]
    alone = [call() for call in calls]
    assert alone[1] != alone[0] == TEXTS[0]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(call) for call in calls * 2]
        assert [job.result() for job in jobs] == alone * 2


def test_a_piece_that_fails_is_told_and_the_others_stand(
    model: GraniteSpeech, talk: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from granite_mlx.recognition import Recogniser

    prepared, calls = Recogniser.prepared, []

    def failing(self, askeds):
        calls.append(askeds)
        if len(calls) == 1:
            raise MemoryError("too little")
        return prepared(self, askeds)

    monkeypatch.setattr(Recogniser, "prepared", failing)
    transcript, events = listened(model, talk)
    assert [one.text for one in transcript.segments] == TEXTS[1:]
    first, *others = finals(events)
    assert isinstance(first.error, MemoryError)
    assert [one.code for one in first.warnings] == ["segment_failed"]
    assert all(one.error is None and one.warnings == () for one in others)
    assert_in_order(events)


def test_bad_chunks_are_refused_and_the_session_goes_on(
    model: GraniteSpeech, examples: dict[str, np.ndarray]
) -> None:
    with model.live(drafts=False) as session:
        for bad, error in [
            (np.array([0.1, np.nan], np.float32), AudioError),
            (np.zeros((2, 2), np.float32), ValueError),
            (np.zeros(3, np.int64), TypeError),
            (b"odd", ValueError),
            ([0.0, 0.1], TypeError),
        ]:
            with pytest.raises(error):
                session.feed(bad)
        session.feed(np.zeros(0, np.float32))
        session.feed(examples["english"])
        assert session.finish().text == TEXTS[0]
        with pytest.raises(RuntimeError, match="is over"):
            session.feed(examples["english"])
        assert session.finish().text == TEXTS[0]


def test_wrong_options_are_refused_at_once(model: GraniteSpeech) -> None:
    for options, error in [
        ({"turns": "words"}, ValueError),
        ({"language": "Klingon"}, LanguageError),
        ({"sample_rate": 7999}, ValueError),
        ({"sample_rate": 16000.0}, TypeError),
        ({"keywords": "one"}, TypeError),
    ]:
        with pytest.raises(error):
            model.live(**options)
    assert not [thread for thread in threading.enumerate() if "live" in thread.name]


def test_a_closed_session_ends(model: GraniteSpeech, talk: np.ndarray) -> None:
    session = model.live()
    session.feed(talk)
    session.close()
    assert session.is_over
    with pytest.raises(Cancelled):
        session.finish()
    with pytest.raises(Cancelled):
        list(session)
    with pytest.raises((Cancelled, RuntimeError)):
        session.feed(talk)


def test_what_a_listener_raises_ends_the_session(model: GraniteSpeech, talk: np.ndarray) -> None:
    def on_event(event: Event) -> None:
        raise ZeroDivisionError

    with model.live(on_event=on_event) as session:
        session.feed(talk)
        with pytest.raises(ZeroDivisionError):
            session.finish()


def test_events_reach_a_function_in_order(model: GraniteSpeech, talk: np.ndarray) -> None:
    told: list[Event] = []
    _, ready = listened(model, talk, on_event=told.append)
    assert ready == []
    assert without_drafts(told) == without_drafts(listened(model, talk)[1])


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ENOUGH_S
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_sound(model: GraniteSpeech) -> None:
    """Hours are the same: what is held is the open piece and 30 s of levels, and the text."""
    held: list[tuple[int, int]] = []

    def on_event(event: Event) -> None:
        splitter = session._turns._splitter
        held.append((len(splitter._samples), len(splitter._history)))

    rng = np.random.default_rng(3)
    babble = [
        np.concatenate([speech(rng.uniform(0.3, 9), seed=n), room(rng.uniform(0.1, 30))])
        for n in range(12)
    ]
    with model.live(drafts=False, guard="off", on_event=on_event) as session:
        for part in babble:
            session.feed(part)
        assert session.finish().duration_s > 60
    longest_s = model.segment_limits.greatest_s + model.segment_limits.long_pause_s
    assert max(n_samples for n_samples, _ in held) <= (longest_s + 0.2) * RATE
    assert max(n_levels for _, n_levels in held) <= 3000
