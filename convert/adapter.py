"""LoRA adapters, merged into the matrices that they change.

Granite Speech 3.3 ships the language model as it was before it learned to listen, and an adapter
beside it that transformers switches on when there is audio and off when there is none. Merged, it
is on for good: with audio nothing changes but the rounding, and a question without audio, which
granite-mlx never asks, would be answered differently.

An adapter's two factors are read together with the matrix that they change, so that nothing is
held longer than without an adapter: W + scale * B A in float32, rounded once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

from granite_mlx.convert import port
from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model.adapter_config import LoraConfig, parse_adapter_config
from granite_mlx.model.folder import (
    ADAPTER_CONFIG_NAME,
    ADAPTER_WEIGHTS_NAME,
    has_adapter,
    read_adapter_config,
)
from granite_mlx.model.shards import TensorInfo, read_header, read_headers
from granite_mlx.model.sources import Source, SourceOf, Wanted, ported

_FACTOR = re.compile(
    r"(?:base_model\.model\.)?"  # peft's two wrappers around the model
    r"(?P<module>.+)\.lora_(?P<side>[AB])\."
    r"(?:[^.]+\.)?"  # the adapter's name, unless peft has left it out
    r"weight"
)


@dataclass(frozen=True)
class Update:
    """What an adapter adds to a matrix (out, in): `scale` * B A, with A (rank, in), B (out, rank).

    A and B are the tensors that `factor_names` tells.
    """

    rank: int
    scale: float


Updates = Mapping[str, Update]
"""Published name of a matrix ("language_model....q_proj.weight") -> what is added to it."""


def factor_names(matrix: str) -> tuple[str, str]:
    """The names of the factors A and B of a matrix, as `read_adapted_headers` gives them."""
    module = matrix.removesuffix(".weight")
    return f"{module}.lora_A.weight", f"{module}.lora_B.weight"


def read_adapted_headers(folder: Path) -> tuple[dict[str, TensorInfo], dict[str, Update]]:
    """Every tensor of a checkpoint with those of its adapter, and what the adapter changes.

    Without an adapter they are the tensors alone. Reads headers only.

    Raises:
        CheckpointError: a file is missing or damaged, or the adapter does not fit.
        UnsupportedModelError: the adapter cannot be merged by `merge`.
    """
    headers = read_headers(folder)
    if not has_adapter(folder):
        return headers, {}
    config = parse_adapter_config(read_adapter_config(folder))
    factors, updates = find_updates(config, read_header(_weights(folder)))
    matrices = without_factors(headers, factors)
    _check_matrices(matrices, updates)
    return {**matrices, **factors}, updates


def _weights(folder: Path) -> Path:
    path = folder / ADAPTER_WEIGHTS_NAME
    if path.is_file():
        return path
    pickle = path.with_suffix(".bin")
    hint = f"; {pickle.name} can run code and is never opened" if pickle.exists() else ""
    raise CheckpointError(
        f"{path} is missing, without which the model would lack what {ADAPTER_CONFIG_NAME} "
        f"describes{hint}; give the folder of a whole checkpoint."
    )


def find_updates(
    config: LoraConfig, infos: list[TensorInfo]
) -> tuple[dict[str, TensorInfo], dict[str, Update]]:
    """The factors in an adapter's file by the names of `factor_names`, and what they change.

    Raises:
        UnsupportedModelError: a tensor that is no factor of a linear layer.
        CheckpointError: there are no factors, one of a pair is missing or twice there, or it is
            not of the rank in the config.
    """
    factors: dict[str, TensorInfo] = {}
    updates: dict[str, Update] = {}
    for info in infos:
        match = _FACTOR.fullmatch(info.name)
        if match is None or len(info.shape) != 2:
            raise UnsupportedModelError(
                f"{info.path.name}: {info.name} is no factor of a linear layer, and only adapters "
                "of linear layers can be merged; merge it with peft first."
            )
        matrix, name = _matrix_and_factor(match)
        if name in factors:
            raise CheckpointError(
                f"{info.path.name}: {info.name} and {factors[name].name} are the same factor twice."
            )
        rank = config.rank_of(match["module"])
        _check_rank(info, info.shape["AB".index(match["side"])], rank)
        factors[name] = info
        updates[matrix] = Update(rank, config.scale_of(match["module"]))
    if not updates:
        raise CheckpointError(f"{ADAPTER_WEIGHTS_NAME} holds no tensors; fetch it again.")
    for matrix in updates:
        for name in factor_names(matrix):
            if name not in factors:
                raise CheckpointError(f"{ADAPTER_WEIGHTS_NAME} lacks the tensor {name}.")
    return factors, updates


def _matrix_and_factor(match: re.Match[str]) -> tuple[str, str]:
    """The published names of a matrix and of the factor whose name has matched."""
    matrix = port.published_name(match["module"] + ".weight")
    return matrix, factor_names(matrix)["AB".index(match["side"])]


def _check_rank(info: TensorInfo, found: int, rank: int) -> None:
    if found != rank:
        raise CheckpointError(
            f"{info.path.name}: {info.name} is of rank {found}, but adapter_config.json says "
            f"{rank}; the two files do not belong together."
        )


def without_factors(
    headers: Mapping[str, TensorInfo], factors: Mapping[str, TensorInfo]
) -> dict[str, TensorInfo]:
    """A checkpoint's own tensors, without the copies of `factors` that may be among them.

    transformers 5 writes an adapter twice: to its own file, and among the model's tensors as the
    modules call them (q_proj.lora_A.default.weight beside q_proj.base_layer.weight). It reads the
    adapter's file, and so do we.
    """

    def is_copy(name: str) -> bool:
        match = _FACTOR.fullmatch(name)
        return match is not None and _matrix_and_factor(match)[1] in factors

    return {name: info for name, info in headers.items() if not is_copy(name)}


def _check_matrices(headers: Mapping[str, TensorInfo], updates: Updates) -> None:
    """Whether there is a floating matrix for every update."""
    found = {port.published_name(name): info for name, info in headers.items()}
    for name in updates:
        if name not in found:
            raise CheckpointError(
                f"{ADAPTER_WEIGHTS_NAME} changes {name}, which the checkpoint does not have; the "
                "adapter belongs to another model."
            )
        info = found[name]
        if len(info.shape) != 2:
            raise UnsupportedModelError(
                f"{ADAPTER_WEIGHTS_NAME} changes {info.name} of the shape {list(info.shape)}, and "
                "only adapters of linear layers can be merged; merge it with peft first."
            )
        if info.dtype == "U32":
            raise UnsupportedModelError(
                f"{info.path.name}: {info.name} is quantised, and an adapter cannot be merged into "
                "that; use the floating checkpoint."
            )


def merge(weight: mx.array, a: mx.array, b: mx.array, scale: float) -> mx.array:
    """weight + scale * (b @ a), all in float32.

    Args:
        weight: (out, in), as are the result.
        a: (rank, in).
        b: (out, rank).
        scale: alpha / rank, say.
    """
    # On the CPU, since GPUs may multiply float32 matrices in TF32, of 10 bits.
    product = mx.matmul(b.astype(mx.float32), a.astype(mx.float32), stream=mx.cpu)
    return weight.astype(mx.float32) + scale * product


def merged(updates: Updates, source_of: SourceOf = ported) -> SourceOf:
    """Sources of a model's tensors with an adapter merged into those that it changes."""

    def merged_source_of(ours: str, array: mx.array) -> Source:
        source = source_of(ours, array)
        update = updates.get(ours)
        return source if update is None else _merged_source(ours, array, update, source)

    return merged_source_of


def _merged_source(ours: str, array: mx.array, update: Update, plain: Source) -> Source:
    (n_out, n_in), (a, b) = array.shape, factor_names(ours)
    dtypes = plain.wanted[ours].dtypes

    def make(tensors: Mapping[str, mx.array], dtype: mx.Dtype) -> mx.array:
        weight = plain.make(tensors, mx.float32)
        return merge(weight, tensors[a], tensors[b], update.scale).astype(dtype)

    factors = {
        a: Wanted(((update.rank, n_in),), dtypes),
        b: Wanted(((n_out, update.rank),), dtypes),
    }
    return Source({**plain.wanted, **factors}, make)
