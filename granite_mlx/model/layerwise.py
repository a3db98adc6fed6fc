"""A network that runs without being in memory: a layer is there while it computes, and only then.

What is outside of the layers stays in memory: the two tables of the vocabulary, the projector, the
CTC heads and norms. The networks themselves know nothing of it, and compute what they always do.
Each run reads all layers anew, so this is for comparisons, and not for writing token after token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten

from granite_mlx.engine import shared_thread
from granite_mlx.model.sources import SourceOf
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.stored import TensorSource
from granite_mlx.model.weights import read_weights

Weights = list[tuple[str, mx.array]]


class PassingLayer(nn.Module):
    """Stands in for a layer: reads its weights when it is called, and lets them go after that.

    The layer itself is no part of the module tree, so that its weights count as no one's.
    """

    def __init__(self, layer: nn.Module, read: Callable[[Weights], Weights]) -> None:
        """`read` gives the values of weights, by their names in the layer and lazy arrays."""
        super().__init__()
        self._layer, self._read = layer, read
        self._empty = _named(layer)

    def __call__(self, *inputs: Any) -> mx.array:
        """What the layer computes, evaluated."""
        shared_thread().checkpoint()
        self._layer.load_weights(self._read(self._empty))
        output: mx.array = self._layer(*inputs)
        mx.eval(output)
        self._layer.load_weights(self._empty)
        mx.clear_cache()
        return output


def hold_no_layers(
    network: SpeechModel, stored: TensorSource, dtype: mx.Dtype, source_of: SourceOf
) -> None:
    """Have the layers of encoder and decoder read when they are needed.

    Args:
        network: a new model, none of whose weights are read yet.
        stored: where the layers' weights come from, as long as the network is used.
        dtype: the floating type that they are to have.
        source_of: what each of our tensors is made of.
    """

    def passing(path: str, layer: nn.Module) -> PassingLayer:
        def read(empty: Weights) -> Weights:
            group = [(f"{path}.{name}", array) for name, array in empty]
            values = read_weights(group, stored, dtype, source_of)
            return [(name.removeprefix(f"{path}."), array) for name, array in values]

        return PassingLayer(layer, read)

    places: dict[str, Sequence[nn.Module]] = {
        "encoder.layers": network.encoder.layers,
        "language_model.model.layers": network.language_model.model.layers,
    }
    replaced = [
        (f"{place}.{n}", passing(f"{place}.{n}", layer))
        for place, layers in places.items()
        for n, layer in enumerate(layers)
    ]
    network.update_modules(tree_unflatten(replaced))


def _named(layer: nn.Module) -> Weights:
    named: Weights = tree_flatten(layer.parameters())  # type: ignore[assignment]
    return named
