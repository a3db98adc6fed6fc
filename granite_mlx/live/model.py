"""A loaded model that listens to speech as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from granite_mlx.asked_model import AskedModel
from granite_mlx.audio.stream import SAMPLE_RATE
from granite_mlx.biasing.terms import Entry
from granite_mlx.cancelling import CancelToken
from granite_mlx.decoding.speculative import Speculative
from granite_mlx.decoding.word_times import WordTimes
from granite_mlx.live.cutting import live_limits
from granite_mlx.live.events import Event
from granite_mlx.live.options import TurnsEnd
from granite_mlx.live.session import LiveSession
from granite_mlx.live.turns import turns_that_end_at
from granite_mlx.options import Guard, is_guarded
from granite_mlx.request import transcription, translation
from granite_mlx.segments.limits import SegmentLimits


class LiveModel(AskedModel):
    """Makes live sessions, whose segments join the batch of all callers."""

    def live(
        self,
        *,
        to: str | None = None,
        sample_rate: int = SAMPLE_RATE,
        turns: TurnsEnd = "pauses",
        keywords: Iterable[Entry] | Path | None = None,
        keyword_boost: float = 0.0,
        language: str | None = None,
        punctuate: bool = False,
        speakers: bool = False,
        word_times: WordTimes = "aligned",
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        max_new_tokens: int | None = None,
        speculative: Speculative = "exact",
        guard: Guard = "on",
        segments: SegmentLimits | None = None,
        drafts: bool = True,
        on_event: Callable[[Event], None] | None = None,
    ) -> LiveSession:
        """Listen to speech as it comes: a session that sound is fed to (docs/live.md).

        Args:
            to: translate to this language, as `translate` does; drafts are in the spoken one.
            sample_rate: of what will be fed, in Hz.
            turns: "pauses" ends a turn where somebody pauses; "commits" where `commit` is called.
            segments: where to cut; None takes what suits the model, but lets a pause end a turn
                that is shorter.
            drafts: whether it is told what a turn seems to say before its text is final.
            on_event: called with each event on the session's thread, in place of `ready` and
                iteration; it should return soon.

        The other arguments and errors are those of `transcribe`.
        """
        task = transcription(keywords, language, punctuate, speakers, word_times)
        if to is not None:
            task, speculative = translation(to, language, punctuate, keywords), "off"
        kind, cancel = turns_that_end_at(turns), CancelToken()
        if segments is None and turns == "pauses":
            segments = live_limits(self.segment_limits)
        request = self._request(
            task, b"", None, (0.0, None), (temperature, top_p, seed), max_new_tokens, speculative,
            "mixed", (), segments, cancel, None, to is None and word_times == "aligned",
            is_guarded(guard), keyword_boost,
        )  # fmt: skip
        self._check_open()
        block_s = self.config.encoder.context_size / self.features.frames_per_second
        return LiveSession(
            kind(request, self._listener, block_s), self.model_id, sample_rate, cancel, on_event,
            drafts,
        )  # fmt: skip
