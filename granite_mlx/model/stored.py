"""The tensors in a checkpoint's files, read one at a time by their published names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import mlx.core as mx

from granite_mlx.convert import port
from granite_mlx.errors import CheckpointError
from granite_mlx.model.quantisation import HEAD, cast
from granite_mlx.model.shards import TensorInfo

EMBEDDINGS = "language_model.model.embed_tokens"
_MATRIX_PARTS = ("weight", "scales", "biases")


class TensorSource(Protocol):
    """Tensors by their published names."""

    @property
    def paths(self) -> list[Path]:
        """The files that they lie in."""
        ...

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """What there is; reads nothing."""
        ...

    def read(self, name: str) -> mx.array:
        """One tensor, read when it is evaluated. The source keeps no reference to it."""
        ...


class StoredTensors:
    """The tensors as they lie in the files."""

    def __init__(self, headers: Mapping[str, TensorInfo]) -> None:
        self.tensors = {port.published_name(name): info for name, info in headers.items()}
        self.paths = sorted({info.path for info in headers.values()})
        self._shards: dict[Path, dict[str, mx.array]] = {}

    def read(self, name: str) -> mx.array:
        """One tensor; raises KeyError where there is none."""
        info = self.tensors[name]
        shard = self._shards.get(info.path, {})
        if info.name not in shard:  # not opened yet, or read before
            shard = self._shards[info.path] = _open_shard(info.path)
        # An array that mx.load made stays in memory once it is evaluated: it must leave the dict.
        return shard.pop(info.name)


def _open_shard(path: Path) -> dict[str, mx.array]:
    """A shard's tensors, each read when it is first needed."""
    try:
        tensors = mx.load(str(path))
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read any more ({error}).") from error
    assert isinstance(tensors, dict)
    return tensors


@contextmanager
def reading(*sources: TensorSource) -> Iterator[None]:
    """Around what evaluates tensors of these sources, and so reads their files.

    Raises:
        CheckpointError: they have changed since their headers were read.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("[read]"):
            raise
        folders = " or ".join(str(source.paths[0].parent) for source in sources)
        raise CheckpointError(
            f"{folders} cannot be read any more: a file was cut or replaced in the meantime; start "
            "again once it is whole."
        ) from error


def tied_head(tensors: Mapping[str, TensorInfo]) -> dict[str, str]:
    """What is stored of a tied head, each with the part of the embedding table that it must be."""
    names = {f"{HEAD}.{part}": f"{EMBEDDINGS}.{part}" for part in _MATRIX_PARTS}
    return {name: twin for name, twin in names.items() if name in tensors}


def check_tied_head(source: TensorSource, dtype: mx.Dtype | None = None) -> None:
    """A tied checkpoint may carry its head, but no other one than the model will use.

    `dtype` is the floating type in which the two will be used; None is that of each.

    Raises:
        CheckpointError: the head differs from the embedding table.
    """
    for name, twin in tied_head(source.tensors).items():
        if twin not in source.tensors or not _is_same(source, name, twin, dtype):
            info = source.tensors[name]
            raise CheckpointError(
                f"{info.path.name}: {info.name} differs from the embedding table, to which "
                "config.json's tie_word_embeddings ties it; the two files do not belong together."
            )
    mx.clear_cache()


def _is_same(source: TensorSource, name: str, twin: str, dtype: mx.Dtype | None) -> bool:
    one, other = source.read(name), source.read(twin)
    if dtype is not None:
        one, other = cast(one, dtype), cast(other, dtype)
    with reading(source):
        return bool(mx.array_equal(one, other).item())
