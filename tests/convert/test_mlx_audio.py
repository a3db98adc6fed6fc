"""Both ways between us and mlx-audio, with the real package in an environment of its own.

`make test-all` makes the environment and names its Python in GRANITE_MLX_AUDIO_PYTHON. mlx-audio
runs twice: to convert the demo checkpoint, and to transcribe with what it and we have converted.

The other members of the family are the demo checkpoint made into what they are. It has not learnt
to be that, so what it then writes makes little sense; but both must write the same.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

import granite_mlx
from granite_mlx.convert import convert
from granite_mlx.convert.recipes import uniform
from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.selftest.random_weights import random_tensor

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
    "4.1-2b": {"source": "4.1-2b"},
    "4.1-2b-plus": {"source": "4.1-2b-plus", "recipe": EIGHT_BITS},
    "5.0-2b": {"source": "5.0-2b"},
}
"""Arguments of our `convert`. The source is the demo where there is none."""

THEIRS: dict[str, list[str]] = {
    "plain": [],
    "float32": ["--dtype", "float32"],
    "8 bits": ["-q", "--q-bits", "8"],
    "mixed": ["-q", "--quant-predicate", "mixed_4_6"],  # several formats in one checkpoint
    "mxfp8": ["-q", "--q-mode", "mxfp8"],
    "4.1-2b": [],
    "4.1-2b-plus": ["-q", "--q-bits", "8"],
    "5.0-2b": [],
}
"""Arguments of `python -m mlx_audio.convert`, whose source is the demo or what the name tells."""

FAMILIES = {"4.1-2b": "4.1", "4.1-2b-plus": "4.1-plus", "5.0-2b": "5.0"}

SAME = ["plain", "float32", "8 bits", "mxfp8", *FAMILIES]
"""What is asked of both in the same way."""

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


Tensors = dict[str, mx.array]
Config = dict[str, Any]


def untie(config: Config, tensors: Tensors) -> Tensors:
    """A head of its own, under names that transformers also writes.

    Only the top of config.json says that the head is not tied.
    """
    config["tie_word_embeddings"] = False
    del config["text_config"]["tie_word_embeddings"]
    tensors["language_model.lm_head.weight"] = tensors["language_model.model.embed_tokens.weight"]
    return {renamed(name, "modules"): tensor for name, tensor in tensors.items()}


def concatenate(config: Config, tensors: Tensors) -> Tensors:
    """4.1-2b-plus: the projector reads the frames of an earlier block in front of the last ones."""
    width = config["encoder_config"]["hidden_dim"]
    config["model_type"] = "granite_speech_plus"
    config["architectures"] = ["GraniteSpeechPlusForConditionalGeneration"]
    config["encoder_config"]["cat_hidden_layers"] = [1]
    config["projector_config"]["encoder_hidden_size"] = 2 * width
    for name, last in tensors.items():
        if re.search(r"\.crossattention\.attention\.(key|value)\.weight$", name):
            earlier = 0.3 * mx.array(random_tensor(name, last.shape))
            tensors[name] = mx.concatenate([earlier.astype(last.dtype), last], axis=1)
    return tensors


def stretch(config: Config, tensors: Tensors) -> Tensors:
    """5.0-2b: four times the context by YaRN."""
    config["text_config"]["rope_parameters"] = {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": config["text_config"]["max_position_embeddings"] // 4,
    }
    return tensors


def keep(config: Config, tensors: Tensors) -> Tensors:
    """4.1-2b: the network of the demo, with a second head in a file of its own."""
    return tensors


CHANGES: dict[str, Callable[[Config, Tensors], Tensors]] = {
    "untied": untie,
    "4.1-2b": keep,
    "4.1-2b-plus": concatenate,
    "5.0-2b": stretch,
}
"""What becomes of the demo's config.json and tensors, by the source's name."""


@pytest.fixture(scope="module")
def sources(folder: Path, demo_checkpoint: Path) -> dict[str, Path]:
    """The demo, and what is made of it."""
    made = {"demo": demo_checkpoint}
    for name, change in CHANGES.items():
        made[name] = source = folder / f"{name} source"
        shutil.copytree(demo_checkpoint, source, ignore=shutil.ignore_patterns("examples"))
        config = json.loads((source / "config.json").read_text())
        tensors = mx.load(str(source / "model.safetensors"))
        assert isinstance(tensors, dict)
        changed = change(config, tensors)
        mx.eval(changed)  # before the file that they come from is written anew
        mx.save_safetensors(str(source / "model.safetensors"), changed)
        (source / "config.json").write_text(json.dumps(config))
    head = {"weight": mx.ones((1792, 128)), "bias": mx.zeros(1792)}
    mx.save_safetensors(str(made["4.1-2b"] / "out_llm.safetensors"), head)
    return made


@pytest.fixture(scope="module")
def ours(folder: Path, sources: Mapping[str, Path]) -> dict[str, Path]:
    """Our conversions for mlx-audio, by their names in `OURS`."""
    made = {name: folder / f"ours, {name}" for name in OURS}
    for name, arguments in OURS.items():
        options = {**arguments, "layout": "mlx-audio"}
        source = sources[options.pop("source", "demo")]
        convert(source, made[name], **options)
    return made


@pytest.fixture(scope="module")
def theirs(folder: Path, sources: Mapping[str, Path]) -> dict[str, Path]:
    """mlx-audio's conversions, by their names in `THEIRS`."""
    made = {name: folder / f"theirs, {name}" for name in THEIRS}
    paths = {name: ["--hf-path", str(sources.get(name, sources["demo"]))] for name in THEIRS}
    options = ["--model-domain", "stt", "--mlx-path"]
    jobs = [[*paths[name], *options, str(made[name]), *THEIRS[name]] for name in THEIRS]
    run_mlx_audio(CONVERT, jobs)
    return made


