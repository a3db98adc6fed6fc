"""Conversion of checkpoints: names and layouts, quantisation recipes, verification, model cards.

    from granite_mlx.convert import convert, verifier
    convert("ibm-granite/granite-4.0-1b-speech", "granite-q8", recipe="q8", verify=verifier())

Lies at the top of the repository and is imported as `granite_mlx.convert`, through the symbolic
link `granite_mlx/convert`. Its names are fetched when they are first used: loading a model needs
the table in `port` and nothing else from here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from granite_mlx.convert.conversion import (
        BeyondLimitsError,
        Job,
        Verdict,
        Verifier,
        convert,
        prepare,
    )
    from granite_mlx.convert.manifest import Manifest, read_manifest
    from granite_mlx.convert.recipes import RECIPES, Limits, Recipe, Rule, read_recipe, uniform
    from granite_mlx.convert.recordings import Recording, read_recordings
    from granite_mlx.convert.verify import verifier

__all__ = [
    "RECIPES",
    "BeyondLimitsError",
    "Job",
    "Limits",
    "Manifest",
    "Recipe",
    "Recording",
    "Rule",
    "Verdict",
    "Verifier",
    "convert",
    "prepare",
    "read_manifest",
    "read_recipe",
    "read_recordings",
    "uniform",
    "verifier",
]

_ROOMS = {
    "conversion": ("BeyondLimitsError", "Job", "Verdict", "Verifier", "convert", "prepare"),
    "manifest": ("Manifest", "read_manifest"),
    "recipes": ("RECIPES", "Limits", "Recipe", "Rule", "read_recipe", "uniform"),
    "recordings": ("Recording", "read_recordings"),
    "verify": ("verifier",),
}
_LAZY = {name: f"granite_mlx.convert.{room}" for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'granite_mlx.convert' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
