"""The names that `import granite_mlx` promises, and what importing them costs."""

import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import granite_mlx

HEAVY = {
    "av",
    "huggingface_hub",
    "jinja2",
    "mlx",
    "numpy",
    "soundfile",
    "soxr",
    "tokenizers",
    "torch",
    "transformers",
}


@pytest.mark.parametrize("name", granite_mlx.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(granite_mlx, name) is not None


def test_star_import_brings_exactly_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from granite_mlx import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(granite_mlx.__all__)
    assert dir(granite_mlx) == sorted(granite_mlx.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'granite_mlx' has no attribute 'Whisper'"):
        granite_mlx.Whisper  # noqa: B018


def test_one_except_clause_catches_all_our_errors() -> None:
    errors = [
        value
        for name in granite_mlx.__all__
        if inspect.isclass(value := getattr(granite_mlx, name)) and issubclass(value, Exception)
    ]
    assert len(errors) > 1
    assert all(issubclass(error, granite_mlx.GraniteError) for error in errors)


def public_members() -> dict[str, object]:
    """The public classes and functions, and the methods and properties of the classes."""
    public = {name: getattr(granite_mlx, name) for name in granite_mlx.__all__}
    del public["__version__"]
    for name, value in list(public.items()):
        if inspect.isclass(value) and not issubclass(value, Exception):
            members = {k: v for k, v in vars(value).items() if not k.startswith("_")}
            documentable = (staticmethod, classmethod, property)
            public |= {
                f"{name}.{k}": v
                for k, v in members.items()
                if inspect.isfunction(v) or isinstance(v, documentable)
            }
    return public


def test_every_public_class_method_and_function_is_documented() -> None:
    undocumented = [name for name, value in public_members().items() if not inspect.getdoc(value)]
    assert undocumented == []


def test_every_type_hint_can_be_evaluated() -> None:
    """By tools that build forms, schemas or command lines of functions."""
    functions = {k: v for k, v in public_members().items() if inspect.isfunction(v)}
    assert {"load", "GraniteSpeech.transcribe", "Transcript.save"} <= functions.keys()
    for name, function in functions.items():
        assert "return" in get_type_hints(function), name


def test_importing_the_package_loads_nothing_heavy(repository: Path) -> None:
    loaded = _top_level_modules_after("import granite_mlx", repository)
    assert loaded & HEAVY == set()


def test_no_module_of_the_package_imports_torch_or_transformers(repository: Path) -> None:
    modules = [
        module.name
        for module in pkgutil.walk_packages(granite_mlx.__path__, "granite_mlx.")
        if not module.name.endswith("__main__")
    ]
    assert "granite_mlx.speech" in modules
    loaded = _top_level_modules_after(f"import {', '.join(modules)}", repository)
    assert "mlx" in loaded
    assert loaded & {"torch", "transformers"} == set()


def _top_level_modules_after(statement: str, folder: Path) -> set[str]:
    """Run `statement` in a fresh interpreter; the top-level names in its sys.modules."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(result.stdout)}