def recordings(examples: Path) -> list[str]:
    return [str(path) for path in sorted(examples.glob("*.flac"))]


@pytest.fixture(scope="module")
def their_texts(
    ours: Mapping[str, Path], theirs: Mapping[str, Path], demo_checkpoint: Path
) -> dict[tuple[Path, str | None], Texts]:
    """What mlx-audio hears with the conversions, by their folder and the type."""
    tried = [(made[name], dtype) for made in (ours, theirs) for name, dtype in runs(made)]
    examples = demo_checkpoint / "examples"
    jobs = [(str(path), dtype, recordings(examples)) for path, dtype in tried]
    output = run_mlx_audio(TRANSCRIBE, jobs)
    return dict(zip(tried, json.loads(output.splitlines()[-1]), strict=True))


def our_texts(folder: Path, dtype: str | None, examples: Path) -> Texts:
    with granite_mlx.load(folder, dtype=dtype) as model:
        return [model.transcribe(path, max_new_tokens=60).text for path in recordings(examples)]


@pytest.mark.parametrize(("name", "dtype"), runs(OURS))
def test_it_hears_the_same_with_what_we_convert(
    unguarded: None,
    ours: Mapping[str, Path],
    their_texts: Mapping[tuple[Path, str | None], Texts],
    demo_checkpoint: Path,
    name: str,
    dtype: str | None,
) -> None:
    texts = our_texts(ours[name], dtype, demo_checkpoint / "examples")
    assert any(texts) if name in FAMILIES else all(texts)
    assert their_texts[ours[name], dtype] == texts


@pytest.mark.parametrize(("name", "dtype"), runs(THEIRS))
def test_we_hear_the_same_with_what_it_converts(
    unguarded: None,
    theirs: Mapping[str, Path],
    their_texts: Mapping[tuple[Path, str | None], Texts],
    demo_checkpoint: Path,
    name: str,
    dtype: str | None,
) -> None:
    texts = our_texts(theirs[name], dtype, demo_checkpoint / "examples")
    assert any(texts) if name in FAMILIES else all(texts)
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


@pytest.mark.parametrize("name", FAMILIES)
def test_members_stay_what_they_are(
    ours: Mapping[str, Path], theirs: Mapping[str, Path], name: str
) -> None:
    for made in (ours, theirs):
        with granite_mlx.load(made[name]) as model:
            assert model.family == FAMILIES[name]
        assert (made[name] / "out_llm.safetensors").exists() == (name == "4.1-2b")
