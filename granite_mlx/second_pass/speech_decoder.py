"""The speech model's own decoder as a text model: no second download, and an experiment.

IBM says of the family that its decoder answers prompts without audio, too. It was trained on to
write down speech, it was never measured here with the real weights, and its window is small.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from granite_mlx.cancelling import CancelToken
from granite_mlx.second_pass.constraint import Constraint, Grammars
from granite_mlx.second_pass.text_model import Piece, Schema, Stop, defused, is_mark

if TYPE_CHECKING:
    from granite_mlx.speech import GraniteSpeech

PROMPT_PIECE = 512
"""Tokens of a prompt that are read in one job of the MLX thread."""

UNFINISHED = "\ufffd"  # what the bytes of half a letter are decoded as


class SpeechDecoder:
    """The decoder of a loaded speech model, which stays usable and is not closed by this."""

    caution: str | None = (
        "this was written by the speech model's own decoder: an experiment, not measured with "
        "IBM's weights; a text model is the better choice."
    )

    def __init__(self, speech: GraniteSpeech) -> None:
        from granite_mlx.engine import shared_thread

        self.model_id = speech.model_id
        self.window = speech.config.text.max_position_embeddings
        self._speech = speech
        self._run = shared_thread().run
        self._end_id = speech.config.text.eos_token_id
        self._grammars = Grammars(speech.tokenizer.path, [self._end_id])
        self._marks = frozenset(filter(is_mark, speech.tokenizer.added_tokens))

    def count_tokens(self, prompt: str) -> int:
        """Of a user's message, with what the checkpoint's chat template puts around it."""
        return len(self._ids(prompt))

    def stream(
        self, prompt: str, max_new_tokens: int, schema: Schema | None, cancel: CancelToken
    ) -> Generator[Piece, None, None]:
        """The answer, piece by piece; see `TextModel`."""
        ids = self._ids(prompt)
        constraint = None if schema is None else _constraint(self._grammars, schema)
        n_positions = len(ids) + max_new_tokens
        writing = self._run(_Writing, self._speech, n_positions, constraint)
        decode = self._speech.tokenizer.decode
        stop: Stop = "limit"
        while len(ids) > PROMPT_PIECE:
            cancel.check()
            self._run(writing.read, ids[:PROMPT_PIECE])
            ids = ids[PROMPT_PIECE:]
        written: list[int] = []
        n_shown = 0
        for _ in range(max_new_tokens):
            cancel.check()
            token = self._run(writing.step, ids)
            if token == self._end_id:
                stop = "end"
                break
            written, ids = [*written, token], [token]
            text = decode(written)
            if len(text) > n_shown and not text.endswith(UNFINISHED):
                yield Piece(text[n_shown:])
                n_shown = len(text)
        yield Piece(decode(written)[n_shown:], stop)

    def _ids(self, prompt: str) -> list[int]:
        return self._speech.tokenizer.encode_message(defused(prompt, self._marks))


class _Writing:
    """One answer on its way. All calls are on the MLX thread."""

    def __init__(
        self, speech: GraniteSpeech, n_positions: int, constraint: Constraint | None
    ) -> None:
        from granite_mlx.model.cache import DecoderCache

        network = speech.network
        self._decoder = network.language_model
        self._cache = DecoderCache(speech.config.text, network.dtype, 1, n_positions)
        self._constraint = constraint

    def read(self, ids: list[int]) -> Any:
        """Remember tokens; -> the hidden state (1, 1, H) behind the last one."""
        import mlx.core as mx

        hidden = self._decoder(self._decoder.embed(mx.array([ids])), self._cache)[:, -1:]
        mx.eval(hidden)
        return hidden

    def step(self, ids: list[int]) -> int:
        """Remember tokens; -> the most probable one behind them."""
        import mlx.core as mx

        from granite_mlx.decoding.generate import read_tokens

        logits = self._decoder.logits(self.read(ids))[0, -1]  # (vocab,)
        if self._constraint is not None:
            allowed = mx.array(self._constraint.allowed(len(logits)))
            logits = mx.where(allowed, logits, -mx.inf)
        (token,) = read_tokens(mx.argmax(logits)[None])
        if self._constraint is not None:
            self._constraint.accept(token)
        return token


def _constraint(grammars: Grammars, schema: Schema) -> Constraint | None:
    """None without the extra `ask`: the answer is looked at in any case."""
    try:
        return grammars.constraint(schema)
    except ImportError:
        return None
