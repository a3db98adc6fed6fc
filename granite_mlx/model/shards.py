"""The safetensors files of a folder: what their headers promise, checked before anything is read.

Pickled weights are never opened. The format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granite_mlx.errors import CheckpointError

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U32": 4, "U8": 1, "F64": 8}
INDEX_NAME = "model.safetensors.index.json"
LARGEST_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as a header describes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


def read_headers(folder: Path) -> dict[str, TensorInfo]:
    """Every tensor of the checkpoint in `folder`, by the name it has there.

    Raises:
        CheckpointError: no weights, a missing or truncated file, a corrupt header, or an index
            that does not agree with the files.
    """
    index = folder / INDEX_NAME
    promised: dict[str, str] | None = _read_index(index) if index.is_file() else None
    if promised is not None:
        paths = [folder / name for name in sorted(set(promised.values()))]
    else:
        paths = sorted(folder.glob("model*.safetensors"))
    if not paths:
        raise CheckpointError(f"{folder}: no weights found{_pickles(folder)}.")
    tensors: dict[str, TensorInfo] = {}
    for path in paths:
        check_utf_8(path.name)
        for info in read_header(path):
            if info.name in tensors:
                raise CheckpointError(
                    f"{path}: {info.name} is also in {tensors[info.name].path.name}."
                )
            tensors[info.name] = info
    if promised is not None:
        _check_index(index, promised, tensors)
    return tensors


def check_utf_8(path: str) -> None:
    """Refuse a path that MLX and the tokenizers cannot open.

    Raises:
        CheckpointError: its bytes are no UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(
            f"{path!a} is no UTF-8, and MLX opens nothing of such a name; rename it."
        ) from error


def _pickles(folder: Path) -> str:
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        return "; .bin and .pt files can run code and are never opened, use safetensors"
    return "; expected model.safetensors, or shards with model.safetensors.index.json"


def _read_index(path: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
            raise TypeError("weight_map is empty or holds something else than file names")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not a valid index ({error!r}); fetch it again."
        ) from error
    for name in set(weight_map.values()):
        if Path(name).name != name or not name.endswith(".safetensors") or "\0" in name:
            raise CheckpointError(
                f"{path}: {name!r} is no name of a safetensors file in the checkpoint's folder."
            )
    return dict(weight_map)


def _check_index(index: Path, promised: dict[str, str], tensors: dict[str, TensorInfo]) -> None:
    for name, file_name in promised.items():
        if name not in tensors or tensors[name].path.name != file_name:
            raise CheckpointError(
                f"{index}: {name} is not in {file_name}, where the index puts it."
            )


def read_header(path: Path) -> list[TensorInfo]:
    """The tensors of one file.

    Raises:
        CheckpointError: it is missing or truncated, or its header is corrupt.
    """
    try:
        file_bytes = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(8)
            (header_bytes,) = struct.unpack("<Q", start) if len(start) == 8 else (0,)
            if not 2 <= header_bytes <= min(LARGEST_HEADER_BYTES, file_bytes - 8):
                raise CheckpointError(
                    f"{path} is truncated or not a safetensors file; fetch it again."
                )
            header = json.loads(file.read(header_bytes).decode("utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: the header is corrupt ({error}); fetch it again."
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: the header is corrupt (not an object); fetch it again.")
    metadata = header.pop("__metadata__", None)  # MLX writes null
    texts = metadata.values() if isinstance(metadata, dict) else [metadata or ""]
    if not isinstance(metadata, dict | None) or not all(isinstance(v, str) for v in texts):
        raise CheckpointError(f"{path}: the header is corrupt (__metadata__); fetch it again.")
    data_bytes = file_bytes - 8 - header_bytes
    infos = [_parse_entry(path, name, entry, data_bytes) for name, entry in header.items()]
    _check_layout(path, header, data_bytes)
    return infos


def _parse_entry(path: Path, name: str, entry: Any, data_bytes: int) -> TensorInfo:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)):
            raise TypeError("negative or not integers")
        if not isinstance(dtype, str):
            raise TypeError("the type is no text")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: the header entry of {name} is corrupt ({error})."
        ) from error
    if dtype not in ITEM_BYTES:
        raise CheckpointError(f"{path}: {name} has the type {dtype}, which is not supported.")
    info = TensorInfo(name, dtype, shape, path)
    if end - begin != info.n_bytes:
        raise CheckpointError(
            f"{path}: {name} claims {end - begin} bytes but needs {info.n_bytes}."
        )
    if end > data_bytes:
        raise CheckpointError(f"{path} is truncated: {name} lies beyond its end; fetch it again.")
    return info


def _check_layout(path: Path, header: dict[str, Any], data_bytes: int) -> None:
    """Tensors lie side by side in any order: no byte belongs to two of them or to none."""
    position = 0
    places = [(*entry["data_offsets"], name) for name, entry in header.items()]
    for begin, end, name in sorted(places):
        if begin != position:
            raise CheckpointError(
                f"{path}: the header is corrupt ({name} begins at byte {begin} of the data, where "
                f"the tensor before it ends at {position}); fetch it again."
            )
        position = end
    if position != data_bytes:
        raise CheckpointError(
            f"{path}: {data_bytes - position} bytes at the end belong to no tensor; fetch it again."
        )
