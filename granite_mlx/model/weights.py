"""Checked headers to a model with its weights, one layer at a time.

Peak memory is that of the final weights plus one layer: tensors are read lazily, ported, cast and
evaluated in groups, and the arrays as published are let go before the next group.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby

import mlx.core as mx

from granite_mlx.convert import port
from granite_mlx.errors import CheckpointError
from granite_mlx.model.quantisation import cast
from granite_mlx.model.shards import TensorInfo
from granite_mlx.model.sources import SourceOf, Wanted, ported
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.stored import (
    StoredTensors,
    TensorSource,
    check_tied_head,
    reading,
    tied_head,
)

DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
_FLOATING = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
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


def weights_bytes(model: SpeechModel, dtype: mx.Dtype) -> int:
    """Bytes of a model's weights with its floating ones in `dtype`, counted from shapes alone."""
    return sum(cast(array, dtype).nbytes for _, array in model.named_parameters())


def check_tensors(
    model: SpeechModel, headers: Mapping[str, TensorInfo], source_of: SourceOf = ported
) -> None:
    """Compare what the model needs with what the checkpoint has, before anything is read.

    Raises:
        CheckpointError: naming the first tensor that is missing, left over, misshapen or not of
            a type that is used there.
    """
    found = _by_published_name(headers)
    wanted: dict[str, Wanted] = {}
    for ours, array in model.named_parameters():
        wanted.update(source_of(ours, array).wanted)
    for name, one in wanted.items():
        if name not in found:
            raise CheckpointError(f"the checkpoint lacks the tensor {name}.")
        _check_tensor(found[name], one)
    known = wanted.keys() | (tied_head(found) if _is_tied(model) else {})
    for name, info in found.items():
        if name not in known:
            raise CheckpointError(
                f"{info.path.name}: {info.name} is no part of the model in config.json."
            )


def _check_tensor(info: TensorInfo, wanted: Wanted) -> None:
    if info.shape not in wanted.shapes:
        raise CheckpointError(
            f"{info.path.name}: {info.name} has the shape {list(info.shape)}, "
            f"but config.json asks for {list(wanted.shapes[0])}."
        )
    if info.dtype not in wanted.dtypes:
        usable = " and ".join(", ".join(wanted.dtypes).rsplit(", ", 1))
        raise CheckpointError(
            f"{info.path.name}: {info.name} is of type {info.dtype}; only {usable} can be used."
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


def load_weights(
    model: SpeechModel,
    headers: Mapping[str, TensorInfo],
    dtype: mx.Dtype,
    source_of: SourceOf = ported,
    on_layer: Callable[[], None] = lambda: None,
) -> None:
    """Fill `model` from the checkpoint, its floating tensors in `dtype`.

    Call `check_tensors` first, with the same `source_of`: what each of our tensors is made of. The
    one that `sources.dequantised` makes fills a floating model from a quantised checkpoint.
    `on_layer` is called before each layer; what it raises ends the loading.

    Raises:
        CheckpointError: a head that config.json ties differs from the embedding table.
    """
    stored = StoredTensors(headers)
    if _is_tied(model):
        check_tied_head(stored, dtype)
    for group in _layer_groups(model):
        on_layer()
        model.load_weights(read_weights(group, stored, dtype, source_of), strict=False)
        mx.clear_cache()


def read_weights(
    group: Iterable[tuple[str, mx.array]],
    stored: TensorSource,
    dtype: mx.Dtype,
    source_of: SourceOf,
) -> list[tuple[str, mx.array]]:
    """The values of some of our tensors, given lazy arrays of their shapes and types."""
    sources = {ours: source_of(ours, array) for ours, array in group}
    wanted = {name for source in sources.values() for name in source.wanted}
    tensors = {name: stored.read(name) for name in wanted}
    made = [(ours, source.make(tensors, dtype)) for ours, source in sources.items()]
    with reading(stored):
        mx.eval([array for _, array in made])
    return made


def _is_tied(model: SpeechModel) -> bool:
    return "lm_head" not in model.language_model


def _layer_groups(model: SpeechModel) -> Iterator[list[tuple[str, mx.array]]]:
    """Our tensors, those of one layer together, every other one alone."""

    def layer(item: tuple[str, mx.array]) -> str:
        match = _LAYER.match(item[0])
        return match.group(1) if match else item[0]

    for _, group in groupby(sorted(model.named_parameters(), key=layer), key=layer):
        yield list(group)
