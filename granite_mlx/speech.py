"""A loaded model: transcribe, translate.

`GraniteSpeech._listen` is the whole path from a recording to its transcript, in numbered steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np

from granite_mlx.audio.features import FeatureConfig, log_mel
from granite_mlx.audio.files import SAMPLE_RATE, load_audio
from granite_mlx.ctc.greedy import greedy_text
from granite_mlx.decoding.budget import longest_audio_s, token_budget
from granite_mlx.decoding.generate import Generated, generate
from granite_mlx.decoding.keywords import read_keywords, report_keywords
from granite_mlx.decoding.languages import spoken_language, translation_pair
from granite_mlx.decoding.prompts import Family, Task, instruction
from granite_mlx.decoding.sampling import Sampler, make_sampler
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.engine import MLXThread
from granite_mlx.model.config import SpeechConfig
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import DTYPES
from granite_mlx.transcript import Segment, Transcript, TranscriptWarning

if TYPE_CHECKING:
    from granite_mlx.audio.files import AudioSource

SHORTEST_AUDIO_S = 0.04
"""Less than two encoder frames holds no word."""

SILENCE_PEAK = 1 / 32768
"""A recording in which no sample exceeds the smallest step of 16 bits is silent."""


@dataclass(frozen=True)
class _Request:
    """One recording and what is wanted of it, checked."""

    audio: AudioSource
    sample_rate: int | None
    start_s: float
    end_s: float | None
    task: Task
    sampler: Sampler
    max_new_tokens: int | None
    on_progress: Callable[[float], None] | None

    def report(self, fraction: float) -> None:
        """Tell the caller how far the work is."""
        if self.on_progress is not None:
            self.on_progress(fraction)


class GraniteSpeech:
    """A loaded model. Its methods may be called from any thread; they run one at a time.

    Made by `granite_mlx.load`. A ``with`` block, or `close`, frees its memory. `model_id` is
    "demo", a Hugging Face id, or the folder as it was given.
    """

    def __init__(
        self,
        model_id: str,
        family: Family,
        config: SpeechConfig,
        features: FeatureConfig,
        tokenizer: SpeechTokenizer,
        network: SpeechModel,
        thread: MLXThread,
    ) -> None:
        self.model_id = model_id
        self.config = config
        self.features = features
        self.tokenizer = tokenizer
        self._network: SpeechModel | None = network
        self._family = family
        self._thread = thread

    @property
    def network(self) -> SpeechModel:
        """The weights. RuntimeError once the model is closed."""
        if self._network is None:
            raise RuntimeError(f"the model {self.model_id} is closed; load it again.")
        return self._network

    @property
    def dtype(self) -> str:
        """The weights' type: "bfloat16", say."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.network.dtype)

    @property
    def max_duration_s(self) -> float:
        """The longest recording, in seconds, that a plain transcription takes."""
        return self._longest_audio_s(instruction(Task(), self._family), None)

    def transcribe(
        self,
        audio: AudioSource,
        *,
        sample_rate: int | None = None,
        keywords: Iterable[str] | Path | None = None,
        language: str | None = None,
        punctuate: bool = False,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        max_new_tokens: int | None = None,
        start_s: float = 0.0,
        end_s: float | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> Transcript:
        """Write down what is said in a recording.

        Args:
            audio: a path, the bytes of a file, a binary file object, or an array of samples of
                shape (n,) or (n, channels), which needs `sample_rate` in Hz.
            keywords: terms whose spelling is to be used where they are spoken, as a list or a
                `pathlib.Path` to a file with one a line.
            language: the spoken language, by code or English name. It is noted in the result;
                models after 4.0 are told it when `punctuate` is set.
            punctuate: ask for punctuation and capital letters.
            temperature: 0 takes the most probable token; above 0 tokens are sampled.
            top_p: sample from the smallest set of tokens with this probability.
            seed: makes sampling repeatable.
            max_new_tokens: the most tokens of text; None lets the duration decide.
            start_s: where to begin, in seconds.
            end_s: where to end, in seconds; None is the recording's end.
            on_progress: called with a fraction from 0 to 1, on the MLX thread.

        Raises:
            AudioError: the recording cannot be read.
            AudioTooLongError: it does not fit the model's context.
            LanguageError: `language` is unknown or not one that the model hears.
            TypeError: `keywords` is a bare string, or `audio` of a wrong type.
            ValueError: any other option out of range, or an empty keyword.
        """
        spoken = None if language is None else spoken_language(language)
        task = Task(None, spoken, punctuate, read_keywords(keywords))
        sampler = make_sampler(temperature, top_p, seed)
        budget = self._checked_budget(max_new_tokens)
        audio = _computed(audio)
        request = _Request(audio, sample_rate, start_s, end_s, task, sampler, budget, on_progress)
        return self._thread.run(self._listen, request)

    def translate(
        self,
        audio: AudioSource,
        *,
        to: str,
        sample_rate: int | None = None,
        keywords: Iterable[str] | Path | None = None,
        language: str | None = None,
        punctuate: bool = False,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        max_new_tokens: int | None = None,
        start_s: float = 0.0,
        end_s: float | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> Transcript:
        """Write down in another language what is said in a recording.

        Args:
            to: the language to write, by code or English name. English speech translates to
                French, German, Spanish, Portuguese, Japanese, Italian and Mandarin, speech in
                the other spoken languages to English.

        The other arguments and errors are those of `transcribe`; a pair that the model was not
        trained for is a LanguageError as far as `language` tells what is spoken.
        """
        spoken, target = translation_pair(language, to)
        task = Task(target, spoken, punctuate, read_keywords(keywords))
        sampler = make_sampler(temperature, top_p, seed)
        budget = self._checked_budget(max_new_tokens)
        audio = _computed(audio)
        request = _Request(audio, sample_rate, start_s, end_s, task, sampler, budget, on_progress)
        return self._thread.run(self._listen, request)

    def ctc_text(
        self,
        audio: AudioSource,
        *,
        sample_rate: int | None = None,
        start_s: float = 0.0,
        end_s: float | None = None,
    ) -> str:
        """What the encoder's character head alone hears: quick, unpunctuated, less exact.

        Arguments and errors as in `transcribe`. Letters beyond Latin-1 are missing.
        """
        audio = _computed(audio)

        def work() -> str:
            network = self.network
            samples = load_audio(audio, sample_rate=sample_rate, start_s=start_s, end_s=end_s)
            if _silence(samples) is not None:
                return ""
            encoded = network.encoder(self.log_mel(samples))
            return greedy_text(network.encoder.ctc_logits(encoded.frames)[0])

        return self._thread.run(work)

    def close(self) -> None:
        """Free the weights. The model cannot be used afterwards; closing it twice does no harm."""
        self._thread.run(self._unload)

    def __enter__(self) -> GraniteSpeech:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _checked_budget(self, max_new_tokens: int | None) -> int | None:
        most = self.config.text.max_position_embeddings - 1
        if max_new_tokens is None:
            return None
        if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int):
            raise TypeError(f"max_new_tokens must be a whole number, not {max_new_tokens!r}.")
        if not 1 <= max_new_tokens <= most:
            raise ValueError(f"max_new_tokens must be from 1 to {most}, not {max_new_tokens}.")
        return max_new_tokens

    def _listen(self, request: _Request) -> Transcript:
        """The whole path, on the MLX thread."""
        task, network = request.task, self.network

        # 1. The question, which decides how much room is left for audio.
        question = instruction(task, self._family)
        limit_s = self._longest_audio_s(question, request.max_new_tokens)
        if limit_s < SHORTEST_AUDIO_S:
            raise ValueError(
                "keywords and max_new_tokens leave no room for audio in the model's context of "
                f"{self.config.text.max_position_embeddings} tokens; give fewer."
            )

        # 2. The recording as samples: float32, mono, 16 kHz.
        samples = load_audio(
            request.audio,
            sample_rate=request.sample_rate,
            start_s=request.start_s,
            end_s=request.end_s,
            max_duration_s=limit_s,
        )
        duration_s = len(samples) / SAMPLE_RATE
        silence = _silence(samples)
        if silence is not None:
            request.report(1.0)
            return self._transcript(request, duration_s, "", [silence])

        # 3. Samples to features (1, T, 160), features to frames (1, T, D), frames to audio tokens.
        encoded = network.encoder(self.log_mel(samples))
        audio = network.projector(encoded.frames)[0]  # (n_audio_tokens, H)
        mx.eval(audio)
        self._thread.checkpoint()
        request.report(0.3)

        # 4. The question around the audio tokens, as embeddings (n, H).
        embedded = self.embed_prompt(audio, question)

        # 5. Embeddings to tokens.
        budget = token_budget(self.config, len(embedded), duration_s, request.max_new_tokens)

        def on_step(n_tokens: int) -> None:
            self._thread.checkpoint()
            request.report(0.3 + 0.7 * n_tokens / budget)

        (answer,) = generate(
            network.language_model,
            self.config.text,
            [embedded],
            request.sampler,
            budget,
            on_step,
        )

        # 6. Tokens to text, text to a transcript.
        text = self.tokenizer.decode(answer.ids).strip()
        request.report(1.0)
        return self._transcript(request, duration_s, text, _warnings(answer, budget))

    def _unload(self) -> None:
        self._network = None
        mx.clear_cache()

    def log_mel(self, samples: np.ndarray) -> mx.array:
        """Features (1, T, 160) of float32 samples (n,) at 16 kHz, in the network's precision."""
        return log_mel(mx.array(samples), self.features)[None].astype(self.network.dtype)

    def embed_prompt(self, audio: mx.array, instruction: str) -> mx.array:
        """The prompt around an instruction with audio tokens (n_audio, H) in it: (n, H)."""
        ids, at = self.tokenizer.encode_prompt(self.tokenizer.prompt(instruction), 0)
        text = self.network.language_model.embed(mx.array(ids))
        return mx.concatenate([text[:at], audio, text[at:]])

    def _longest_audio_s(self, question: str, max_new_tokens: int | None) -> float:
        n_text_tokens = len(self.tokenizer.encode_prompt(self.tokenizer.prompt(question), 0)[0])
        frames_per_second = self.features.frames_per_second
        return longest_audio_s(self.config, frames_per_second, n_text_tokens, max_new_tokens)

    def _transcript(
        self, request: _Request, duration_s: float, text: str, warnings: list[TranscriptWarning]
    ) -> Transcript:
        end_s = request.start_s + duration_s
        task = request.task
        return Transcript(
            segments=(Segment(request.start_s, end_s, text),) if text else (),
            language=task.spoken,
            target_language=task.to,
            task="transcribe" if task.to is None else "translate",
            duration_s=duration_s,
            model=self.model_id,
            warnings=tuple(warnings),
            keywords=report_keywords(task.keywords, text),
        )


def _computed(audio: AudioSource) -> AudioSource:
    """On the caller's thread: no other one can compute what an MLX array still promises."""
    if isinstance(audio, mx.array):
        mx.eval(audio)
    return audio


def _silence(samples: np.ndarray) -> TranscriptWarning | None:
    """A warning when there is nothing to hear, so that no model is asked to invent it."""
    if len(samples) < SHORTEST_AUDIO_S * SAMPLE_RATE:
        milliseconds = math.ceil(1000 * len(samples) / SAMPLE_RATE)
        return TranscriptWarning(
            "too_short", f"{milliseconds} ms of audio are too short to hold a word.", None, None
        )
    if abs(samples).max() <= SILENCE_PEAK:
        return TranscriptWarning("silence", "the recording is silent.", None, None)
    return None


def _warnings(answer: Generated, budget: int) -> list[TranscriptWarning]:
    if answer.finished:
        return []
    message = f"the text was cut off after {budget} tokens; it may be incomplete or repeat itself."
    return [TranscriptWarning("cut_off", message, None, None)]
