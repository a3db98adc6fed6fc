"""What peft merged is in tests/data/adapter; adapter_reference.py made it and compares live."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import granite_mlx
from granite_mlx.convert import convert
from granite_mlx.convert.adapter import merge, merged, read_adapted_headers
from granite_mlx.errors import CheckpointError
from granite_mlx.model.config import parse_config
from granite_mlx.model.folder import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME
from granite_mlx.model.quantisation import QuantFormat, quantise
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import DTYPES, check_tensors, load_weights, stored_dtype

from ..model.tiny import (
    CONFIG,
    LAYOUTS,
    changed,
    network,
    published_tensors,
    write_checkpoint,
    write_weights,
)
from ..model.tiny import DTYPES as TYPES
from . import small

ADAPTED = changed("has_lora_adapter", True)
CASES = ["plain", "patterns"]
Q_PROJ = "language_model.model.layers.1.self_attn.q_proj"
WRITTEN_BY_PEFT = "base_model.model.model.language_model."

Tensors = dict[str, mx.array]


def read(path: Path) -> Tensors:
    tensors = mx.load(str(path))
    assert isinstance(tensors, dict)
    return tensors


def add_adapter(folder: Path, data_dir: Path, case: str = "plain") -> Path:
    """Put a stored adapter beside the weights; returns `folder`."""
    for name in (ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME):
        shutil.copyfile(data_dir / "adapter" / case / name, folder / name)
    return folder


def edit_factors(folder: Path, edit: Callable[[Tensors], Tensors]) -> None:
    path = folder / ADAPTER_WEIGHTS_NAME
    factors = edit({name: mx.array(array) for name, array in read(path).items()})
    mx.eval(list(factors.values()))
    mx.save_safetensors(str(path), factors)


def loaded(folder: Path, dtype: str | None = None) -> SpeechModel:
    """The network in a checkpoint folder, as `granite_mlx.load` reads it."""
    model = SpeechModel(parse_config(json.loads((folder / "config.json").read_text())))
    headers, updates = read_adapted_headers(folder)
    check_tensors(model, headers, merged(updates))
    load_weights(model, headers, DTYPES[dtype or stored_dtype(headers)], merged(updates))
    return model


def assert_merged(model: SpeechModel, data_dir: Path, case: str) -> None:
    """Whether a float32 model has peft's merged matrices, and all others as they were."""
    theirs = read(data_dir / "adapter" / case / "merged.safetensors")
    untouched = dict(network().named_parameters())
    parameters = dict(model.named_parameters())
    assert theirs.keys() < parameters.keys() == untouched.keys()
    for name, array in parameters.items():
        if name in theirs:
            # Products may be summed in another order; the update itself is some 0.1 large.
            assert mx.allclose(array, theirs[name], rtol=0, atol=1e-6).item(), name
            assert mx.abs(array - untouched[name]).max().item() > 0.02, name
        else:
            assert mx.array_equal(array, untouched[name]).item(), name


# What is merged


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_as_peft_merges(tmp_path: Path, data_dir: Path, layout: str, case: str) -> None:
    write_checkpoint(tmp_path, config=ADAPTED, layout=layout, n_shards=2)
    assert_merged(loaded(add_adapter(tmp_path, data_dir, case)), data_dir, case)


@pytest.mark.slow
def test_as_peft_merges_live() -> None:
    pytest.importorskip("peft", reason="needs the extra `reference`")
    script = Path(__file__).with_name("adapter_reference.py")
    run = subprocess.run([sys.executable, script], capture_output=True, text=True)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: name.replace(WRITTEN_BY_PEFT, "base_model.model.language_model.model."),
        lambda name: name.removeprefix("base_model.model."),
        lambda name: name.replace(".weight", ".default.weight"),
    ],
    ids=["transformers 4", "without peft's prefix", "with the adapter's name"],
)
def test_other_spellings_of_the_factors(
    tmp_path: Path, data_dir: Path, spell: Callable[[str], str]
) -> None:
    write_checkpoint(tmp_path, config=ADAPTED)
    add_adapter(tmp_path, data_dir)
    edit_factors(tmp_path, lambda factors: {spell(n): array for n, array in factors.items()})
    assert_merged(loaded(tmp_path), data_dir, "plain")


