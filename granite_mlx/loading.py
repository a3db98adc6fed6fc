"""From a name to a loaded model: find the checkpoint, check it, read it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx

from granite_mlx.audio.features import read_feature_config
from granite_mlx.decoding.prompts import Family
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.engine import MLXThread, shared_thread
from granite_mlx.errors import CheckpointError
from granite_mlx.model.checkpoint import Checkpoint, find_checkpoint
from granite_mlx.model.config import parse_config
from granite_mlx.model.folder import read_chat_template, read_config
from granite_mlx.model.memory import check_memory
from granite_mlx.model.shards import read_headers
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import (
    DTYPES,
    check_tensors,
    load_weights,
    n_parameters,
    stored_dtype,
)
from granite_mlx.speech import GraniteSpeech

CACHE_LIMIT_BYTES = 1 << 30
"""MLX keeps freed buffers for reuse; without a limit they pile up as lengths vary."""


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> GraniteSpeech:
    """Load a Granite Speech checkpoint.

    Args:
        model: a Hugging Face id, a folder, or "demo" for the small one that comes with the
            package. None takes the environment's GRANITE_MLX_MODEL, or else
            ibm-granite/granite-4.0-1b-speech. What is in the Hugging Face cache is used without
            a network call.
        revision: branch, tag or commit of a Hugging Face id.
        dtype: "float32", "float16" or "bfloat16"; None keeps the checkpoint's.
        on_progress: called with (bytes done, bytes in all) during a download.

    Raises:
        CheckpointError: the checkpoint cannot be found, fetched or read, or does not fit in memory.
        UnsupportedModelError: it is of an architecture that granite-mlx does not compute.
        ValueError: an unknown dtype.
    """
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}.")
    checkpoint = find_checkpoint(model, revision, on_progress)
    thread = shared_thread()
    return thread.run(open_model, checkpoint, dtype, thread)


def open_model(checkpoint: Checkpoint, dtype: str | None, thread: MLXThread) -> GraniteSpeech:
    """Load a checkpoint on the MLX thread, which calls this.

    Everything that can be checked is checked before the weights are read.
    """
    folder = checkpoint.folder
    config = parse_config(read_config(folder))
    tokenizer = SpeechTokenizer(
        folder / "tokenizer.json", read_chat_template(folder), config.audio_token_index
    )
    features = read_feature_config(folder)
    if 2 * features.n_mels != config.encoder.input_dim:
        raise CheckpointError(
            f"{folder}: the preprocessor's n_mels is {features.n_mels}, but config.json's "
            f"encoder_config.input_dim is {config.encoder.input_dim}, which must be twice that; "
            "the two files do not belong together."
        )
    headers = read_headers(folder)
    dtype = dtype or stored_dtype(headers)
    network = SpeechModel(config)
    check_tensors(network, headers)
    check_memory(n_parameters(network) * DTYPES[dtype].size, checkpoint.model_id)
    _cap_cache()
    load_weights(network, headers, DTYPES[dtype])
    return GraniteSpeech(
        checkpoint.model_id, _family(checkpoint), config, features, tokenizer, network, thread
    )


def _cap_cache() -> None:
    """Lower MLX's cache limit to ours; an app that set a lower one keeps it."""
    previous = mx.set_cache_limit(CACHE_LIMIT_BYTES)
    if previous < CACHE_LIMIT_BYTES:
        mx.set_cache_limit(previous)


def _family(checkpoint: Checkpoint) -> Family:
    """The wording that a checkpoint was trained with; 4.1 and later carry a second CTC head."""
    name = Path(checkpoint.model_id).name
    later = any(version in name for version in ("4.1", "5.0"))
    return "4.1" if later or (checkpoint.folder / "out_llm.safetensors").exists() else "4.0"
