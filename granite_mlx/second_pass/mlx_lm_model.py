"""Text models of any architecture that mlx-lm has, computed by mlx-lm.

All of it runs on the process's MLX thread, one token (or one piece of a prompt) a job, so that a
speech model, and other questions, have their turns in between.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from granite_mlx.cancelling import CancelToken
from granite_mlx.engine import MLXThread, shared_thread
from granite_mlx.errors import CheckpointError
from granite_mlx.model.folder import TOKENIZER_NAME
from granite_mlx.model.hub import ProgressCallback, brief
from granite_mlx.model.memory import check_memory
from granite_mlx.second_pass.constraint import Constraint, Grammars
from granite_mlx.second_pass.model_folder import WEIGHTS, find_text_model
from granite_mlx.second_pass.text_model import Piece, Schema, Stop, defused, is_mark
from granite_mlx.second_pass.thoughts import Thoughts, ends_in_a_thought

PROMPT_PIECE = 512
"""Tokens of a prompt that are read in one job."""

WINDOW_WHEN_UNKNOWN = 4096
NO_LIMIT = 10**30  # so that transformers prints nothing about long texts, which are counted here
PROBE = "granite"
INSTALL = "the second pass needs other packages: pip install 'granite-mlx[ask]'."


def load_text_model(
    model: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    window: int | None = None,
    on_progress: ProgressCallback | None = None,
) -> MlxLmModel:
    """Load a text model for the second pass.

    Args:
        model: a Hugging Face id or a folder, of any model that mlx-lm computes. None takes the
            environment's GRANITE_MLX_TEXT_MODEL, or else ibm-granite/granite-4.0-h-micro.
        revision: branch, tag or commit of a Hugging Face id.
        window: the most tokens of a prompt and its answer; None is what the model was made for.
        on_progress: called with (bytes done, bytes in all) during a download.

    Raises:
        CheckpointError: it cannot be found, fetched or computed, does not fit in memory, or is no
            data alone: other weights than safetensors, or code of its own.
        ImportError: the extra `ask` is not installed.
        ValueError: `revision` of a folder, or a window that the model has not.
    """
    try:
        import mlx_lm  # noqa: F401  # before anything is downloaded
    except ImportError as error:
        raise ImportError(INSTALL) from error
    folder, name = find_text_model(model, revision, on_progress)
    thread = shared_thread()
    return thread.run(_load, folder, name, window, thread)


def _load(folder: Path, name: str, window: int | None, thread: MLXThread) -> MlxLmModel:
    from mlx_lm import load

    from granite_mlx.loading import cap_cache

    check_memory(sum(path.stat().st_size for path in folder.glob(WEIGHTS)), name)
    cap_cache()
    try:
        network, tokenizer, config = load(
            str(folder),
            tokenizer_config={"trust_remote_code": False, "model_max_length": NO_LIMIT},
            return_config=True,
            trust_remote_code=False,
        )
    except Exception as error:  # what mlx-lm and transformers fail of has no common base
        raise CheckpointError(f"{name} cannot be loaded by mlx-lm ({brief(error)}).") from error
    if not tokenizer.has_chat_template:
        raise CheckpointError(f"{name} has no chat template; take an instruct model.")
    _check_template(tokenizer, name)
    longest = _window_of(config)
    if window is not None and not 1 < window <= longest:
        raise ValueError(f"window must be from 2 to {longest}, which {name} was made for.")
    path = folder / TOKENIZER_NAME
    ends = tokenizer.eos_token_ids
    grammars = Grammars(path, ends) if ends and path.is_file() else None
    return MlxLmModel(name, network, tokenizer, window or longest, thread, grammars)


def _check_template(tokenizer: Any, name: str) -> None:
    """Raises CheckpointError where a chat template fails, or leaves out what is asked."""
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": PROBE}], tokenize=False, add_generation_prompt=True,
            enable_thinking=False,
        )  # fmt: skip
    except Exception as error:  # whatever a template does
        raise CheckpointError(
            f"the chat template of {name} fails on a user's message ({brief(error)}); "
            "take another model."
        ) from error
    if PROBE not in str(text):
        raise CheckpointError(
            f"the chat template of {name} leaves out the user's message; take another model."
        )


class MlxLmModel:
    """A text model in memory; made by `load_text_model`. Greedy: the same prompt, the same answer.

    A ``with`` block, or `close`, frees its memory.
    """

    caution: str | None = None

    def __init__(
        self,
        model_id: str,
        network: Any,
        tokenizer: Any,
        window: int,
        thread: MLXThread,
        grammars: Grammars | None,
    ) -> None:
        self.model_id = model_id
        self.window = window
        self._network = network
        self._tokenizer = tokenizer
        self._thread = thread
        self._grammars = grammars
        added = tokenizer.added_tokens_decoder.items()  # one token each, wherever they stand
        self._marks = frozenset(
            one.content for _, one in added if one.special or is_mark(one.content)
        )
        self._silent_ids = frozenset(n for n, one in added if one.special)
        self._thoughts = (tokenizer.think_start_tokens or (), tokenizer.think_end_tokens or ())
        self._lock = threading.Lock()  # transformers changes its tokenizers while they encode

    def count_tokens(self, prompt: str) -> int:
        """Of a user's message, with everything that the chat template puts around it."""
        return len(self._ids(prompt))

    def stream(
        self, prompt: str, max_new_tokens: int, schema: Schema | None, cancel: CancelToken
    ) -> Generator[Piece, None, None]:
        """The answer, piece by piece; see `TextModel`. With a schema it can only be valid JSON."""
        if self._network is None:
            raise RuntimeError(f"the text model {self.model_id} is closed; load it again.")
        constraint = None
        if schema is not None and self._grammars is not None:
            constraint = self._grammars.constraint(schema)
        run, ids, network = self._thread.run, self._ids(prompt), self._network
        cache = run(_new_cache, network)
        while len(ids) > PROMPT_PIECE:
            cancel.check()
            run(_read, network, ids[:PROMPT_PIECE], cache)
            ids = ids[PROMPT_PIECE:]
        tokens = run(_tokens, network, ids, cache, max_new_tokens, constraint)
        detokenizer = self._tokenizer.detokenizer
        thoughts = Thoughts(*self._thoughts)
        stop: Stop = "limit"

        def add(found: list[int]) -> None:
            for one in found:
                if one not in self._silent_ids:  # a mark of the template's, no text
                    detokenizer.add_token(one)

        try:
            for _ in range(max_new_tokens):
                cancel.check()
                token = run(next, tokens)
                if token in self._tokenizer.eos_token_ids:
                    stop = "end"
                    break
                add(thoughts.feed(token))
                if text := detokenizer.last_segment:
                    yield Piece(text)
            add(thoughts.finish())
            detokenizer.finalize()
            yield Piece(detokenizer.last_segment, stop)
        finally:
            run(tokens.close)

    def close(self) -> None:
        """Free the weights. The model cannot be used afterwards; closing it twice does no harm."""
        self._thread.run(self._free)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ids(self, prompt: str) -> list[int]:
        messages = [{"role": "user", "content": defused(prompt, self._marks)}]
        with self._lock:
            ids = self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, enable_thinking=False
            )
        ids = [int(token) for token in ids]
        if ends_in_a_thought(ids, *self._thoughts):  # a template that takes no "do not think"
            ids += self._thoughts[1]
        return ids

    def _free(self) -> None:
        import mlx.core as mx

        self._network = None
        mx.clear_cache()


