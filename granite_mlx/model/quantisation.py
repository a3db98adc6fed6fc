"""How quantised matrices are stored, and the modules that compute with them.

A quantised matrix lies in the files as mlx-lm and mlx-audio write it: `<module>.weight` holds
packed integers, `<module>.scales` one number for each group of neighbours in a row, and in the
affine mode `<module>.biases` another one. config.json's "quantization" tells the format, which
may be another one for single modules; a module is quantised exactly where its scales are stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_unflatten

from granite_mlx.convert import port
from granite_mlx.convert.port import Shape
from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model.shards import TensorInfo

if TYPE_CHECKING:
    from granite_mlx.model.speech_model import SpeechModel

AFFINE = "affine"
HEAD = "language_model.lm_head"
CONFIG_KEYS = ("quantization", "quantization_config")
"""mlx-lm writes the same under both; the first is its own name, the second that of the hub."""

_FORMAT_KEYS = ("bits", "group_size", "mode")

_SUPPORTED: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    AFFINE: ((2, 3, 4, 5, 6, 8), (32, 64, 128)),
    "mxfp4": ((4,), (32,)),
    "mxfp8": ((8,), (32,)),
    "nvfp4": ((4,), (16,)),
}
"""Mode -> the bits and the group sizes that every MLX from 0.32 on computes with."""

_WORD_BITS = 32
_PACKED_AT_ONCE = 32
"""Values that MLX packs at a time; a row of another length may not be packed by itself."""

_TABLE_OF_POSITIONS = ".rel_pos_emb"
"""Its rows are read as they are, and never through the module that holds them."""


@dataclass(frozen=True)
class QuantFormat:
    """How one matrix is stored.

    Attributes:
        bits: of one weight.
        group_size: neighbours in a row that share a scale.
        mode: "affine", "mxfp4", "mxfp8" or "nvfp4", as MLX defines them.

    Raises:
        ValueError: MLX has no such format.
    """

    bits: int
    group_size: int
    mode: str = AFFINE

    def __post_init__(self) -> None:
        if self.mode not in _SUPPORTED:
            raise ValueError(f"there is no mode {self.mode!r}; MLX has {_one_of(_SUPPORTED)}.")
        bits, group_sizes = _SUPPORTED[self.mode]
        if self.bits not in bits or self.group_size not in group_sizes:
            raise ValueError(
                f"the mode {self.mode} has {_one_of(bits)} bits and groups of "
                f"{_one_of(group_sizes)}, not {self.bits} bits and groups of {self.group_size}."
            )

    def fits(self, shape: Shape) -> bool:
        """Whether a matrix (out, in) can be stored so: its rows divide and pack without a rest."""
        return len(shape) == 2 and shape[1] % max(self.group_size, _PACKED_AT_ONCE) == 0

    def stored(self, shape: Shape, dtype: str) -> dict[str, tuple[str, Shape]]:
        """What a matrix (out, in) of safetensors' type `dtype` ("BF16") is stored as.

        Returns:
            "weight", "scales" and in the affine mode "biases", each with its type and shape.
        """
        *rows, width = shape
        scales = (*rows, width // self.group_size)
        parts = {"weight": ("U32", (*rows, width * self.bits // _WORD_BITS))}
        if self.mode == AFFINE:
            return {**parts, "scales": (dtype, scales), "biases": (dtype, scales)}
        return {**parts, "scales": ("U8", scales)}

    def unpacked(self, shape: Shape) -> Shape:
        """The shape (out, in) of a matrix whose packed weight has this one."""
        *rows, n_words = shape
        return (*rows, n_words * _WORD_BITS // self.bits)

    def describe(self) -> str:
        """For people: "affine 8 bits, groups of 64"."""
        return f"{self.mode} {self.bits} bits, groups of {self.group_size}"


MODES: dict[str, QuantFormat] = {
    AFFINE: QuantFormat(4, 64),
    "mxfp4": QuantFormat(4, 32, "mxfp4"),
    "mxfp8": QuantFormat(8, 32, "mxfp8"),
    "nvfp4": QuantFormat(4, 16, "nvfp4"),
}
"""Mode -> the format that MLX takes where bits and group size are not given."""


@dataclass(frozen=True)
class Quantisation:
    """What config.json says about quantised matrices.

    `overrides` has the modules that are stored in another format than the others, or with None
    not quantised at all, by their published paths.
    """

    default: QuantFormat
    overrides: Mapping[str, QuantFormat | None]

    def of(self, module: str) -> QuantFormat | None:
        """The format of a module; None where it must be floating."""
        return self.overrides.get(module, self.default)


def parse_quantisation(raw: Mapping[str, Any]) -> Quantisation | None:
    """Parse "quantization" of the content of config.json; None where there is none.

    Raises:
        UnsupportedModelError: it is quantised, but not by MLX.
        CheckpointError: a key is missing or ill-typed, or MLX has no such format.
    """
    key = next((key for key in CONFIG_KEYS if raw.get(key) is not None), None)
    if key is None:
        return None
    section, where = raw[key], f"config.json: {key}"
    if not isinstance(section, Mapping):
        raise CheckpointError(f"{where} must be an object, not {section!r}.")
    if "quant_method" in section:
        raise UnsupportedModelError(
            f"{where}.quant_method is {section['quant_method']!r}, but only what MLX quantised can "
            "be loaded; use the bf16 checkpoint."
        )
    for name in ("bits", "group_size"):
        if section.get(name) is None:
            raise CheckpointError(f"{where}.{name} is missing.")
    default = _parse_format(section, where)
    overrides = {
        _published_module(name): _parse_override(value, default, f"{where}.{name}")
        for name, value in section.items()
        if name not in _FORMAT_KEYS
    }
    return Quantisation(default, overrides)


def _parse_override(raw: Any, default: QuantFormat, where: str) -> QuantFormat | None:
    """What a module has of its own; what it leaves out is as MLX takes it for its mode."""
    if isinstance(raw, bool):
        return default if raw else None
    if not isinstance(raw, Mapping):
        raise CheckpointError(
            f"{where} must be false or an object with bits, group_size and mode, not {raw!r}."
        )
    return _parse_format(raw, where)


def _parse_format(raw: Mapping[str, Any], where: str) -> QuantFormat:
    mode = raw.get("mode") or AFFINE
    if not isinstance(mode, str) or mode not in _SUPPORTED:
        raise CheckpointError(f"{where}.mode must be {_one_of(_SUPPORTED)}, not {mode!r}.")
    bits = _integer(raw, "bits", MODES[mode].bits, where)
    group_size = _integer(raw, "group_size", MODES[mode].group_size, where)
    try:
        return QuantFormat(bits, group_size, mode)
    except ValueError as error:
        raise CheckpointError(f"{where}: {error}") from error


def _integer(raw: Mapping[str, Any], key: str, default: int, where: str) -> int:
    value = default if raw.get(key) is None else raw[key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise CheckpointError(f"{where}.{key} must be an integer, not {value!r}.")
    return value


def _published_module(path: str) -> str:
    """The published path of a module that the writer's own names may call otherwise."""
    return port.published_name(f"{path}.weight").removesuffix(".weight")


