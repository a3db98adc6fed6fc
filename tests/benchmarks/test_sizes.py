from pathlib import Path
from types import ModuleType

import pytest

from granite_mlx.convert.plan import plan
from granite_mlx.convert.recipes import RECIPES
from granite_mlx.model.memory import PUBLISHED_BYTES, RECIPE_BYTES
from granite_mlx.model.shards import TensorInfo


@pytest.fixture(scope="module")
def tensors(full_size: ModuleType) -> dict[str, TensorInfo]:
    """Those of granite-4.0-1b-speech."""
    published = full_size.published_tensors(full_size.real_config())
    return {
        name: TensorInfo(name, dtype, tuple(shape), Path("model.safetensors"))
        for name, (dtype, shape) in published.items()
    }


def test_the_sizes_that_are_told_are_those_of_the_plans(tensors: dict[str, TensorInfo]) -> None:
    assert plan(tensors, tied=False).n_bytes == PUBLISHED_BYTES
    assert {
        name: plan(tensors, tied=False, recipe=recipe).n_bytes for name, recipe in RECIPES.items()
    } == RECIPE_BYTES
