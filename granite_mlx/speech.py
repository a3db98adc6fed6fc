"""A loaded model: transcribe, stream, translate, listen live.

The whole path from a recording to its segments is `Listener.listen` in listening.py, in numbered
steps; here are the questions and the forms of the answer, except `live`, which is in
live/model.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from granite_mlx.asynchronous import awaited, streamed
from granite_mlx.audio.files import AudioSource, load_audio
from granite_mlx.biasing.terms import Entry
from granite_mlx.cancelling import CancelToken, own_token
from granite_mlx.decoding.speculative import Speculative
from granite_mlx.decoding.word_times import WordTimes
from granite_mlx.errors import GraniteError
from granite_mlx.live.model import LiveModel
from granite_mlx.options import BATCH_SIZE, Channels, Guard, checked_batch_size, is_guarded
from granite_mlx.ranges import Range
from granite_mlx.request import SharedProgress, silence, transcription, translation
from granite_mlx.segments.limits import SegmentLimits
from granite_mlx.transcript import Segment, Transcript, TranscriptWarning


class GraniteSpeech(LiveModel):
    """A loaded model. Its methods may be called from any thread.

    Recordings are read on the caller's thread; what MLX computes runs on one thread, where the
    segments of all callers are decoded in one batch.

    Made by `granite_mlx.load`. A ``with`` block, or `close`, frees its memory. `model_id` is
    "demo", a Hugging Face id, or the folder as it was given; `family` decides what the model is
    asked, `segment_limits` where a long recording is cut, and `keywords_per_prompt` how many
    keywords the decoder is given at once.
    """

    def transcribe(
        self,
        audio: AudioSource,
        *,
        sample_rate: int | None = None,
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
        start_s: float = 0.0,
        end_s: float | None = None,
        channels: Channels = "mixed",
        ranges: Sequence[Range] = (),
        segments: SegmentLimits | None = None,
        batch_size: int = BATCH_SIZE,
        cancel: CancelToken | None = None,
        on_progress: Callable[[float], None] | None = None,
        on_segment: Callable[[Segment], None] | None = None,
    ) -> Transcript:
        """Write down what is said in a recording of any length.

        Args:
            audio: a path, the bytes of a file, a binary file object, or an array of samples of
                shape (n,) or (n, channels), which needs `sample_rate` in Hz.
            keywords: terms whose spelling is to be used where they are spoken, as a list or a
                `pathlib.Path` to a file with one a line; up to 100,000. A pair of a term and a
                list of aliases tells how it sounds: ("Siobhán", ["shivon"]). Of a list of more
                than `keywords_per_prompt`, the model is given those that are like what the
                encoder hears in a segment (docs/keywords.md).
            keyword_boost: what is added, in nats, to the decoder's log-probability of each token
                of a term that is like what the encoder hears; 0 is off (docs/keywords.md).
            language: the spoken language, by code or English name. It is noted in the result;
                models after 4.0 are told it, 4.1 only when `punctuate` is set.
            punctuate: ask for punctuation and capital letters.
            speakers: make a segment of each speaker's turn (4.1-2b-plus only). The model does not
                tell a turn's times: they are those of its words, or of the stretch around it.
            word_times: "aligned" finds when each word is said, and how probably it is right, from
                what the encoder's character head hears; there are none where the head cannot
                spell the text. "model" asks the model itself (4.1-2b-plus only, and not with
                `speakers`). "off" does neither.
            temperature: 0 takes the most probable token; above 0 tokens are sampled.
            top_p: sample from the smallest set of tokens with this probability.
            seed: makes sampling repeatable.
            max_new_tokens: the most tokens of text of a segment; None lets its duration decide.
            speculative: "exact" lets the decoder verify what the encoder's character head has
                heard, many tokens at once; the text is the decoder's own, only sooner. "relaxed"
                is IBM's way: what the head is sure of, or the decoder finds likely, stands.
                "off" writes token by token, as sampling always does.
            guard: "on" leaves out or names what the encoder has not heard, and asks again where
                the text repeats itself (docs/guard.md); "off" is what the decoder writes.
            start_s: where to begin, in seconds.
            end_s: where to end, in seconds; None is the recording's end.
            channels: "separate" transcribes each channel by itself: its segments have the speaker
                "channel 1" and so on, and come in the order in which they begin.
            ranges: parts of the recording with another language, task or list of keywords.
            segments: where to cut; None takes what suits the model.
            batch_size: the most segments that are worked on at once. Each takes memory for its
                keys and values: 160 kB a token for IBM's model in float32, half of it in bfloat16.
            cancel: stops the work from any thread; this call then raises `Cancelled` and returns
                nothing (`stream` has given what was final). `except Exception` does not catch it.
            on_progress: called with a fraction from 0 to 1, on the MLX thread or the caller's.
            on_segment: called with each segment once it is final, in order, on the caller's
                thread; what it raises ends the call. It then waits for one segment at a time at
                first, as `stream` does.

        Raises:
            AudioError: the recording cannot be read. Damage behind a complete segment is a
                warning, and so is a segment that fails.
            RecognitionError: every segment failed.
            LanguageError: `language` is unknown or not one that the model hears.
            TypeError: `keywords` is a bare string, or `audio` of a wrong type.
            ValueError: any other option out of range or not for this model, or an empty keyword.
        """
        task = transcription(keywords, language, punctuate, speakers, word_times)
        request = self._request(
            task, audio, sample_rate, (start_s, end_s), (temperature, top_p, seed),
            max_new_tokens, speculative, channels, ranges, segments, cancel, on_progress,
            word_times == "aligned", is_guarded(guard), keyword_boost,
        )  # fmt: skip
        return self._transcript(request, checked_batch_size(batch_size), on_segment)

    def stream(
        self,
        audio: AudioSource,
        *,
        to: str | None = None,
        sample_rate: int | None = None,
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
        start_s: float = 0.0,
        end_s: float | None = None,
        channels: Channels = "mixed",
        ranges: Sequence[Range] = (),
        segments: SegmentLimits | None = None,
        batch_size: int = BATCH_SIZE,
        cancel: CancelToken | None = None,
        on_progress: Callable[[float], None] | None = None,
        on_warning: Callable[[TranscriptWarning], None] | None = None,
    ) -> Generator[Segment, None, None]:
        """The segments of `transcribe`, or of `translate` where `to` is given, as they come.

        Each is final. Options and errors are those of the two; options are checked at once, and
        the recording is opened when the first segment is asked for. Damage behind a complete
        segment raises AudioError behind the last one.

        Args:
            on_warning: called with each of the warnings that the transcript would hold: those
                about a segment before it is given or together with later ones, those about the
                whole recording, as `out_of_phase`, at its end. It runs where the next segment is
                waited for (of `stream_async`, on a thread of its pool); what it raises, the
                caller gets. Without it they are not told.

        The other arguments are those of the two.
        """
        if to is None:
            task = transcription(keywords, language, punctuate, speakers, word_times)
        else:
            transcription(None, language, punctuate, speakers, word_times)  # checks the options
            task = translation(to, language, punctuate, keywords)
        request = self._request(
            task, audio, sample_rate, (start_s, end_s), (temperature, top_p, seed),
            max_new_tokens, speculative, channels, ranges, segments, cancel, on_progress,
            word_times == "aligned", is_guarded(guard), keyword_boost,
        )  # fmt: skip
        tell = on_warning or (lambda warning: None)
        return self._segments(request, checked_batch_size(batch_size), tell)

    def transcribe_batch(
        self,
        audio: Iterable[AudioSource],
        *,
        sample_rate: int | None = None,
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
        start_s: float = 0.0,
        end_s: float | None = None,
        channels: Channels = "mixed",
        ranges: Sequence[Range] = (),
        segments: SegmentLimits | None = None,
        batch_size: int = BATCH_SIZE,
        cancel: CancelToken | None = None,
        on_progress: Callable[[float], None] | None = None,
        on_result: Callable[[int, Transcript | Exception], None] | None = None,
    ) -> list[Transcript | GraniteError | TypeError | ValueError]:
        """Write down what is said in many recordings, several at a time.

        Each gets the text that `transcribe` gives it (in float32; in half precision the last bits
        of a sum may differ, and with them now and then a word).

        Args:
            audio: recordings, each as in `transcribe`. They are read some at a time.
            batch_size: the most segments, of one recording or of several, at once.
            on_progress: called with a fraction of the whole, on the MLX thread or the caller's.
            on_result: called on the caller's thread with the place of a recording in the list and
                what is returned for it, in order, each when the batch of its last segment is done.

        The other arguments are those of `transcribe`, for every recording.

        Returns:
            One for each recording, in order: its transcript, or the error that `transcribe` would
            have raised about it.

        Raises:
            LanguageError, TypeError, ValueError: options that are wrong for every recording.
        """
        if isinstance(audio, (str, bytes, Path, np.ndarray)):
            raise TypeError("audio must be a list of recordings; transcribe takes a single one.")
        batch_size = checked_batch_size(batch_size)
        task = transcription(keywords, language, punctuate, speakers, word_times)
        recordings = list(audio)
        progress = SharedProgress(len(recordings), on_progress)
        request = partial(
            self._request, task, sample_rate=sample_rate, part_s=(start_s, end_s),
            sampling=(temperature, top_p, seed), max_new_tokens=max_new_tokens,
            speculative=speculative, channels=channels, ranges=ranges, segments=segments,
            cancel=cancel, align=word_times == "aligned", guarded=is_guarded(guard),
            keyword_boost=keyword_boost,
        )  # fmt: skip
        request(b"", on_progress=None)  # what is wrong with the options is no recording's error
        requests = [request(one, on_progress=progress.of(n)) for n, one in enumerate(recordings)]
        results: list[Transcript | GraniteError | TypeError | ValueError] = []
        with closing(self._heard(requests, batch_size, batch_size)) as heard:
            for listening, _ in heard:
                if listening.is_complete:
                    listening.progress.report(1.0)
                    results.append(listening.result(self.model_id))
                    if on_result is not None:
                        on_result(len(results) - 1, results[-1])
        return results

    def translate(
        self,
        audio: AudioSource,
        *,
        to: str,
        sample_rate: int | None = None,
        keywords: Iterable[Entry] | Path | None = None,
        keyword_boost: float = 0.0,
        language: str | None = None,
        punctuate: bool = False,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        max_new_tokens: int | None = None,
        guard: Guard = "on",
        start_s: float = 0.0,
        end_s: float | None = None,
        channels: Channels = "mixed",
        ranges: Sequence[Range] = (),
        segments: SegmentLimits | None = None,
        batch_size: int = BATCH_SIZE,
        cancel: CancelToken | None = None,
        on_progress: Callable[[float], None] | None = None,
        on_segment: Callable[[Segment], None] | None = None,
    ) -> Transcript:
        """Write down in another language what is said in a recording of any length.

        Args:
            to: the language to write, by code or English name. English speech translates to
                French, German, Spanish, Portuguese, Japanese, Italian and Mandarin, speech in
                the other spoken languages to English.

        The other arguments and errors are those of `transcribe`; a pair that the model was not
        trained for is a LanguageError as far as `language` tells what is spoken. 4.1-2b-plus
        translates nothing.
        """
        request = self._request(
            translation(to, language, punctuate, keywords), audio, sample_rate, (start_s, end_s),
            (temperature, top_p, seed), max_new_tokens, "off", channels, ranges, segments, cancel,
            on_progress, False, is_guarded(guard), keyword_boost,
        )  # fmt: skip
        return self._transcript(request, checked_batch_size(batch_size), on_segment)

    # The same awaited. Options and errors are those of the form without `_async`; a task that is
    # cancelled stops the work.

    async def transcribe_async(
        self, audio: AudioSource, *, cancel: CancelToken | None = None, **options: Any
    ) -> Transcript:
        """`transcribe`, awaited."""
        return await awaited(lambda token: self.transcribe(audio, cancel=token, **options), cancel)

    async def translate_async(
        self, audio: AudioSource, *, to: str, cancel: CancelToken | None = None, **options: Any
    ) -> Transcript:
        """`translate`, awaited."""
        return await awaited(
            lambda token: self.translate(audio, to=to, cancel=token, **options), cancel
        )

    async def transcribe_batch_async(
        self, audio: Iterable[AudioSource], *, cancel: CancelToken | None = None, **options: Any
    ) -> list[Transcript | GraniteError | TypeError | ValueError]:
        """`transcribe_batch`, awaited."""
        return await awaited(
            lambda token: self.transcribe_batch(audio, cancel=token, **options), cancel
        )

    def stream_async(
        self, audio: AudioSource, *, cancel: CancelToken | None = None, **options: Any
    ) -> AsyncIterator[Segment]:
        """`stream`, for ``async for``: a segment is worked on when it is waited for."""
        token = own_token(cancel)
        return streamed(self.stream(audio, cancel=token, **options), token)

    def ctc_text(
        self,
        audio: AudioSource,
        *,
        sample_rate: int | None = None,
        start_s: float = 0.0,
        end_s: float | None = None,
    ) -> str:
        """What the encoder's character head alone hears: quick, unpunctuated, less exact.

        Arguments and errors as in `transcribe`; `max_duration_s` is the longest it hears. Letters
        beyond Latin-1 are missing.
        """
        self._check_open()
        samples = load_audio(
            audio,
            sample_rate=sample_rate,
            start_s=start_s,
            end_s=end_s,
            max_duration_s=self.max_duration_s,
        )
        if silence(samples) is not None:
            return ""
        with self._scheduler.place():
            return self._thread.run(self._spell, samples)

    def _spell(self, samples: np.ndarray) -> str:
        return self._recogniser(self._thread.checkpoint).spell(samples)