# On the MLX thread


def _new_cache(network: Any) -> Any:
    from mlx_lm.models.cache import make_prompt_cache

    return make_prompt_cache(network)


def _read(network: Any, ids: list[int], cache: Any) -> None:
    """Have the cache remember a piece of a prompt."""
    for _ in _steps(network, ids, cache, 0, []):
        pass


def _tokens(
    network: Any, ids: list[int], cache: Any, max_new_tokens: int, constraint: Constraint | None
) -> Generator[int, None, None]:
    """The tokens of an answer; nothing is computed before the first is asked for."""
    processors = [] if constraint is None else [_processor(constraint)]

    def tokens() -> Generator[int, None, None]:
        for token, _ in _steps(network, ids, cache, max_new_tokens, processors):
            yield int(token)

    return tokens()


def _steps(
    network: Any, ids: list[int], cache: Any, max_new_tokens: int, processors: list[Any]
) -> Iterator[tuple[int, Any]]:
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    # mlx-lm makes its stream the default one for as long as an answer takes. What else has its
    # turn on this thread meanwhile would compute there, so it gets what is the default anyway.
    stream = mx.default_stream(mx.default_device())
    steps: Iterator[tuple[int, Any]] = generate_step(
        mx.array(ids), network, stream, max_tokens=max_new_tokens, prompt_cache=cache,
        logits_processors=processors,
    )  # fmt: skip
    return steps


def _processor(constraint: Constraint) -> Callable[[Any, Any], Any]:
    """What mlx-lm calls with all (n,) tokens so far and the (1, vocab) logits of the next one."""
    import mlx.core as mx

    is_first = True

    def process(tokens: Any, logits: Any) -> Any:
        nonlocal is_first
        if not is_first:  # the first time these are the prompt's
            constraint.accept(int(tokens[-1].item()))
        is_first = False
        return mx.where(mx.array(constraint.allowed(logits.shape[-1])), logits, -mx.inf)

    return process


def _window_of(config: dict[str, Any]) -> int:
    """Tokens that a model was made for, as its config.json has it."""
    for place in (config, config.get("text_config") or {}):
        with suppress(TypeError, ValueError, KeyError):
            return int(place["max_position_embeddings"])
    return WINDOW_WHEN_UNKNOWN
