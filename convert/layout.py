"""What a layout decides: under which names and in which shapes a conversion is stored.

The plan, the writer and the manifest know no layout; they are given one. Ours is here, those of
other packages are in `granite_mlx.convert.layouts`.
"""

from __future__ import annotations

from typing import Any, Protocol

from granite_mlx.convert.port import Shape, is_pointwise


class Layout(Protocol):
    """How the package that is to load a conversion expects it. All methods are pure.

    Every name that comes in is a published one, whatever the source called it. A tensor that is
    not quantised keeps its values in their order: a layout reshapes and never transposes, which
    is enough because a convolution differs between PyTorch and MLX by an axis of length 1.
    """

    @property
    def name(self) -> str:
        """As `--compat` and the manifest have it."""
        ...

    def tensor_name(self, published: str) -> str:
        """The name in the files of a published tensor: `encoder.out.weight`.

        A quantised matrix lies under the names that its `.weight` leads to, with `.scales` and
        `.biases` beside it. config.json's "quantization" names modules in the same way.
        """
        ...

    def floating_shape(self, published: str, shape: Shape) -> Shape:
        """The shape in the files of a tensor that stays floating; `shape` is the source's."""
        ...

    def keeps_floating(self, module: str) -> str | None:
        """Why a matrix (a module path, without `.weight`) must not be quantised, or None."""
        ...

    def edit_config(self, config: dict[str, Any]) -> dict[str, Any]:
        """config.json as it is to be stored; "quantization" and the dtype are already in it."""
        ...


class GraniteMLX:
    """Our own: published names, convolutions with their channels last as MLX has them."""

    name = "granite-mlx"

    def tensor_name(self, published: str) -> str:
        """As published."""
        return published

    def floating_shape(self, published: str, shape: Shape) -> Shape:
        """(out, in, 1) -> (out, 1, in) and (channels, 1, kernel) -> (channels, kernel, 1)."""
        return mlx_convolution_shape(published, shape)

    def keeps_floating(self, module: str) -> str | None:
        """We quantise every matrix."""
        return None

    def edit_config(self, config: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return config


def mlx_convolution_shape(published: str, shape: Shape) -> Shape:
    """The shape that a convolution's kernel has in MLX, from either layout; others as they are."""
    if is_pointwise(published):
        n_out, n_in = shape[0], shape[-1] * (shape[-2] if len(shape) > 2 else 1)
        return (n_out, 1, n_in)
    if len(shape) == 3 and shape[1] == 1 and published.endswith("depth_conv.conv.weight"):
        return (shape[0], shape[2], 1)
    return shape


GRANITE_MLX: Layout = GraniteMLX()
