"""A decoder that follows a script: behind some tokens it wants others than it would by itself.

It is a real one in all else: what it is fed, what it reads and what it verifies. The script is told
in tokens, so that it does the same with drafts, without them, and in a batch.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import mlx.core as mx
import pytest

from granite_mlx import GraniteSpeech
from granite_mlx.decoding.prompts import Task, instruction
from granite_mlx.model.decoder import GraniteDecoder

LONGEST_DRAFT = 33
SURE = 100.0


class Script:
    """`following` tells which token comes behind which; prompts behind the first `n_prompts` that
    are read are answered as usual. `n_read` counts them, `n_fed` the tokens that were fed."""

    def __init__(self, following: Mapping[int, int], n_prompts: int) -> None:
        self.n_read = self.n_fed = 0
        self._following, self._n_prompts = following, n_prompts

    def read(self, decoder: GraniteDecoder, embeddings: mx.array, hidden: mx.array) -> mx.array:
        """(B, n, H) what is fed, and what the decoder made of it -> what it has to make of it."""
        is_prompt = embeddings.shape[1] > LONGEST_DRAFT
        self.n_read += is_prompt
        self.n_fed += 0 if is_prompt else embeddings.shape[1]
        if self.n_read > self._n_prompts:
            return hidden
        for token, after in self._following.items():
            here = mx.all(embeddings == decoder.embed(mx.array([token]))[0], axis=-1)
            hidden = mx.where(here[..., None], wanting(decoder, after), hidden)
        return hidden


def wanting(decoder: GraniteDecoder, token: int) -> mx.array:
    """(H,) a hidden state whose most probable token is this one, by far."""
    row = decoder.embed(mx.array([token]))[0]
    state = SURE * row / mx.sqrt(mx.mean(row * row))
    assert int(mx.argmax(decoder.logits(state[None]), axis=-1)[0]) == token
    return state


Follow = Callable[..., Script]


def follow(monkeypatch: pytest.MonkeyPatch) -> Follow:
    """A function that makes all decoders follow a script from now on."""
    call = GraniteDecoder.__call__

    def start(following: Mapping[int, int], n_prompts: int = 1) -> Script:
        script = Script(following, n_prompts)

        def scripted(self: GraniteDecoder, embeddings: mx.array, cache: object) -> mx.array:
            return script.read(self, embeddings, call(self, embeddings, cache))  # type: ignore[arg-type]

        monkeypatch.setattr(GraniteDecoder, "__call__", scripted)
        return script

    return start


def loop(before: int, phrase: Sequence[int]) -> dict[int, int]:
    """A phrase of tokens behind another one, again and again."""
    return in_turn([before, *phrase, phrase[0]])


def in_turn(ids: Sequence[int]) -> dict[int, int]:
    """One token after the other; none but the last may be there twice."""
    assert len(set(ids[:-1])) == len(ids) - 1
    return dict(pairwise(ids))


def start_of(model: GraniteSpeech) -> int:
    """The token behind which a transcription begins."""
    return model.prompt_ids(instruction(Task(), model.family))[0][-1]
