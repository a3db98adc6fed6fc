"""A checkpoint of random weights, most of whose matrices can be quantised, some 700 kB.

Like tests/model/tiny.py, with widths that groups of 32 and 64 divide. The exceptions are
`input_linear` (160), `out_mid` (348) and the projector's `output_query` (96).
"""

import copy
from pathlib import Path
from typing import Any

import mlx.core as mx

from ..model.tiny import CONFIG as TINY
from ..model.tiny import write_checkpoint

CONFIG: dict[str, Any] = copy.deepcopy(TINY) | {"dtype": "float32"}
CONFIG["encoder_config"] |= {
    "num_layers": 2,
    "hidden_dim": 64,
    "num_heads": 2,
    "dim_head": 32,
}
CONFIG["projector_config"] |= {
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "encoder_hidden_size": 64,
}
CONFIG["text_config"] |= {
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "dtype": "float32",
}

TIED: dict[str, Any] = CONFIG | {"tie_word_embeddings": True}

HEAD = "language_model.lm_head.weight"
TABLE = "language_model.model.embed_tokens.weight"


def small_checkpoint(folder: Path, **options: Any) -> Path:
    """Write the checkpoint, with the options of `write_checkpoint`; returns the folder."""
    return write_checkpoint(folder, **{"config": CONFIG} | options)


def stored(folder: Path) -> dict[str, mx.array]:
    """Every tensor in the files of a checkpoint, read without our converter."""
    tensors: dict[str, mx.array] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        loaded = mx.load(str(path))
        assert isinstance(loaded, dict)
        tensors |= loaded
    return tensors


def files(folder: Path) -> dict[str, bytes]:
    """Name and content of every file under a folder, to see that nothing has changed."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def leftovers(result: Path) -> list[str]:
    """What lies where a conversion was to go."""
    return [path.name for path in result.parent.iterdir()]
