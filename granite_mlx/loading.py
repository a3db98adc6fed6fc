"""From a name to a loaded model: find the checkpoint, check it, read it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlx.core as mx

from granite_mlx.audio.features import read_feature_config
from granite_mlx.biasing.prompting import read_terms_per_prompt
from granite_mlx.convert.adapter import merged, read_adapted_headers
from granite_mlx.ctc.second_head import read_second_head
from granite_mlx.decoding.tokenizer import read_tokenizer
from granite_mlx.engine import MLXThread, shared_thread
from granite_mlx.errors import CheckpointError
from granite_mlx.model.checkpoint import Checkpoint, find_checkpoint, split_recipe
from granite_mlx.model.config import parse_config
from granite_mlx.model.family import SECOND_HEAD_NAME, checkpoint_family
from granite_mlx.model.folder import read_config
from granite_mlx.model.memory import check_memory
from granite_mlx.model.quantisation import QuantFormat, quantise_modules, quantised_formats
from granite_mlx.model.shards import TensorInfo
from granite_mlx.model.sources import SourceOf, ported
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.stored import StoredTensors, TensorSource
from granite_mlx.model.weights import (
    DTYPES,
    check_tensors,
    load_weights,
    stored_dtype,
    weights_bytes,
)
from granite_mlx.request import SHORTEST_AUDIO_S
from granite_mlx.segments.limits import read_segment_limits
from granite_mlx.speech import GraniteSpeech

CACHE_LIMIT_BYTES = 1 << 30
"""MLX keeps freed buffers for reuse; without a limit they pile up as lengths vary."""

Arrange = Callable[[SpeechModel, Mapping[str, QuantFormat]], SourceOf]
"""Readies a new model for a checkpoint that stores some matrices quantised, by module path, and
tells what the model's tensors are then made of."""

Hold = Callable[[SpeechModel, TensorSource, mx.Dtype, SourceOf], None]
"""Decides, before a model's weights are read, which of them it will hold; the others it must take
from the tensors that it is given."""


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    buffer_cache_bytes: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> GraniteSpeech:
    """Load a Granite Speech checkpoint.

    Args:
        model: a Hugging Face id, a folder, or "demo" for the small one that comes with the
            package. None takes the environment's GRANITE_MLX_MODEL, or else
            ibm-granite/granite-4.0-1b-speech. What is in the Hugging Face cache is used without
            a network call. A recipe's name behind it, as in "demo:q8", converts it once and keeps
            the result in a cache: less memory, more speed. That conversion is not compared with
            its source, as `granite_mlx.convert.convert` and `granite-mlx convert` do.
        revision: branch, tag or commit of a Hugging Face id.
        dtype: "float32", "float16" or "bfloat16"; None keeps the checkpoint's.
        buffer_cache_bytes: the most memory that MLX keeps for reuse, in the whole process. None
            is 1 GiB (`CACHE_LIMIT_BYTES`), or less where the app has set a lower limit.
        on_progress: called with (bytes done, bytes in all) during a download or a conversion.

    Raises:
        CheckpointError: the checkpoint cannot be found, fetched, converted or read, or does not
            fit in memory.
        UnsupportedModelError: it is of an architecture that granite-mlx does not compute.
        ValueError: an unknown dtype, or a negative size.
    """
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}.")
    if buffer_cache_bytes is not None and buffer_cache_bytes < 0:
        raise ValueError(f"buffer_cache_bytes must be 0 or more, not {buffer_cache_bytes}.")
    checkpoint = _find(model, revision, on_progress)
    thread = shared_thread()
    speech = thread.run(open_model, checkpoint, dtype, thread)
    if buffer_cache_bytes is not None:
        mx.set_cache_limit(buffer_cache_bytes)
    return speech


def _find(
    model: str | os.PathLike[str] | None,
    revision: str | None,
    on_progress: Callable[[int, int], None] | None,
) -> Checkpoint:
    asked = split_recipe(model)
    if asked is None:
        return find_checkpoint(model, revision, on_progress)
    from granite_mlx.convert.variants import cached_conversion  # which few need

    base, recipe_name = asked
    return cached_conversion(base, recipe_name, revision, on_progress)


