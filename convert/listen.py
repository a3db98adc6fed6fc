"""A model at work on recordings: what each of its rooms puts out, and what it writes.

Everything here runs on the MLX thread. What is returned lies in numpy arrays, so that it outlives
the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from granite_mlx.audio.features import encoder_input
from granite_mlx.audio.files import SAMPLE_RATE, load_audio
from granite_mlx.convert.recordings import Recording
from granite_mlx.decoding.budget import token_budget
from granite_mlx.decoding.generate import generate
from granite_mlx.decoding.prompts import Task, instruction
from granite_mlx.decoding.sampling import make_sampler
from granite_mlx.engine import shared_thread
from granite_mlx.errors import AudioError
from granite_mlx.model.cache import DecoderCache
from granite_mlx.request import SHORTEST_AUDIO_S
from granite_mlx.speech import GraniteSpeech

if TYPE_CHECKING:
    from numpy.typing import NDArray

POSITIONS_AT_ONCE = 64
"""Positions whose probabilities are computed together: 26 MB of them for IBM's vocabulary."""

LEAST_LOG_PROB = -1000.0
"""float16 does not reach far below, and e**-1000 is nothing."""


@dataclass(frozen=True)
class Heard:
    """A recording on its way to the decoder, in float32."""

    frames: NDArray[np.float32]  # (n_frames, D), of the encoder
    audio_tokens: NDArray[np.float32]  # (n_audio_tokens, H), of the projector
    duration_s: float

    @property
    def n_bytes(self) -> int:
        """Of memory."""
        return self.frames.nbytes + self.audio_tokens.nbytes


@dataclass(frozen=True)
class Predictions:
    """What the decoder expects at each position of an answer, having read what is before it."""

    hidden: NDArray[np.float32]  # (n, H), the final hidden states
    log_probs: NDArray[np.float16]  # (n, vocabulary)
    best: NDArray[np.int64]  # (n,), the most probable token

    @property
    def n_bytes(self) -> int:
        """Of memory."""
        return self.hidden.nbytes + self.log_probs.nbytes + self.best.nbytes


NOTHING_EXPECTED = Predictions(
    np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float16), np.zeros(0, np.int64)
)


class Listener:
    """Has a model write down recordings without further wishes, and looks inside meanwhile."""

    def __init__(self, model: GraniteSpeech) -> None:
        self._model = model
        self._question = instruction(Task(), model.family)
        self._sampler = make_sampler(0.0, 1.0, None)

    def hear(self, recording: Recording) -> Heard:
        """Run encoder and projector.

        Raises:
            AudioError: the recording cannot be read, or is longer than the model's context.
        """
        model = self._model
        samples = read_samples(recording, model.max_duration_s)
        features = encoder_input(samples, model.features, model.network.dtype)
        frames = model.network.encoder(features).frames
        audio_tokens = model.network.projector(frames)
        return Heard(_in_numpy(frames[0]), _in_numpy(audio_tokens[0]), len(samples) / SAMPLE_RATE)

    def answer(self, heard: Heard) -> tuple[int, ...]:
        """The token ids that the model writes, its end token included."""
        model, prompt = self._model, self._prompt(heard)
        (generated,) = generate(
            model.network.language_model,
            model.config.text,
            [prompt],
            self._sampler,
            token_budget(model.config, len(prompt), heard.duration_s, None),
            lambda n_tokens: shared_thread().checkpoint(),
        )
        end = (model.config.text.eos_token_id,) if generated.finished else ()
        return generated.ids + end

    def reference(self, recording: Recording) -> tuple[int, ...]:
        """The token ids of what is said in a recording, with the end token; none if not known."""
        if recording.reference is None:
            return ()
        model = self._model
        return *model.tokenizer.encode(recording.reference), model.config.text.eos_token_id

    def follow(self, heard: Heard, ids: Sequence[int]) -> Predictions:
        """What the model expects at each position of an answer that is given."""
        if not ids:
            return NOTHING_EXPECTED
        decoder, prompt = self._model.network.language_model, self._prompt(heard)
        embedded = mx.concatenate([prompt, decoder.embed(mx.array(list(ids)))])
        cache = DecoderCache(self._model.config.text, embedded.dtype, 1, len(embedded))
        # The last position of the prompt expects the first token, the last token nothing.
        hidden = decoder(embedded[None], cache)[0, len(prompt) - 1 : -1]
        blocks = list(self._probabilities(hidden))
        log_probs, best = (np.concatenate(part) for part in zip(*blocks, strict=True))
        return Predictions(_in_numpy(hidden), log_probs, best)

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer."""
        return self._model.tokenizer.decode(ids).strip()

    def _prompt(self, heard: Heard) -> mx.array:
        audio_tokens = mx.array(heard.audio_tokens).astype(self._model.network.dtype)
        ids, at = self._model.prompt_ids(self._question)
        return self._model.network.embed_prompt(ids, at, audio_tokens)

    def _probabilities(self, hidden: mx.array) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Log-probabilities in float16 and the most probable tokens, of a few positions each."""
        for start in range(0, len(hidden), POSITIONS_AT_ONCE):
            shared_thread().checkpoint()
            block = hidden[start : start + POSITIONS_AT_ONCE]
            logits = self._model.network.language_model.logits(block).astype(mx.float32)
            log_probs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
            kept = mx.maximum(log_probs, LEAST_LOG_PROB).astype(mx.float16)
            yield np.array(kept), np.array(mx.argmax(logits, axis=-1)).astype(np.int64)


def read_samples(recording: Recording, max_duration_s: float) -> NDArray[np.float32]:
    """The samples of a recording, (n,) at 16 kHz.

    Raises:
        AudioError: it cannot be read, is longer than `max_duration_s`, or too short to hold a word.
    """
    samples = load_audio(
        recording.audio, sample_rate=recording.sample_rate, max_duration_s=max_duration_s
    )
    if len(samples) < SHORTEST_AUDIO_S * SAMPLE_RATE:
        raise AudioError(
            f"{recording.name} has {len(samples)} samples at 16 kHz, too few to hold a word; leave "
            "it out of the comparison."
        )
    return samples


def _in_numpy(array: mx.array) -> NDArray[np.float32]:
    return np.array(array.astype(mx.float32))