def _one_of(values: Any) -> str:
    """("a", "b", "c") -> "a, b or c"."""
    return " or ".join(", ".join(map(str, values)).rsplit(", ", 1))


def quantised_formats(
    quantisation: Quantisation | None, headers: Mapping[str, TensorInfo]
) -> dict[str, QuantFormat]:
    """The formats of the matrices that a checkpoint stores quantised, by published module path.

    Raises:
        CheckpointError: scales that config.json does not account for, or packed integers without
            scales.
    """
    formats: dict[str, QuantFormat] = {}
    packed: dict[str, TensorInfo] = {}
    for name, info in headers.items():
        module, _, part = port.published_name(name).rpartition(".")
        if part == "scales":
            formats[module] = _format_of(module, quantisation, info)
        elif part == "weight" and info.dtype == "U32":
            packed[module] = info
    for module, info in packed.items():
        if module not in formats:
            raise CheckpointError(
                f"{info.path.name}: {info.name} holds packed integers, but the checkpoint lacks "
                f"the tensor {module}.scales."
            )
    return formats


def _format_of(module: str, quantisation: Quantisation | None, info: TensorInfo) -> QuantFormat:
    if quantisation is None:
        raise CheckpointError(
            f"{info.path.name}: {info.name} belongs to a quantised matrix, but config.json has no "
            "quantization that tells its format; the two files do not belong together."
        )
    format = quantisation.of(module)
    if format is None:
        raise CheckpointError(
            f"{info.path.name}: {info.name} belongs to a quantised matrix, but config.json's "
            f"quantization has false for {module}."
        )
    return format


def quantise_modules(model: SpeechModel, formats: Mapping[str, QuantFormat]) -> None:
    """Put modules that compute with quantised matrices in place of floating ones.

    Their weights are lazy and of no use before others are loaded, as a new model's are. A head
    that the model does not have, being tied, is left to `load_weights` to compare.

    Raises:
        CheckpointError: the model has no such matrix, or its width does not suit the format.
    """
    modules = dict(model.named_modules())
    replaced = []
    for path, format in formats.items():
        if path == HEAD and path not in modules:
            continue
        matrix = _matrix(path, modules)
        if not format.fits(matrix.weight.shape):
            raise CheckpointError(
                f"the checkpoint holds {path}.scales, but a matrix of {matrix.weight.shape[-1]} "
                f"columns cannot be stored as config.json's quantization says: {format.describe()}."
            )
        replaced.append((path, matrix.to_quantized(**asdict(format))))
    if replaced:
        model.update_modules(tree_unflatten(replaced))


def _matrix(path: str, modules: Mapping[str, nn.Module]) -> nn.Linear | nn.Embedding:
    module = modules.get(path)
    if isinstance(module, nn.Linear | nn.Embedding) and not path.endswith(_TABLE_OF_POSITIONS):
        return module
    raise CheckpointError(
        f"the checkpoint holds {path}.scales, but {path} is no matrix of the model in config.json "
        "that can be quantised."
    )


def quantise(matrix: mx.array, format: QuantFormat) -> dict[str, mx.array]:
    """A floating matrix (out, in) as its stored parts: "weight", "scales" and maybe "biases".

    The affine mode's scales and biases are of the matrix's type.
    """
    parts = mx.quantize(matrix, **asdict(format))
    return dict(zip(("weight", "scales", "biases"), parts, strict=False))


def dequantise(parts: Mapping[str, mx.array], format: QuantFormat, dtype: mx.Dtype) -> mx.array:
    """The floating matrix (out, in) that the parts of `quantise` stand for, in `dtype`.

    It is what a quantised module of a model in `dtype` multiplies by: the scales are cast first.
    """
    scales = cast(parts["scales"], dtype)
    biases = cast(parts["biases"], dtype) if "biases" in parts else None
    return mx.dequantize(parts["weight"], scales, biases, **asdict(format), dtype=dtype)


def cast(array: mx.array, dtype: mx.Dtype) -> mx.array:
    """A floating array in `dtype`; packed integers, and scales that are bytes, as they are."""
    return array.astype(dtype) if mx.issubdtype(array.dtype, mx.floating) else array