def as_stored(network: SpeechModel, formats: Mapping[str, QuantFormat]) -> SourceOf:
    """Quantised matrices are computed with as they are."""
    quantise_modules(network, formats)
    return ported


def hold_all(
    network: SpeechModel, stored: TensorSource, dtype: mx.Dtype, source_of: SourceOf
) -> None:
    """All weights are in memory."""


@dataclass(frozen=True)
class UnreadModel:
    """A checkpoint of which everything is checked and no weight is read."""

    speech: GraniteSpeech
    headers: Mapping[str, TensorInfo]
    dtype: mx.Dtype
    source_of: SourceOf

    @property
    def n_bytes(self) -> int:
        """Of memory, for the weights that it holds."""
        return weights_bytes(self.speech.network, self.dtype)

    def read(self, thread: MLXThread) -> GraniteSpeech:
        """Read the weights, if there is memory for them; on the MLX thread, which calls this."""
        is_floating = self.speech.config.quantisation is None
        check_memory(self.n_bytes, self.speech.model_id, is_floating=is_floating)
        cap_cache()
        network = self.speech.network
        load_weights(network, self.headers, self.dtype, self.source_of, thread.checkpoint)
        return self.speech


def open_model(checkpoint: Checkpoint, dtype: str | None, thread: MLXThread) -> GraniteSpeech:
    """Load a checkpoint on the MLX thread, which calls this.

    Everything that can be checked is checked before the weights are read.
    """
    speech = open_unread(checkpoint, dtype, thread).read(thread)
    speech.reopen = partial(open_model, checkpoint, dtype, thread)
    return speech


def open_unread(
    checkpoint: Checkpoint,
    dtype: str | None,
    thread: MLXThread,
    arrange: Arrange = as_stored,
    hold: Hold = hold_all,
) -> UnreadModel:
    """Check a checkpoint, and make a model for its weights; likewise."""
    folder = checkpoint.folder
    raw_config = read_config(folder)
    config = parse_config(raw_config)
    tokenizer = read_tokenizer(folder, config)
    features = read_feature_config(folder)
    headers, updates = read_adapted_headers(folder)
    floating = DTYPES[dtype or stored_dtype(headers)]
    network = SpeechModel(config)
    formats = quantised_formats(config.quantisation, headers)
    source_of = merged(updates, arrange(network, formats))
    check_tensors(network, headers, source_of)
    hold(network, StoredTensors(headers), floating, source_of)
    family = checkpoint_family(folder, raw_config, config)
    head = read_second_head(
        folder / SECOND_HEAD_NAME, config.encoder.hidden_dim, config.text.vocab_size, floating
    )
    speech = GraniteSpeech(
        checkpoint.model_id, family, config, features, tokenizer, network, thread, head,
        read_segment_limits(folder), read_terms_per_prompt(folder),
    )  # fmt: skip
    _check_sizes(speech, folder)
    return UnreadModel(speech, headers, floating, source_of)


def _check_sizes(speech: GraniteSpeech, folder: Path) -> None:
    """The files of a checkpoint must fit together, and leave room for audio."""
    config, n_mels = speech.config, speech.features.n_mels
    if 2 * n_mels != config.encoder.input_dim:
        raise CheckpointError(
            f"{folder}: the preprocessor's n_mels is {n_mels}, but config.json's "
            f"encoder_config.input_dim is {config.encoder.input_dim}, which must be twice that; "
            "the two files do not belong together."
        )
    if speech.max_duration_s < SHORTEST_AUDIO_S:
        raise CheckpointError(
            f"{folder}: config.json's text_config.max_position_embeddings is "
            f"{config.text.max_position_embeddings}, which leaves no room for audio."
        )


def cap_cache() -> None:
    """Lower MLX's cache limit to ours; an app that set a lower one keeps it."""
    previous = mx.set_cache_limit(CACHE_LIMIT_BYTES)
    if previous < CACHE_LIMIT_BYTES:
        mx.set_cache_limit(previous)
