"""The events of a live session -> messages about items of OpenAI's conversation.

A turn is an item. Before it is committed, by a pause or by the client, its text is a draft.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from granite_mlx.live.events import Draft, Event, Final, TurnDone, TurnStarted, TurnStopped
from granite_mlx.serve.realtime_messages import new_id, written
from granite_mlx.transcript import Segment
from granite_mlx.transcript.characters import between, joined

TRANSCRIPTION = "conversation.item.input_audio_transcription"
DRAFT = "granite.transcription.draft"


@dataclass
class _Item:
    """A turn on its way."""

    id: str = field(default_factory=lambda: new_id("item"))
    start_s: float = 0.0
    end_s: float = 0.0
    is_committed: bool = False
    draft: str = ""
    finals: list[Final] = field(default_factory=list)
    n_told: int = 0

    @property
    def text(self) -> str:
        return joined(one.text for one in self.finals)

    @property
    def error(self) -> Exception | None:
        """Why there is nothing of it, where all that was said failed."""
        errors = [one.error for one in self.finals]
        return errors[0] if errors and all(errors) else None


class Items:
    """Items in order.

    Args:
        at_pauses: whether the server decides where a turn ends.
        offset_s: where in all that was sent the live session began.
        previous_id: the item before the first one.
    """

    def __init__(
        self, *, at_pauses: bool, is_beta: bool, offset_s: float = 0.0, previous_id: str | None
    ) -> None:
        self.previous_id = previous_id
        self._at_pauses, self._is_beta, self._offset_s = at_pauses, is_beta, offset_s
        self._items: dict[int, _Item] = {}

    def messages(self, event: Event) -> Iterator[str]:
        """What a client is told of an event."""
        item = self._items.setdefault(event.turn, _Item())
        match event:
            case TurnStarted():
                yield from self._started(item, event)
            case TurnStopped():
                yield from self._committed(item, event)
            case Draft():
                item.draft = event.text
                yield _draft(item)
            case Final():
                item.draft = ""
                item.finals.append(event)
                yield from self._deltas(item) if item.is_committed else [_draft(item)]
            case TurnDone():
                del self._items[event.turn]
                if not event.is_cleared:
                    yield self._done(item)

    def _started(self, item: _Item, event: TurnStarted) -> Iterator[str]:
        item.start_s = event.at_s
        if self._at_pauses:
            yield written(
                "input_audio_buffer.speech_started",
                audio_start_ms=self._ms(event.at_s),
                item_id=item.id,
            )

    def _committed(self, item: _Item, event: TurnStopped) -> Iterator[str]:
        item.end_s, item.is_committed = event.at_s, True
        if self._at_pauses:
            yield written(
                "input_audio_buffer.speech_stopped",
                audio_end_ms=self._ms(event.at_s),
                item_id=item.id,
            )
        previous_id, self.previous_id = self.previous_id, item.id
        yield written("input_audio_buffer.committed", item_id=item.id, previous_item_id=previous_id)
        kinds = ("created",) if self._is_beta else ("added", "done")
        for kind in kinds:
            yield written(
                f"conversation.item.{kind}", previous_item_id=previous_id, item=_user_item(item)
            )
        yield from self._deltas(item)

    def _deltas(self, item: _Item) -> Iterator[str]:
        for final in item.finals[item.n_told :]:
            said = [one.text for one in item.finals[: item.n_told] if one.text]
            item.n_told += 1
            if final.text:
                delta = between(said[-1], final.text) + final.text if said else final.text
                yield written(
                    f"{TRANSCRIPTION}.delta", item_id=item.id, content_index=0, delta=delta
                )

    def _done(self, item: _Item) -> str:
        if item.error is not None:
            message = f"the turn could not be transcribed: {item.error}"
            error = {"type": "server_error", "code": "transcription_failed", "message": message}
            return written(f"{TRANSCRIPTION}.failed", item_id=item.id, content_index=0, error=error)
        return written(
            f"{TRANSCRIPTION}.completed",
            item_id=item.id,
            content_index=0,
            transcript=item.text,
            usage={"type": "duration", "seconds": round(item.end_s - item.start_s, 3)},
            granite=self._details(item),
        )

    def _details(self, item: _Item) -> dict[str, Any]:
        """Our extension: segments with times and confidence, and what there is to warn of."""
        segments = [self._segment(one) for final in item.finals for one in final.segments]
        warnings = [
            {"code": one.code, "message": one.message}
            for final in item.finals
            for one in final.warnings
        ]
        return {"segments": segments, "warnings": warnings}

    def _segment(self, segment: Segment) -> dict[str, Any]:
        return {
            "start_s": self._s(segment.start_s),
            "end_s": self._s(segment.end_s),
            "text": segment.text,
            "confidence": segment.confidence,
            "words": [
                {
                    "start_s": self._s(word.start_s),
                    "end_s": self._s(word.end_s),
                    "text": word.text,
                    "confidence": word.confidence,
                }
                for word in segment.words
            ],
        }

    def _s(self, at_s: float) -> float:
        return round(self._offset_s + at_s, 3)

    def _ms(self, at_s: float) -> int:
        return round(1000 * (self._offset_s + at_s))


def _draft(item: _Item) -> str:
    """What is not final of an item, and, before it is committed, what is."""
    before = "" if item.is_committed else item.text
    text = " ".join(part for part in (before, item.draft) if part)
    return written(DRAFT, item_id=item.id, content_index=0, text=text)


def _user_item(item: _Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
