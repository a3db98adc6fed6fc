"""A loaded model: transcribe, translate.

`GraniteSpeech._listen` is the whole path from a recording to its transcript, in numbered steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np

from granite_mlx.audio.features import FeatureConfig
from granite_mlx.audio.files import SAMPLE_RATE, AudioSource, load_audio
from granite_mlx.ctc.second_head import SecondHead
from granite_mlx.decoding.budget import answer_rate, longest_audio_s
from granite_mlx.decoding.guarding import Guard, is_guarded
from granite_mlx.decoding.keywords import read_keywords
from granite_mlx.decoding.languages import translation_pair
from granite_mlx.decoding.prompts import Task, instruction, system_prompt
from granite_mlx.decoding.sampling import make_sampler
from granite_mlx.decoding.speculative import Speculative, draft_use
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.decoding.word_times import WordTimes
from granite_mlx.engine import MLXThread
from granite_mlx.errors import GraniteError
from granite_mlx.model.config import SpeechConfig
from granite_mlx.model.family import Family
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import DTYPES
from granite_mlx.recognition import (
    BATCH_SIZE,
    LARGEST_BATCH,
    READ_AHEAD,
    Answered,
    Asked,
    Recogniser,
)
from granite_mlx.request import (
    SHORTEST_AUDIO_S,
    Request,
    SharedProgress,
    silence,
    transcript_of,
    transcription,
    whole_number,
)
from granite_mlx.transcript import Transcript
from granite_mlx.writing import written


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
        second_head: SecondHead | None = None,
    ) -> None:
        self.model_id = model_id
        self.config = config
        self.features = features
        self.tokenizer = tokenizer
        self._network: SpeechModel | None = network
        self.family = family
        self._thread = thread
        self._second_head = second_head

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
        word_times: WordTimes = "aligned",
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        max_new_tokens: int | None = None,
        speculative: Speculative = "exact",
        guard: Guard = "on",
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
            speakers: make a segment of each speaker's turn (4.1-2b-plus only). The model does not
                tell a turn's times: they are those of its words, or of the whole recording.
            word_times: "aligned" finds when each word is said, and how probably it is right, from
                what the encoder's character head hears; there are none where the head cannot
                spell the text. "model" asks the model itself (4.1-2b-plus only, and not with
                `speakers`). "off" does neither.
            temperature: 0 takes the most probable token; above 0 tokens are sampled.
            top_p: sample from the smallest set of tokens with this probability.
            seed: makes sampling repeatable.
            max_new_tokens: the most tokens of text; None lets the duration decide.
            speculative: "exact" lets the decoder verify what the encoder's character head has
                heard, many tokens at once; the text is the decoder's own, only sooner. "relaxed"
                is IBM's way: what the head is sure of, or the decoder finds likely, stands.
                "off" writes token by token, as sampling always does.
            guard: "on" leaves out or names what the encoder has not heard, and asks again where
                the text repeats itself (docs/guard.md); "off" is what the decoder writes.
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
        task = transcription(keywords, language, punctuate, speakers, word_times)
        sampler = make_sampler(temperature, top_p, seed)
        request = Request(
            audio, sample_rate, start_s, end_s, task, sampler,
            self._checked_budget(max_new_tokens), draft_use(speculative, temperature), on_progress,
            word_times == "aligned", is_guarded(guard),
        )  # fmt: skip
        return self._listen(request)

    def transcribe_batch(
        self,
        audio: Iterable[AudioSource],
        *,
        sample_rate: int | None = None,
        keywords: Iterable[str] | Path | None = None,
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
        batch_size: int = BATCH_SIZE,
        on_progress: Callable[[float], None] | None = None,
    ) -> list[Transcript | GraniteError | TypeError | ValueError]:
        """Write down what is said in many recordings, several at a time.

        Each gets the text that `transcribe` gives it (in float32; in half precision the last bits
        of a sum may differ, and with them now and then a word).

        Args:
            audio: recordings, each as in `transcribe`. They are read some at a time.
            batch_size: the most recordings that are worked on at once. Each takes memory for its
                keys and values: 160 kB a token for IBM's model in float32, half of it in bfloat16.
            on_progress: called with a fraction of the whole, on the MLX thread or the caller's.

        The other arguments are those of `transcribe`, for every recording.

        Returns:
            One for each recording, in order: its transcript, or the error that `transcribe` would
            have raised about it.

        Raises:
            LanguageError, TypeError, ValueError: options that are wrong for every recording.
        """
        if isinstance(audio, (str, bytes, Path, np.ndarray)):
            raise TypeError("audio must be a list of recordings; transcribe takes a single one.")
        batch_size = whole_number("batch_size", batch_size, LARGEST_BATCH)
        task = transcription(keywords, language, punctuate, speakers, word_times)
        budget, drafts = self._checked_budget(max_new_tokens), draft_use(speculative, temperature)
        guarded = is_guarded(guard)
        # What is wrong with the options is no single recording's error.
        self._checked_limit_s(task, budget)
        make_sampler(temperature, top_p, seed)
        recordings = list(audio)
        progress = SharedProgress(len(recordings), on_progress)
        requests = [
            Request(
                one, sample_rate, 0.0, None, task, make_sampler(temperature, top_p, seed), budget,
                drafts, progress.of(n), word_times == "aligned", guarded,
            )
            for n, one in enumerate(recordings)
        ]  # fmt: skip
        results: list[Transcript | GraniteError | TypeError | ValueError] = []
        n_read = READ_AHEAD * batch_size
        for start in range(0, len(requests), n_read):
            results += self._listen_to_all(requests[start : start + n_read], batch_size)
        return results

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
        guard: Guard = "on",
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
        request = Request(
            audio, sample_rate, start_s, end_s, task, sampler, budget, "off", on_progress,
            guarded=is_guarded(guard),
        )  # fmt: skip
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
        if silence(samples) is not None:
            return ""
        return self._thread.run(lambda: self._recogniser.spell(samples))

    def prompt_ids(self, instruction: str) -> tuple[list[int], int]:
        """Token ids of the prompt around an instruction, and where in it the audio belongs."""
        prompt = self.tokenizer.prompt(instruction, system_prompt(self.family))
        return self.tokenizer.encode_prompt(prompt)

    def close(self) -> None:
        """Free the weights. The model cannot be used afterwards; closing it twice does no harm."""
        self._thread.run(self._unload)

    def __enter__(self) -> GraniteSpeech:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _checked_budget(self, max_new_tokens: int | None) -> int | None:
        most = self.config.text.max_position_embeddings - 1
        return (
            None if max_new_tokens is None else whole_number("max_new_tokens", max_new_tokens, most)
        )

    def _listen(self, request: Request) -> Transcript:
        """The whole path, on the caller's thread but for what MLX computes."""
        # 1. The recording as samples: float32, mono, 16 kHz. Silence needs no model.
        samples = self._read(request)
        if isinstance(samples, Transcript):
            return samples

        # 2. Samples to features, to frames, to audio tokens, to the tokens of the answer.
        (answered,) = self._thread.run(self._answer, [self._asked(request, samples)], 1)

        # 3. Tokens to text, text to a transcript.
        return self._written(request, samples, answered)

    def _listen_to_all(
        self, requests: Sequence[Request], batch_size: int
    ) -> list[Transcript | GraniteError | TypeError | ValueError]:
        """The same steps for several recordings; what is wrong with one stands in its place."""
        results: dict[int, Transcript | GraniteError | TypeError | ValueError] = {}
        heard: dict[int, np.ndarray] = {}
        for n, request in enumerate(requests):
            try:
                samples = self._read(request)
            except (GraniteError, TypeError, ValueError) as error:
                results[n] = error
                request.report(1.0)
                continue
            if isinstance(samples, Transcript):
                results[n] = samples
            else:
                heard[n] = samples
        asked = [self._asked(requests[n], samples) for n, samples in heard.items()]
        answered = self._thread.run(self._answer, asked, batch_size) if asked else []
        for (n, samples), one in zip(heard.items(), answered, strict=True):
            results[n] = self._written(requests[n], samples, one)
        return [results[n] for n in range(len(requests))]

    def _read(self, request: Request) -> np.ndarray | Transcript:
        """The first step: samples, or the transcript of a recording in which nothing is said."""
        _ = self.network  # nothing is read for a closed model
        samples = load_audio(
            request.audio,
            sample_rate=request.sample_rate,
            start_s=request.start_s,
            end_s=request.end_s,
            max_duration_s=self._checked_limit_s(request.task, request.max_new_tokens),
        )
        quiet = silence(samples)
        if quiet is None:
            return samples
        request.report(1.0)
        return transcript_of(request, self.model_id, len(samples) / SAMPLE_RATE, None, [quiet])

    def _checked_limit_s(self, task: Task, max_new_tokens: int | None) -> float:
        """How many seconds of audio there is room for; ValueError where there is none."""
        limit_s = self._longest_audio_s(task, max_new_tokens)
        if limit_s < SHORTEST_AUDIO_S:
            raise ValueError(
                "keywords and max_new_tokens leave no room for audio in the model's context of "
                f"{self.config.text.max_position_embeddings} tokens; give fewer."
            )
        return limit_s

    def _asked(self, request: Request, samples: np.ndarray) -> Asked:
        question = instruction(request.task, self.family)
        prompt = self.tokenizer.prompt(question, system_prompt(self.family))
        return Asked(
            samples, prompt, request.task, request.sampler, request.max_new_tokens,
            request.speculative, request.report, request.align, request.guarded,
        )  # fmt: skip

    @property
    def _recogniser(self) -> Recogniser:
        """What computes, on the MLX thread."""
        return Recogniser(
            self.network, self.config, self.features, self.tokenizer, self._second_head,
            self._thread.checkpoint,
        )  # fmt: skip

    def _answer(self, askeds: Sequence[Asked], n_rows: int) -> list[Answered]:
        """The second step, on the MLX thread."""
        return self._recogniser.answer(askeds, n_rows)

    def _written(self, request: Request, samples: np.ndarray, answered: Answered) -> Transcript:
        """The third step."""
        return written(request, samples, answered, self.tokenizer, self.family, self.model_id)

    def _unload(self) -> None:
        self._network = self._second_head = None
        mx.clear_cache()

    def _longest_audio_s(self, task: Task, max_new_tokens: int | None) -> float:
        n_text_tokens = len(self.prompt_ids(instruction(task, self.family))[0])
        frames_per_second, rate = self.features.frames_per_second, answer_rate(task)
        return longest_audio_s(self.config, frames_per_second, n_text_tokens, max_new_tokens, rate)