def test_model_saved_with_its_adapter_around_the_matrices(tmp_path: Path, data_dir: Path) -> None:
    """transformers 5 writes the factors to both files, and the matrices as `base_layer`."""
    write_checkpoint(tmp_path, config=ADAPTED)
    add_adapter(tmp_path, data_dir)
    saved = wrapped(published_tensors(), read(tmp_path / ADAPTER_WEIGHTS_NAME))
    assert len(saved) == len(published_tensors()) + 12
    write_weights(tmp_path, saved)
    assert_merged(loaded(tmp_path), data_dir, "plain")


def wrapped(tensors: Mapping[str, mx.array], factors: Mapping[str, mx.array]) -> Tensors:
    """The tensors of a model that has an adapter in it, as its modules call them."""
    copies = {
        name.replace(WRITTEN_BY_PEFT, "language_model.model.").replace(
            ".weight", ".default.weight"
        ): array
        for name, array in factors.items()
    }
    adapted = {name.partition(".lora_")[0] + ".weight" for name in copies}
    return copies | {
        name.replace("proj.weight", "proj.base_layer.weight") if name in adapted else name: array
        for name, array in tensors.items()
    }


def test_factors_in_the_model_without_an_adapter_s_file(tmp_path: Path, data_dir: Path) -> None:
    factors = read(data_dir / "adapter" / "plain" / ADAPTER_WEIGHTS_NAME)
    write_checkpoint(tmp_path, tensors=wrapped(published_tensors(), factors))
    with pytest.raises(CheckpointError, match=r"lora_A\.default\.weight is no part of the model"):
        loaded(tmp_path)


@pytest.mark.parametrize("config", [CONFIG, changed("has_lora_adapter", KeyError)])
def test_an_adapter_that_lies_there_counts(
    tmp_path: Path, data_dir: Path, config: dict[str, Any]
) -> None:
    write_checkpoint(tmp_path, config=config)
    assert_merged(loaded(add_adapter(tmp_path, data_dir)), data_dir, "plain")


@pytest.mark.parametrize("config", [CONFIG, changed("has_lora_adapter", KeyError)])
def test_without_an_adapter_nothing_changes(tmp_path: Path, config: dict[str, Any]) -> None:
    write_checkpoint(tmp_path, config=config)
    headers, updates = read_adapted_headers(tmp_path)
    assert headers.keys() == published_tensors().keys()
    assert updates == {}


def test_load_merges(tmp_path: Path, data_dir: Path) -> None:
    write_checkpoint(tmp_path, config=ADAPTED)
    with granite_mlx.load(add_adapter(tmp_path, data_dir)) as model:
        assert_merged(model.network, data_dir, "plain")


# Precision and memory


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounded_once(dtype: str) -> None:
    """Each value is the nearest to the exact one, or a neighbour of a tie."""
    rng = np.random.default_rng(8)
    weight, a, b = (
        mx.array(rng.normal(size=shape)).astype(DTYPES[dtype])
        for shape in ((96, 64), (5, 64), (96, 5))
    )
    exact = merge_exactly(weight, a, b, scale=0.3)
    ours = merge(weight, a, b, 0.3)
    assert ours.dtype == mx.float32
    rounded = wide(ours.astype(DTYPES[dtype]))
    assert np.abs(wide(ours) - exact).max() < 2e-6
    spacing = 2.0 ** (np.floor(np.log2(np.abs(exact))) - (7 if dtype == "bfloat16" else 10))
    assert (np.abs(rounded - exact) <= spacing / 2 + 2e-6).all()
    twice = (weight + (0.3 * (b @ a)).astype(DTYPES[dtype])).astype(DTYPES[dtype])
    assert (np.abs(wide(twice) - exact) > spacing / 2 + 2e-6).any()


def wide(array: mx.array) -> np.ndarray[Any, Any]:
    return np.array(array.astype(mx.float32)).astype(np.float64)


def merge_exactly(weight: mx.array, a: mx.array, b: mx.array, scale: float) -> np.ndarray[Any, Any]:
    return wide(weight) + scale * (wide(b) @ wide(a))


@pytest.mark.parametrize(("stored", "dtype"), [("BF16", None), ("F32", "bfloat16")])
@pytest.mark.parametrize("factor_dtype", [mx.float32, mx.bfloat16])
def test_loading_rounds_once(
    tmp_path: Path, data_dir: Path, stored: str, dtype: str | None, factor_dtype: mx.Dtype
) -> None:
    write_checkpoint(tmp_path, config=ADAPTED, dtype=stored)
    add_adapter(tmp_path, data_dir)
    edit_factors(
        tmp_path, lambda factors: {n: array.astype(factor_dtype) for n, array in factors.items()}
    )
    factors = read(tmp_path / ADAPTER_WEIGHTS_NAME)
    wanted = merge(
        published_tensors()[f"{Q_PROJ}.weight"].astype(TYPES[stored]),
        *(factors[f"{peft_name(Q_PROJ)}.lora_{side}.weight"] for side in "AB"),
        1.5,
    ).astype(mx.bfloat16)
    ours = dict(loaded(tmp_path, dtype).named_parameters())[f"{Q_PROJ}.weight"]
    assert ours.dtype == mx.bfloat16
    assert mx.array_equal(ours, wanted).item()


