"""Both ways between us and mlx-audio, with the real package in an environment of its own.

`make test-all` makes the environment and names its Python in GRANITE_MLX_AUDIO_PYTHON. mlx-audio
runs twice: to convert the demo checkpoint, and to transcribe with what it and we have converted.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

import granite_mlx
from granite_mlx.convert import convert
from granite_mlx.convert.recipes import uniform
from granite_mlx.model.quantisation import QuantFormat

from ..model.tiny import renamed

PYTHON = os.environ.get("GRANITE_MLX_AUDIO_PYTHON")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON, reason="GRANITE_MLX_AUDIO_PYTHON names no Python with mlx-audio"
    ),
]

EIGHT_BITS = uniform(QuantFormat(8, 64))

OURS: dict[str, dict[str, Any]] = {
    "plain": {},
    "float32": {"dtype": "float32"},
    "8 bits": {"recipe": EIGHT_BITS},
    "q4": {"recipe": "q4"},  # several formats in one checkpoint
    "mxfp8": {"recipe": uniform(QuantFormat(8, 32, "mxfp8"))},
    "untied": {"source": "untied"},
}
"""Arguments of our `convert`."""

THEIRS: dict[str, list[str]] = {
    "plain": [],
    "float32": ["--dtype", "float32"],
    "8 bits": ["-q", "--q-bits", "8"],
    "mixed": ["-q", "--quant-predicate", "mixed_4_6"],  # several formats in one checkpoint
    "mxfp8": ["-q", "--q-mode", "mxfp8"],
}
"""Arguments of `python -m mlx_audio.convert`."""

SAME = ["plain", "float32", "8 bits", "mxfp8"]
"""What is asked of both in the same way."""

RECORDINGS = {"float32": "*.flac", None: "digits*.flac"}
"""What is heard in float32, and in the type in which a checkpoint is loaded.

In bfloat16 the two packages round in different places: mlx-audio's encoder computes in float32
there too, ours does not. A close decision then falls either way, so what is compared are digits,
of which the demo is sure.
"""

HEARD_BOTH_WAYS = ("plain", "8 bits")
ONLY_AS_LOADED = ("mxfp8",)  # whose embedding table mlx-audio turns to bfloat16 in any case

CONVERT = """
import json, sys
from mlx_audio.convert import configure_parser, convert
for arguments in json.loads(sys.argv[1]):
    convert(**vars(configure_parser().parse_args(arguments)))
"""

TRANSCRIBE = """
import json, sys
import mlx.core as mx
from mlx_audio.stt import load
texts = []
for folder, dtype, recordings in json.loads(sys.argv[1]):
    model = load(folder)
    if dtype is not None:
        model.set_dtype(getattr(mx, dtype))
    texts.append([model.generate(path, max_tokens=60).text.strip() for path in recordings])
print(json.dumps(texts))
"""

Run = tuple[str, str | None]
"""A conversion's name and the type that it is computed in; None is that in which it is loaded."""

Texts = list[str]


def runs(names: Iterable[str]) -> list[Run]:
    """How the conversions are tried out."""
    names = list(names)
    in_float32: list[Run] = [(name, "float32") for name in names if name not in ONLY_AS_LOADED]
    as_loaded = HEARD_BOTH_WAYS + ONLY_AS_LOADED
    return in_float32 + [(name, None) for name in names if name in as_loaded]


