"""Recordings joined with pauses, fed in chunks, and what comes of it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from granite_mlx import GraniteSpeech, Transcript
from granite_mlx.live.events import Draft, Event, Final, TurnDone, TurnStarted, TurnStopped

RATE = 16_000


def room(duration_s: float, seed: int = 0) -> np.ndarray:
    """Noise 60 dB below full scale."""
    rng = np.random.default_rng(seed)
    return (1e-3 * rng.standard_normal(round(duration_s * RATE))).astype(np.float32)


def said(examples: dict[str, np.ndarray], *names: str, pause_s: float = 1.0) -> np.ndarray:
    parts = [part for name in names for part in (examples[name], room(pause_s))]
    return np.concatenate(parts)


def chunks(samples: np.ndarray, size: int) -> Iterable[np.ndarray]:
    return (samples[start : start + size] for start in range(0, len(samples), size))


def listened(
    model: GraniteSpeech, samples: np.ndarray, size: int = 1600, **options: Any
) -> tuple[Transcript, list[Event]]:
    with model.live(**{"drafts": False} | options) as session:
        for chunk in chunks(samples, size):
            session.feed(chunk)
        return session.finish(), session.ready()


def finals(events: Iterable[Event]) -> list[Final]:
    return [event for event in events if isinstance(event, Final)]


def drafts(events: Iterable[Event]) -> list[Draft]:
    return [event for event in events if isinstance(event, Draft)]


def without_drafts(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Draft)]


def assert_in_order(events: Sequence[Event]) -> None:
    """Each turn starts, stops and is done, once; turns are done one after the other."""
    open_turns: dict[int, str] = {}
    done: list[int] = []
    for event in events:
        state = open_turns.get(event.turn)
        match event:
            case TurnStarted():
                assert state is None
                assert event.turn not in done
                open_turns[event.turn] = "started"
            case TurnStopped():
                assert state == "started"
                open_turns[event.turn] = "stopped"
            case Draft() | Final():
                assert state is not None
            case TurnDone():
                assert state == ("started" if event.is_cleared else "stopped")
                del open_turns[event.turn]
                done.append(event.turn)
    assert open_turns == {}
    assert done == list(range(len(done)))
