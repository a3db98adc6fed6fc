"""The full-size random checkpoint on which conversions and speed are measured.

granite-4.0-1b-speech in all but what it knows: the real configuration, names, layouts and types
(954 tensors, BF16, counters in int64, a head of its own, three shards, 4.6 GB) with random weights
at which activations keep unit scale. The tokenizer is the demo's with tokens added up to the real
vocabulary, so the whole path runs, though to no sensible text.

    python -m benchmarks.full_size [--layers N] [--shards N]

prints the folder, which is made if it is not there: once for all benchmarks, under
$GRANITE_MLX_BENCH or ~/.cache/granite-mlx-benchmarks. Weights are made a few MB at a time from
their names alone, so they are the same on every machine. A folder is there whole or not at all.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import mlx.core as mx
import numpy as np

from granite_mlx.convert import port
from granite_mlx.errors import CheckpointError
from granite_mlx.model.checkpoint import DEMO_FOLDER
from granite_mlx.model.config import parse_config
from granite_mlx.model.shards import INDEX_NAME, ITEM_BYTES
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.selftest import stages
from granite_mlx.selftest.random_weights import random_tensor

CACHE_VARIABLE = "GRANITE_MLX_BENCH"
CACHE_FOLDER = Path("~/.cache/granite-mlx-benchmarks")
NAME = "granite-4.0-1b-speech-random"
ENCODER_LAYERS, DECODER_LAYERS = 16, 40
VOCABULARY = 100_353
N_SHARDS = 3

SPECIAL_TOKENS = {"<|pad|>": 97, "<|end_of_text|>": 96, "<|audio|>": 1}
"""How far before the end of the vocabulary each one's id lies."""

BLOCK_VALUES = 1 << 21
"""Values made at a time: 8 MB, and a few copies of it while they are."""

FREE_BYTES = 1 << 30
"""Left on the disk when all is written."""


def full_size_checkpoint(n_layers: int = DECODER_LAYERS, n_shards: int = N_SHARDS) -> Path:
    """The folder of the checkpoint, written first if it is not in the cache.

    Encoder and decoder have at most `n_layers` layers, two or more.

    Raises:
        OSError: there is no room for it, or it cannot be written.
        CheckpointError: fewer than two layers.
    """
    depth = "" if n_layers >= DECODER_LAYERS else f"-{n_layers}-layers"
    folder = cache_folder() / f"{NAME}{depth}-{n_shards}-shards"
    if not folder.is_dir():
        write_whole(folder, lambda part: write_checkpoint(part, real_config(n_layers), n_shards))
    return folder


def cache_folder() -> Path:
    """Where all benchmarks keep what they make once."""
    return Path(os.environ.get(CACHE_VARIABLE) or CACHE_FOLDER).expanduser()


