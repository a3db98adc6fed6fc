"""A loaded model that is asked: options to requests, and requests to answers.

What all forms of asking have in common; the forms are in speech.py and live/model.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial

from granite_mlx.audio.files import AudioSource
from granite_mlx.audio.stream import Part
from granite_mlx.cancelling import CancelToken
from granite_mlx.decoding.prompts import Task
from granite_mlx.decoding.sampling import make_sampler
from granite_mlx.decoding.speculative import Speculative, draft_use
from granite_mlx.listening import Listening
from granite_mlx.loaded import LoadedModel
from granite_mlx.options import Channels, checked_boost, checked_channels, whole_number
from granite_mlx.ranges import Range, stretches
from granite_mlx.request import Request
from granite_mlx.segments.limits import SegmentLimits
from granite_mlx.transcript import Segment, Transcript, TranscriptWarning


class AskedModel(LoadedModel):
    """Checks what is asked, and goes through recordings."""

    def _request(
        self,
        task: Task,
        audio: AudioSource,
        sample_rate: int | None,
        part_s: tuple[float, float | None],
        sampling: tuple[float, float, int | None],
        max_new_tokens: int | None,
        speculative: Speculative,
        channels: Channels,
        ranges: Sequence[Range],
        segments: SegmentLimits | None,
        cancel: CancelToken | None,
        on_progress: Callable[[float], None] | None,
        align: bool,
        guarded: bool,
        keyword_boost: float,
    ) -> Request:
        """Options, checked before any work."""
        new_sampler = partial(make_sampler, *sampling)
        new_sampler()  # raises what there is to raise
        drafts = draft_use(speculative, sampling[0])
        if max_new_tokens is not None:
            most = self.config.text.max_position_embeddings - 1
            max_new_tokens = whole_number("max_new_tokens", max_new_tokens, most)
        asked = stretches(task, ranges)
        boost = checked_boost(keyword_boost)
        if boost and not any(one.task.keywords for one in asked):
            raise ValueError("keyword_boost has no keywords to raise; give some, or leave it out.")
        limit_s = min(self._checked_limit_s(one.task, max_new_tokens) for one in asked)
        return Request(
            audio, sample_rate, Part(*part_s), asked, new_sampler, max_new_tokens, drafts,
            (segments or self.segment_limits).within(limit_s), checked_channels(channels),
            cancel or CancelToken(), on_progress, align, guarded, self.keywords_per_prompt,
            boost,
        )  # fmt: skip

    def _transcript(
        self, request: Request, n_rows: int, on_segment: Callable[[Segment], None] | None
    ) -> Transcript:
        """All segments of one recording; the first one comes alone where somebody waits for it."""
        with closing(self._heard([request], n_rows, 1 if on_segment else n_rows)) as heard:
            for listening, final in heard:  # noqa: B007  # the last one is looked at below
                if on_segment is not None:
                    for segment in final:
                        on_segment(segment)
        result = listening.result(self.model_id)
        if isinstance(result, Exception):
            raise result
        return result

    def _segments(
        self, request: Request, n_rows: int, on_warning: Callable[[TranscriptWarning], None]
    ) -> Generator[Segment, None, None]:
        """The same, one after the other; the first one comes alone, since somebody waits."""
        with closing(self._heard([request], n_rows, 1)) as heard:
            for listening, final in heard:
                if listening.is_complete and listening.error is None:
                    listening.assembly.conclude()
                for warning in listening.assembly.new_warnings():
                    on_warning(warning)
                yield from final
        error = listening.error or listening.reading.damage
        if error is not None:
            raise error

    def _heard(
        self, requests: Sequence[Request], n_rows: int, n_first: int
    ) -> Generator[tuple[Listening, list[Segment]], None, None]:
        """What becomes final, as in `Listener.listen`. BusyError where too many are at work."""
        self._check_open()
        with self._scheduler.place():
            listenings = [Listening(request, self._listener) for request in requests]
            yield from self._listener.listen(listenings, n_rows, n_first)
