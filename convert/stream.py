"""Writes the tensors of a plan as safetensors files, a block of rows at a time.

A safetensors header says where every tensor lies, and the plan says how large each will be; so the
header is written first and the tensors one by one behind it. In memory there is one tensor of the
source and what a block of it becomes. The format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import mlx.core as mx

from granite_mlx.convert.plan import Fate, Plan
from granite_mlx.convert.port import Shape
from granite_mlx.convert.source import MLX_DTYPES
from granite_mlx.errors import ConversionError
from granite_mlx.model.folder import WEIGHTS_NAME
from granite_mlx.model.quantisation import quantise
from granite_mlx.model.shards import INDEX_NAME, ITEM_BYTES
from granite_mlx.model.stored import TensorSource, reading

SHARD_BYTES = 5_000_000_000
"""What a file holds at most, as with mlx-lm; a larger tensor has a file of its own."""

BLOCK_BYTES = 32 << 20
"""Of the source at once: quantising takes several times as much for its intermediate results."""

ALIGNMENT = 8  # of the data in the file, as the format asks


@dataclass(frozen=True)
class Shard:
    """One file: the tensors that it holds and where."""

    file_name: str
    fates: tuple[Fate, ...]

    @cached_property
    def begin(self) -> dict[str, int]:
        """The first byte of each tensor, counted from the end of the header.

        Tensors of larger items come first, so that each lies at a multiple of its item's size.
        """
        begin, position = {}, 0
        for name, (dtype, shape) in self._largest_items_first():
            begin[name] = position
            position += math.prod(shape) * ITEM_BYTES[dtype]
        return begin

    def header(self) -> bytes:
        """The start of the file: the header's length and the header."""
        entries: dict[str, object] = {"__metadata__": {"format": "mlx"}}
        for name, (dtype, shape) in self._largest_items_first():
            begin = self.begin[name]
            end = begin + math.prod(shape) * ITEM_BYTES[dtype]
            entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-len(text) % ALIGNMENT)
        return len(text).to_bytes(8, "little") + text

    def _largest_items_first(self) -> list[tuple[str, tuple[str, Shape]]]:
        stored = [item for fate in self.fates for item in fate.stored.items()]
        return sorted(stored, key=lambda item: -ITEM_BYTES[item[1][0]])


def shards(plan: Plan, limit_bytes: int = SHARD_BYTES) -> list[Shard]:
    """Divide what is kept among files of at most `limit_bytes`, in the plan's order."""
    parts: list[list[Fate]] = [[]]
    part_bytes = 0
    for fate in plan.fates:
        if parts[-1] and part_bytes + fate.n_bytes > limit_bytes:
            parts.append([])
            part_bytes = 0
        if fate.stored:
            parts[-1].append(fate)
            part_bytes += fate.n_bytes
    if len(parts) == 1:
        return [Shard(WEIGHTS_NAME, tuple(parts[0]))]
    stem = WEIGHTS_NAME.removesuffix(".safetensors")
    return [
        Shard(f"{stem}-{n:05}-of-{len(parts):05}.safetensors", tuple(part))
        for n, part in enumerate(parts, start=1)
    ]


def write_weights(
    folder: Path, files: list[Shard], source: TensorSource, on_bytes: Callable[[int], None]
) -> None:
    """Write the weights, and an index where they are several files.

    Args:
        on_bytes: called after each block with the bytes of the source that it was made of. An
            exception that it raises ends the writing.

    Raises:
        ConversionError: a value of the source is beyond float16, which it is to have.
        CheckpointError: the source cannot be read any more.
        OSError: the disk is full.
    """
    for shard in files:
        with open_new(folder / shard.file_name) as file:
            file.write(shard.header())
            start = file.tell()
            for fate in shard.fates:
                for name, offset, values in _blocks(fate, source, on_bytes):
                    file.seek(start + shard.begin[name] + offset)
                    file.write(_bytes(values))
                mx.clear_cache()
            file.flush()
            os.fsync(file.fileno())  # some file systems tell only now that they are full
    if len(files) > 1:
        _write_index(folder / INDEX_NAME, files)


def open_new(path: Path) -> BinaryIO:
    """A file that does not exist yet, to be written."""
    return open(path, "xb")


def _blocks(
    fate: Fate, source: TensorSource, on_bytes: Callable[[int], None]
) -> Iterator[tuple[str, int, mx.array]]:
    """(name in the file, offset in bytes, values) of all that a tensor is stored as."""
    with reading(source):
        rows = source.read(fate.name).reshape((-1,) if fate.format is None else fate.matrix)
        mx.eval(rows)
    step = max(1, BLOCK_BYTES * rows.shape[0] // rows.nbytes)
    offsets = dict.fromkeys(fate.stored, 0)
    for first in range(0, rows.shape[0], step):
        block = rows[first : first + step]
        parts = _converted(fate, block)
        mx.eval(*parts.values())
        for name, values in parts.items():
            yield name, offsets[name], values
            offsets[name] += values.nbytes
        on_bytes(block.size * ITEM_BYTES[fate.dtype])


def _converted(fate: Fate, block: mx.array) -> dict[str, mx.array]:
    """What some rows of a tensor become, by the names in the file."""
    values = block.astype(MLX_DTYPES[fate.kept_dtype])
    if values.dtype == mx.float16 and block.dtype != mx.float16:
        _check_range(fate, block, values)
    if fate.format is None:
        (name,) = fate.stored
        return {name: values}
    parts = quantise(values, fate.format)
    return {name: parts[name.rpartition(".")[2]] for name in fate.stored}


def _check_range(fate: Fate, block: mx.array, values: mx.array) -> None:
    """float16 ends at 65504, and what is beyond would silently become infinite."""
    if not mx.array_equal(mx.isfinite(block), mx.isfinite(values)).item():
        raise ConversionError(
            f"{fate.name} holds values beyond the range of float16 (65504); use bfloat16."
        )


def _bytes(values: mx.array) -> memoryview:
    """The bytes of an array, as they are in memory."""
    return memoryview(values.reshape(-1).view(mx.uint8))  # type: ignore[arg-type]


def _write_index(path: Path, files: list[Shard]) -> None:
    fates = [fate for shard in files for fate in shard.fates]
    weight_map = {name: shard.file_name for shard in files for name in sorted(shard.begin)}
    index = {
        "metadata": {"total_size": sum(fate.n_bytes for fate in fates)},
        "weight_map": weight_map,
    }
    path.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