def peft_name(module: str) -> str:
    return module.replace("language_model.model.", WRITTEN_BY_PEFT)


def test_one_layer_is_merged_at_a_time(tmp_path: Path) -> None:
    text = {"num_hidden_layers": 24, "hidden_size": 192, "intermediate_size": 256}
    config = changed("text_config", CONFIG["text_config"] | text)
    write_checkpoint(tmp_path, config=config, dtype="BF16")
    factors = {}
    for name, array in SpeechModel(parse_config(config)).named_parameters():
        if ".layers." in name and name.startswith("language_model") and array.ndim == 2:
            module, (n_out, n_in) = name.removesuffix(".weight"), array.shape
            factors[f"{module}.lora_A.weight"] = mx.ones((2, n_in), mx.bfloat16)
            factors[f"{module}.lora_B.weight"] = mx.ones((n_out, 2), mx.bfloat16)
    mx.save_safetensors(str(tmp_path / ADAPTER_WEIGHTS_NAME), factors)
    raw = {"peft_type": "LORA", "r": 2, "lora_alpha": 2}
    (tmp_path / ADAPTER_CONFIG_NAME).write_text(json.dumps(raw))
    del factors
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    model = loaded(tmp_path)
    grown = mx.get_peak_memory() - before
    sizes = {name: array.size for name, array in model.named_parameters()}
    layer = sum(n for name, n in sizes.items() if name.startswith("language_model.model.layers.7."))
    n_bytes = 2 * sum(sizes.values())
    assert layer * 24 > 0.7 * sum(sizes.values())
    # bfloat16 as stored, and the merged matrix and the product in float32.
    assert grown < n_bytes + layer * (2 + 4 + 4) + 500_000 < n_bytes * 1.6


# Conversion


def test_conversion_merges(tmp_path: Path, data_dir: Path) -> None:
    source = add_adapter(write_checkpoint(tmp_path / "a", config=ADAPTED, dtype="BF16"), data_dir)
    seen = []
    convert(source, tmp_path / "b", on_progress=lambda *progress: seen.append(progress))
    converted = tmp_path / "b"
    assert not list(converted.glob("adapter*"))
    assert json.loads((converted / "config.json").read_text())["has_lora_adapter"] is False
    ours, theirs = loaded(source), loaded(converted)
    for (name, array), (other, wanted) in zip(
        theirs.named_parameters(), ours.named_parameters(), strict=True
    ):
        assert (name, array.dtype) == (other, wanted.dtype)
        assert mx.array_equal(array, wanted).item(), name
    written = [progress for progress in seen if progress[0] == "write"]
    assert written[-1][1] == written[-1][2]  # bytes of the source, not of float32
    sources = json.loads((converted / "granite_mlx.json").read_text())["source"]
    assert ADAPTER_WEIGHTS_NAME in json.dumps(sources)


def test_quantised_conversion_is_of_the_merged_matrix(tmp_path: Path) -> None:
    source = small.small_checkpoint(tmp_path / "a")
    module = "language_model.model.layers.1.mlp.up_proj"
    factors = {
        f"{module}.lora_A.weight": mx.random.normal((4, 128), key=mx.random.key(1)),
        f"{module}.lora_B.weight": mx.random.normal((192, 4), key=mx.random.key(2)),
    }
    mx.save_safetensors(str(source / ADAPTER_WEIGHTS_NAME), factors)
    raw = {"peft_type": "LORA", "r": 4, "lora_alpha": 1}
    (source / ADAPTER_CONFIG_NAME).write_text(json.dumps(raw))
    convert(source, tmp_path / "b", recipe="q8")
    weight = dict(loaded(source).named_parameters())[f"{module}.weight"]
    stored = small.stored(tmp_path / "b")
    parts = quantise(weight, QuantFormat(8, 64))
    for part, array in parts.items():
        assert mx.array_equal(stored[f"{module}.{part}"], array).item(), part