def write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder beside `folder`, and give it its name when it is whole."""
    part = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    part.mkdir(parents=True)
    try:
        write(part)
        part.rename(folder)
    except OSError:
        if not folder.is_dir():  # where it is, another process has been faster
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def real_config(n_layers: int = DECODER_LAYERS, vocab_size: int = VOCABULARY) -> dict[str, Any]:
    """The published config.json, as far as it matters to anybody who reads it."""
    config = copy.deepcopy(stages.CONFIG)
    config["architectures"] = ["GraniteSpeechForConditionalGeneration"]
    config["dtype"] = "bfloat16"
    config["audio_token_index"] = vocab_size - SPECIAL_TOKENS["<|audio|>"]
    config["encoder_config"] |= {
        "model_type": "granite_speech_encoder",
        "num_layers": min(ENCODER_LAYERS, n_layers),
    }
    config["text_config"] |= {
        "vocab_size": vocab_size,
        "num_hidden_layers": min(DECODER_LAYERS, n_layers),
        "bos_token_id": vocab_size - SPECIAL_TOKENS["<|end_of_text|>"],
        "eos_token_id": vocab_size - SPECIAL_TOKENS["<|end_of_text|>"],
        "pad_token_id": vocab_size - SPECIAL_TOKENS["<|pad|>"],
        "tie_word_embeddings": False,
    }
    return config


def write_checkpoint(folder: Path, config: Mapping[str, Any], n_shards: int) -> None:
    """Write a whole checkpoint of random weights into an existing folder."""
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer.json", padded_tokenizer(config["text_config"]["vocab_size"]))
    write_json(folder / "preprocessor_config.json", _preprocessor(config))
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        shutil.copyfile(DEMO_FOLDER / name, folder / name)
    tensors = published_tensors(config)
    n_bytes = sum(_n_bytes(*tensor) for tensor in tensors.values())
    if shutil.disk_usage(folder).free < n_bytes + FREE_BYTES:
        raise OSError(
            f"{folder.parent} has no room for {n_bytes / 1e9:.1f} GB; free some, or set "
            f"{CACHE_VARIABLE} to a folder on another disk."
        )
    weight_map: dict[str, str] = {}
    for file_name, names in shards(tensors, n_shards).items():
        _write_shard(folder / file_name, {name: tensors[name] for name in names})
        weight_map |= dict.fromkeys(names, file_name)
    if n_shards > 1:
        index = {"metadata": {"total_size": n_bytes}, "weight_map": weight_map}
        write_json(folder / INDEX_NAME, index)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON as people read it."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def padded_tokenizer(vocab_size: int) -> dict[str, Any]:
    """The demo's tokenizer.json with its special tokens where the real ones are.

    The places that are left over hold tokens that no text is made of.

    Raises:
        ValueError: the vocabulary is smaller than the demo's.
    """
    tokenizer: dict[str, Any] = json.loads(
        (DEMO_FOLDER / "tokenizer.json").read_text(encoding="utf-8")
    )
    special = {name: vocab_size - before for name, before in SPECIAL_TOKENS.items()}
    by_id = {at: text for text, at in tokenizer["model"]["vocab"].items() if text not in special}
    if max(by_id) >= min(special.values()):
        raise ValueError(f"a vocabulary of {vocab_size} is too small for the demo's tokens.")
    by_id |= {at: text for text, at in special.items()}
    places = range(vocab_size)
    tokenizer["model"]["vocab"] = {by_id.get(at, f"<|unused_{at}|>"): at for at in places}
    tokenizer["added_tokens"] = [
        token | {"id": special[token["content"]]} for token in tokenizer["added_tokens"]
    ]
    return tokenizer


def _preprocessor(config: Mapping[str, Any]) -> dict[str, Any]:
    path = DEMO_FOLDER / "preprocessor_config.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content | {
        "projector_window_size": config["window_size"],
        "projector_downsample_rate": config["downsample_rate"],
    }


Tensor = tuple[str, tuple[int, ...]]
"""Type as safetensors names it, and shape."""


def published_tensors(config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Every tensor that IBM's file of this configuration holds."""
    tensors: dict[str, Tensor] = {}
    for ours, array in SpeechModel(parse_config(config)).named_parameters():
        for name, layouts in port.sources(ours, tuple(array.shape)).items():
            tensors[name] = "BF16", layouts[0]
            if name.endswith("running_mean"):
                tensors[name.replace("running_mean", "num_batches_tracked")] = "I64", ()
    return tensors


def shards(tensors: Mapping[str, Tensor], n_shards: int) -> dict[str, list[str]]:
    """Names of tensors by file, in order and of about equal sizes."""
    if n_shards == 1:
        return {"model.safetensors": list(tensors)}
    total = sum(_n_bytes(*tensor) for tensor in tensors.values())
    files: dict[str, list[str]] = {}
    position = 0
    for name, tensor in tensors.items():
        number = position * n_shards // total + 1
        files.setdefault(f"model-{number:05}-of-{n_shards:05}.safetensors", []).append(name)
        position += _n_bytes(*tensor)
    return files


def _n_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * ITEM_BYTES[dtype]


def _write_shard(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file without ever holding a whole tensor."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, (dtype, shape) in tensors.items():
        end = position + _n_bytes(dtype, shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}
        position = end
    content = json.dumps(header).encode()
    content += b" " * (-len(content) % 8)
    with path.open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        for name, (dtype, shape) in tensors.items():
            _write_tensor(file, name, dtype, shape)


def _write_tensor(file: BinaryIO, name: str, dtype: str, shape: tuple[int, ...]) -> None:
    if dtype == "I64":
        file.write(np.array(1000, "<i8").tobytes())
        return
    for values in random_blocks(name, shape):
        file.write(np.array(mx.array(values).astype(mx.bfloat16).view(mx.uint16)).tobytes())


def random_blocks(name: str, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The float32 values of one tensor, some rows of it at a time."""
    n_rows = max(1, BLOCK_VALUES // math.prod(shape[1:]))
    for first in range(0, shape[0], n_rows):
        # The name decides the scale by its end and the bits as a whole.
        rows = min(n_rows, shape[0] - first)
        yield random_tensor(f"{first}.{name}", (rows, *shape[1:]))


def add_size_arguments(parser: argparse.ArgumentParser) -> None:
    """--layers and --shards, as every benchmark has them."""
    parser.add_argument(
        "--layers",
        type=int,
        default=DECODER_LAYERS,
        metavar="N",
        help="cut encoder and decoder to N layers, for a quick trial",
    )
    parser.add_argument(
        "--shards", type=int, default=N_SHARDS, metavar="N", help="number of files (%(default)s)"
    )


def main() -> None:
    """Make the checkpoint if it is not there, and print where it is."""
    parser = argparse.ArgumentParser(description="Make the full-size random checkpoint.")
    add_size_arguments(parser)
    args = parser.parse_args()
    try:
        print(full_size_checkpoint(args.layers, args.shards))
    except (OSError, CheckpointError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
