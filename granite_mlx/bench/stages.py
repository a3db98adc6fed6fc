"""One recording through a loaded model, stage by stage, each waited for; and as a whole.

What is timed is what `GraniteSpeech.transcribe` calls. This runs on the MLX thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import mlx.core as mx

from granite_mlx.audio.features import encoder_input
from granite_mlx.decoding.batch import Question, answer
from granite_mlx.decoding.prompts import Task, instruction
from granite_mlx.model.config import TextConfig
from granite_mlx.segments.limits import SegmentLimits

if TYPE_CHECKING:
    import numpy as np

    from granite_mlx.audio.files import AudioSource
    from granite_mlx.decoding.generate import Generated
    from granite_mlx.decoding.speculative import Speculative
    from granite_mlx.speech import GraniteSpeech

REPORTS_WITHOUT_TOKENS = 2
"""That the recording is encoded, and that its transcript is there."""

NO_TOKEN = -1
"""As the end token: a text goes on until its budget is spent."""


@dataclass(frozen=True)
class StageTimes:
    """What each stage took. `decode_s` is that of all tokens behind the first."""

    features_s: float
    encoder_s: float
    projector_s: float
    prefill_s: float
    decode_s: float
    n_frames: int
    n_positions: int
    n_tokens: int
    ids: tuple[int, ...]

    @property
    def first_token_s(self) -> float:
        """From the samples to the first token."""
        return self.features_s + self.encoder_s + self.projector_s + self.prefill_s

    @property
    def tokens_per_s(self) -> float:
        """Of plain decoding, one token after the other; 0 where there were fewer than two."""
        return (self.n_tokens - 1) / self.decode_s if self.decode_s > 0 else 0.0


def endless(config: TextConfig) -> TextConfig:
    """The same decoder, which writes as many tokens as it may."""
    return replace(config, eos_token_id=NO_TOKEN)


def time_stages(
    speech: GraniteSpeech, samples: np.ndarray, n_tokens: int, question: str | None = None
) -> StageTimes:
    """Transcribe (n,) samples with exactly `n_tokens` tokens of plain decoding."""
    network = speech.network
    features, features_s = timed(lambda: encoder_input(samples, speech.features, network.dtype))
    encoded, encoder_s = timed(lambda: network.encoder(features).frames)
    audio, projector_s = timed(lambda: network.projector(encoded))
    prompt = embedded_prompt(speech, audio[0], question)
    generated, times_s = timed_answer(speech, Question(prompt, n_tokens))
    return StageTimes(
        features_s, encoder_s, projector_s, times_s[0], times_s[-1] - times_s[0],
        features.shape[1], len(prompt), len(generated.ids), generated.ids,
    )  # fmt: skip


@dataclass(frozen=True)
class WholeTimes:
    """From a recording to its text. `first_token_s` is None where no token came."""

    total_s: float
    first_token_s: float | None
    text: str


def time_whole(
    speech: GraniteSpeech,
    audio: AudioSource,
    *,
    sample_rate: int | None = None,
    max_new_tokens: int | None = None,
    speculative: Speculative = "exact",
) -> WholeTimes:
    """`GraniteSpeech.transcribe` of a recording that is heard at once, timed."""
    reports_s: list[float] = []
    start_s = time.perf_counter()
    transcript = speech.transcribe(
        audio,
        sample_rate=sample_rate,
        max_new_tokens=max_new_tokens,
        speculative=speculative,
        segments=SegmentLimits.at_once(speech.max_duration_s),
        on_progress=lambda fraction: reports_s.append(time.perf_counter() - start_s),
    )
    total_s = time.perf_counter() - start_s
    # The first report is of the encoded recording, those between it and the last of tokens.
    first_token_s = reports_s[1] if len(reports_s) > REPORTS_WITHOUT_TOKENS else None
    return WholeTimes(total_s, first_token_s, transcript.text)


def prompt_of(speech: GraniteSpeech, samples: np.ndarray, question: str | None = None) -> mx.array:
    """(n, H) embeddings of what the decoder is asked about samples, computed."""
    features = encoder_input(samples, speech.features, speech.network.dtype)
    audio = speech.network.projector(speech.network.encoder(features).frames)
    prompt = embedded_prompt(speech, audio[0], question)
    mx.eval(prompt)
    return prompt


def embedded_prompt(
    speech: GraniteSpeech, audio: mx.array, question: str | None = None
) -> mx.array:
    """(n_audio, H) audio tokens in the conversation that asks for a transcript: (n, H)."""
    asked = instruction(Task(), speech.family) if question is None else question
    return speech.network.embed_prompt(*speech.prompt_ids(asked), audio)


def timed_answer(speech: GraniteSpeech, question: Question) -> tuple[Generated, list[float]]:
    """An answer of as many tokens as its budget, and when its tokens came, from its beginning."""
    times_s: list[float] = []
    start_s = time.perf_counter()
    asked = replace(
        question, on_tokens=lambda n_tokens: times_s.append(time.perf_counter() - start_s)
    )
    generated = answer(speech.network.language_model, endless(speech.config.text), asked)
    return generated, times_s


def timed(compute: Callable[[], mx.array]) -> tuple[mx.array, float]:
    """An array, evaluated, and the seconds that it took."""
    start_s = time.perf_counter()
    array = compute()
    mx.eval(array)
    return array, time.perf_counter() - start_s
