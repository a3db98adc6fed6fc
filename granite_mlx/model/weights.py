"""Checked headers to a model with its weights, one layer at a time.

Peak memory is that of the final weights plus one layer: tensors are read lazily, ported, cast and
evaluated in groups, and the arrays as published are let go before the next group.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

import mlx.core as mx

from granite_mlx.convert import port
from granite_mlx.errors import CheckpointError
from granite_mlx.model.shards import TensorInfo
from granite_mlx.model.speech_model import SpeechModel

DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
_FLOATING = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_HEAD = "language_model.lm_head.weight"
_LAYER = re.compile(r"^(.*?\.layers?\.\d+)\.")


def stored_dtype(headers: Mapping[str, TensorInfo]) -> str:
    """The floating type of most of the checkpoint's bytes: "bfloat16", say."""
    n_bytes: Counter[str] = Counter()
    for info in headers.values():
        if info.dtype in _FLOATING:
            n_bytes[_FLOATING[info.dtype]] += info.n_bytes
    if not n_bytes:
        raise CheckpointError("the checkpoint holds no BF16, F16 or F32 tensors.")
    return n_bytes.most_common(1)[0][0]


def n_parameters(model: SpeechModel) -> int:
    """Parameters of a model, counted from shapes alone."""
    return sum(array.size for _, array in model.named_parameters())


def check_tensors(model: SpeechModel, headers: Mapping[str, TensorInfo]) -> None:
    """Compare what the model needs with what the checkpoint has, before anything is read.

    Raises:
        CheckpointError: naming the first tensor that is missing, left over, misshapen or not of
            a floating type.
    """
    found = _by_published_name(headers)
    needed: dict[str, tuple[port.Shape, ...]] = {}
    for ours, array in model.named_parameters():
        needed.update(port.sources(ours, tuple(array.shape)))
    for name, shapes in needed.items():
        if name not in found:
            raise CheckpointError(f"the checkpoint lacks the tensor {name}.")
        info = found[name]
        if info.shape not in shapes:
            raise CheckpointError(
                f"{info.path.name}: {info.name} has the shape {list(info.shape)}, "
                f"but config.json asks for {list(shapes[0])}."
            )
        if info.dtype not in _FLOATING:
            raise CheckpointError(
                f"{info.path.name}: {info.name} is of type {info.dtype}; "
                "only BF16, F16 and F32 are supported."
            )
    for name, info in found.items():
        if name not in needed and name != _HEAD:  # a tied one, which `load_weights` compares
            raise CheckpointError(
                f"{info.path.name}: {info.name} is no part of the model in config.json."
            )


def _by_published_name(headers: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    found: dict[str, TensorInfo] = {}
    for name, info in headers.items():
        if port.is_ignored(name):
            continue
        published = port.published_name(name)
        if published in found:
            raise CheckpointError(
                f"{info.path.name}: {name} and {found[published].name} are the same tensor twice."
            )
        found[published] = info
    return found


def load_weights(model: SpeechModel, headers: Mapping[str, TensorInfo], dtype: mx.Dtype) -> None:
    """Fill `model` from the checkpoint, in `dtype`. Call `check_tensors` first.

    Raises:
        CheckpointError: a head that config.json ties differs from the embedding table.
    """
    found = _by_published_name(headers)
    lazy = {path: _open_shard(path) for path in {info.path for info in found.values()}}
    for group in _layer_groups(model):
        ported = []
        for ours, shape in group:
            names = port.sources(ours, shape)
            tensors = {n: lazy[found[n].path][found[n].name] for n in names}
            ported.append((ours, port.assemble(ours, shape, tensors).astype(dtype)))
        model.load_weights(ported, strict=False)
        mx.eval([array for _, array in ported])
        for ours, shape in group:
            for name in port.sources(ours, shape):
                lazy[found[name].path].pop(found[name].name, None)
        mx.clear_cache()
    if _HEAD in found and "lm_head" not in model.language_model:
        head = found[_HEAD]
        _check_tied_head(model, lazy[head.path].pop(head.name).astype(dtype), head)


def _check_tied_head(model: SpeechModel, head: mx.array, info: TensorInfo) -> None:
    """A tied checkpoint may carry its head, but no other one than the model will use."""
    if not mx.array_equal(head, model.language_model.model.embed_tokens.weight).item():
        raise CheckpointError(
            f"{info.path.name}: {info.name} differs from the embedding table, to which "
            "config.json's tie_word_embeddings ties it; the two files do not belong together."
        )


def _open_shard(path: Path) -> dict[str, mx.array]:
    """A shard's tensors by name, each of them read when it is first needed."""
    tensors = mx.load(str(path))
    assert isinstance(tensors, dict)
    return tensors


def _layer_groups(model: SpeechModel) -> Iterator[list[tuple[str, port.Shape]]]:
    """Our tensors, those of one layer together, every other one alone."""
    tensors = [(name, tuple(array.shape)) for name, array in model.named_parameters()]

    def layer(item: tuple[str, port.Shape]) -> str:
        match = _LAYER.match(item[0])
        return match.group(1) if match else item[0]

    for _, group in groupby(sorted(tensors, key=layer), key=layer):
        yield list(group)
