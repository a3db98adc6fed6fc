"""A loaded model: transcribe, translate.

`GraniteSpeech._listen` is the whole path from a recording to its transcript, in numbered steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import mlx.core as mx
import numpy as np

from granite_mlx.audio.features import FeatureConfig, encoder_input
from granite_mlx.audio.files import SAMPLE_RATE, AudioSource, load_audio
from granite_mlx.ctc.greedy import greedy_text
from granite_mlx.decoding.answer import answer_warnings, read_answer
from granite_mlx.decoding.budget import answer_rate, longest_audio_s, token_budget
from granite_mlx.decoding.generate import Generated, generate
from granite_mlx.decoding.keywords import read_keywords, report_keywords
from granite_mlx.decoding.languages import spoken_language, translation_pair
from granite_mlx.decoding.prompts import Task, instruction, system_prompt, tags_for
from granite_mlx.decoding.sampling import Sampler, make_sampler
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.engine import MLXThread
from granite_mlx.model.config import SpeechConfig
from granite_mlx.model.family import Family
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import DTYPES
from granite_mlx.transcript import Segment, Transcript, TranscriptWarning

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
    """A loaded model. Its methods may be called from any thread.

    Recordings are read on the caller's thread; what MLX computes runs on one thread, for one
    caller at a time.

    Made by `granite_mlx.load`. A ``with`` block, or `close`, frees its memory. `model_id` is
    "demo", a Hugging Face id, or the folder as it was given; `family` decides what the model is
    asked.
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
        self.family = family
        self._thread = thread

    @property
    def network(self) -> SpeechModel:
        """The weights, for work on the MLX thread. RuntimeError once the model is closed."""
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
        return self._longest_audio_s(Task(), None)

    def transcribe(
        self,
        audio: AudioSource,
        *,
        sample_rate: int | None = None,
        keywords: Iterable[str] | Path | None = None,
        language: str | None = None,
        punctuate: bool = False,
        speakers: bool = False,
        word_times: bool = False,
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
                models after 4.0 are told it, 4.1 only when `punctuate` is set.
            punctuate: ask for punctuation and capital letters.
            speakers: make a segment of each speaker's turn (4.1-2b-plus only). A turn's times
                are then those of the whole recording: the model does not tell them.
            word_times: ask when each word is said (4.1-2b-plus only, and not with `speakers`).
            temperature: 0 takes the most probable token; above 0 tokens are sampled.
            top_p: sample from the smallest set of tokens with this probability.
            seed: makes sampling repeatable.
            max_new_tokens: the most tokens of text; None lets the duration decide.
            start_s: where to begin, in seconds.
            end_s: where to end, in seconds; None is the recording's end.
            on_progress: called with a fraction from 0 to 1, on the MLX thread or the caller's.

        Raises:
            AudioError: the recording cannot be read.
            AudioTooLongError: it does not fit the model's context.
            LanguageError: `language` is unknown or not one that the model hears.
            TypeError: `keywords` is a bare string, or `audio` of a wrong type.
            ValueError: any other option out of range or not for this model, or an empty keyword.
        """
        spoken = None if language is None else spoken_language(language)
        tags = tags_for(speakers, word_times)
        task = Task(None, spoken, punctuate, read_keywords(keywords), tags)
        sampler = make_sampler(temperature, top_p, seed)
        budget = self._checked_budget(max_new_tokens)
        request = _Request(audio, sample_rate, start_s, end_s, task, sampler, budget, on_progress)
        return self._listen(request)

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
        trained for is a LanguageError as far as `language` tells what is spoken. 4.1-2b-plus
        translates nothing.
        """
        spoken, target = translation_pair(language, to)
        task = Task(target, spoken, punctuate, read_keywords(keywords))
        sampler = make_sampler(temperature, top_p, seed)
        budget = self._checked_budget(max_new_tokens)
        request = _Request(audio, sample_rate, start_s, end_s, task, sampler, budget, on_progress)
        return self._listen(request)

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
        _ = self.network  # nothing is read for a closed model
        samples = load_audio(
            audio,
            sample_rate=sample_rate,
            start_s=start_s,
            end_s=end_s,
            max_duration_s=self.max_duration_s,
        )
        return "" if _silence(samples) is not None else self._thread.run(self._spell, samples)

    def prompt_ids(self, instruction: str) -> tuple[list[int], int]:
        """Token ids of the prompt around an instruction, and where in it the audio belongs."""
        prompt = self.tokenizer.prompt(instruction, system_prompt(self.family))
        return self.tokenizer.encode_prompt(prompt)

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
        """The whole path, on the caller's thread but for what MLX computes."""
        _ = self.network  # nothing is read for a closed model
        task = request.task

        # 1. The question, which decides how much room is left for audio.
        question = instruction(task, self.family)
        limit_s = self._longest_audio_s(task, request.max_new_tokens)
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
            return self._transcript(request, duration_s, None, [silence])

        # 3. Samples to features, to frames, to audio tokens, to the tokens of the answer.
        answer, budget = self._thread.run(self._answer, request, samples, question)

        # 4. Tokens to text, text to a transcript.
        text = self.tokenizer.decode(answer.ids).strip()
        end_s = request.start_s + duration_s
        segments = read_answer(text, self.family, request.start_s, end_s)
        warnings = answer_warnings(answer, budget, task, self.family, segments)
        request.report(1.0)
        return self._transcript(request, duration_s, segments, warnings)

    def _answer(
        self, request: _Request, samples: np.ndarray, question: str
    ) -> tuple[Generated, int]:
        """The third step, on the MLX thread. Also tells how many tokens the answer may have."""
        network, checkpoint = self.network, self._thread.checkpoint

        # 3.1 Samples to features (1, T, 160), features to frames (1, T, D).
        features = encoder_input(samples, self.features, network.dtype)
        frames = network.encoder(features).frames
        mx.eval(frames)
        checkpoint()

        # 3.2 Frames to audio tokens (n_audio, H).
        audio = network.projector(frames)[0]
        mx.eval(audio)
        checkpoint()
        request.report(0.3)

        # 3.3 The question around the audio tokens, as embeddings (n, H).
        prompt = network.embed_prompt(*self.prompt_ids(question), audio)

        # 3.4 Embeddings to tokens.
        budget = token_budget(
            self.config,
            len(prompt),
            len(samples) / SAMPLE_RATE,
            request.max_new_tokens,
            answer_rate(request.task),
        )

        def on_step(n_tokens: int) -> None:
            checkpoint()
            request.report(0.3 + 0.7 * n_tokens / budget)

        decoder, text = network.language_model, self.config.text
        (answer,) = generate(decoder, text, [prompt], request.sampler, budget, on_step)
        return answer, budget

    def _spell(self, samples: np.ndarray) -> str:
        """What the character head hears, on the MLX thread."""
        network = self.network
        features = encoder_input(samples, self.features, network.dtype)
        frames = network.encoder(features).frames
        return greedy_text(network.encoder.ctc_logits(frames)[0])

    def _unload(self) -> None:
        self._network = None
        mx.clear_cache()

    def _longest_audio_s(self, task: Task, max_new_tokens: int | None) -> float:
        n_text_tokens = len(self.prompt_ids(instruction(task, self.family))[0])
        frames_per_second, rate = self.features.frames_per_second, answer_rate(task)
        return longest_audio_s(self.config, frames_per_second, n_text_tokens, max_new_tokens, rate)

    def _transcript(
        self,
        request: _Request,
        duration_s: float,
        segments: tuple[Segment, ...] | None,
        warnings: Iterable[TranscriptWarning],
    ) -> Transcript:
        """What the caller gets; `segments` is None where there was nothing to ask the model."""
        task = request.task
        text = None if segments is None else "\n".join(segment.text for segment in segments)
        return Transcript(
            segments=segments or (),
            language=task.spoken,
            target_language=task.to,
            task="transcribe" if task.to is None else "translate",
            duration_s=duration_s,
            model=self.model_id,
            warnings=tuple(warnings),
            keywords=report_keywords(task.keywords, text),
        )


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
