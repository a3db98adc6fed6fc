"""The names that `granite_mlx.second_pass` promises, and what importing it costs."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from granite_mlx import second_pass

HEAVY = {"huggingface_hub", "jsonschema", "llguidance", "mlx", "mlx_lm", "numpy", "transformers"}


@pytest.mark.parametrize("name", second_pass.__all__)
def test_every_name_can_be_imported_and_is_documented(name: str) -> None:
    value = getattr(second_pass, name)
    assert name == "TASKS" or inspect.getdoc(value)
    functions = [value] if inspect.isfunction(value) else []
    if inspect.isclass(value):
        methods = (one for key, one in vars(value).items() if not key.startswith("_"))
        functions = [*filter(inspect.isfunction, methods)]
    for function in functions:
        assert inspect.getdoc(function), function
        if name != "SpeechDecoder":  # its speech model is imported for types only
            assert "return" in get_type_hints(function), function


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Llama'"):
        second_pass.Llama  # noqa: B018


def test_importing_it_loads_nothing_heavy(repository: Path) -> None:
    code = "import granite_mlx.second_pass, json, sys; print(json.dumps(list(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert not {name.partition(".")[0] for name in json.loads(result.stdout)} & HEAVY