def run_mlx_audio(script: str, argument: Any) -> str:
    """What a script prints in mlx-audio's own environment, which sees nothing of ours."""
    assert PYTHON is not None
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [PYTHON, "-c", script, json.dumps(argument)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlx-audio")


@pytest.fixture(scope="module")
def untied(folder: Path, demo_checkpoint: Path) -> Path:
    """The demo with a head of its own, under names that transformers also writes.

    Only the top of config.json says that the head is not tied.
    """
    source = folder / "untied source"
    shutil.copytree(demo_checkpoint, source, ignore=shutil.ignore_patterns("examples"))
    tensors = mx.load(str(source / "model.safetensors"))
    assert isinstance(tensors, dict)
    tensors["language_model.lm_head.weight"] = tensors["language_model.model.embed_tokens.weight"]
    stored = {renamed(name, "modules"): tensor for name, tensor in tensors.items()}
    mx.save_safetensors(str(source / "model.safetensors"), stored)
    config = json.loads((source / "config.json").read_text())
    config["tie_word_embeddings"] = False
    del config["text_config"]["tie_word_embeddings"]
    (source / "config.json").write_text(json.dumps(config))
    return source


@pytest.fixture(scope="module")
def ours(folder: Path, untied: Path) -> dict[str, Path]:
    """Our conversions for mlx-audio, by their names in `OURS`."""
    made = {name: folder / f"ours, {name}" for name in OURS}
    for name, arguments in OURS.items():
        options = {**arguments, "layout": "mlx-audio"}
        source = untied if options.pop("source", "demo") == "untied" else "demo"
        convert(source, made[name], **options)
    return made


@pytest.fixture(scope="module")
def theirs(folder: Path, demo_checkpoint: Path) -> dict[str, Path]:
    """mlx-audio's conversions of the demo, by their names in `THEIRS`."""
    made = {name: folder / f"theirs, {name}" for name in THEIRS}
    paths = ["--hf-path", str(demo_checkpoint), "--model-domain", "stt", "--mlx-path"]
    run_mlx_audio(CONVERT, [[*paths, str(made[name]), *THEIRS[name]] for name in THEIRS])
    return made


def recordings(examples: Path, dtype: str | None) -> list[str]:
    return [str(path) for path in sorted(examples.glob(RECORDINGS[dtype]))]


@pytest.fixture(scope="module")
def their_texts(
    ours: Mapping[str, Path], theirs: Mapping[str, Path], demo_checkpoint: Path
) -> dict[tuple[Path, str | None], Texts]:
    """What mlx-audio hears with the conversions, by their folder and the type."""
    tried = [(made[name], dtype) for made in (ours, theirs) for name, dtype in runs(made)]
    examples = demo_checkpoint / "examples"
    jobs = [(str(path), dtype, recordings(examples, dtype)) for path, dtype in tried]
    output = run_mlx_audio(TRANSCRIBE, jobs)
    return dict(zip(tried, json.loads(output.splitlines()[-1]), strict=True))


def our_texts(folder: Path, dtype: str | None, examples: Path) -> Texts:
    with granite_mlx.load(folder, dtype=dtype) as model:
        return [
            model.transcribe(path, max_new_tokens=60).text for path in recordings(examples, dtype)
        ]


@pytest.mark.parametrize(("name", "dtype"), runs(OURS))
def test_it_hears_the_same_with_what_we_convert(
    ours: Mapping[str, Path],
    their_texts: Mapping[tuple[Path, str | None], Texts],
    demo_checkpoint: Path,
    name: str,
    dtype: str | None,
) -> None:
    texts = our_texts(ours[name], dtype, demo_checkpoint / "examples")
    assert all(texts)
    assert their_texts[ours[name], dtype] == texts


@pytest.mark.parametrize(("name", "dtype"), runs(THEIRS))
def test_we_hear_the_same_with_what_it_converts(
    theirs: Mapping[str, Path],
    their_texts: Mapping[tuple[Path, str | None], Texts],
    demo_checkpoint: Path,
    name: str,
    dtype: str | None,
) -> None:
    texts = our_texts(theirs[name], dtype, demo_checkpoint / "examples")
    assert all(texts)
    assert their_texts[theirs[name], dtype] == texts


@pytest.mark.parametrize("name", SAME)
def test_we_write_what_it_writes(
    ours: Mapping[str, Path], theirs: Mapping[str, Path], name: str
) -> None:
    """The same tensors under the same names, to the last bit."""
    first, second = (mx.load(str(made[name] / "model.safetensors")) for made in (ours, theirs))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first.keys() == second.keys()
    for key, tensor in first.items():
        assert tensor.dtype == second[key].dtype, key
        assert mx.array_equal(tensor, second[key]).item(), key
    configs = [json.loads((made[name] / "config.json").read_text()) for made in (ours, theirs)]
    assert configs[0].get("quantization") == configs[1].get("quantization")
