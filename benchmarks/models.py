"""The models that are measured, by the names that the command lines give them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import granite_mlx
from benchmarks.full_size import full_size_checkpoint
from granite_mlx import writing
from granite_mlx.bench.stages import endless
from granite_mlx.decoding.retries import LoopGuard
from granite_mlx.model.checkpoint import find_checkpoint
from granite_mlx.speech import GraniteSpeech

FULL_SIZE = "full-size"
DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Model:
    """What is loaded, in which type. With `forced`, texts are as long as the harness says."""

    name: str
    folder: Path
    dtype: str
    forced: bool


def usual_dtype() -> str:
    """float32 on a CPU, where bfloat16 is slow; bfloat16 on a GPU."""
    import mlx.core as mx

    return "bfloat16" if mx.default_device() == mx.Device(mx.gpu) else "float32"


def model_of(name: str, dtype: str) -> Model:
    """What a name on the command line stands for; the full-size checkpoint is made if need be."""
    if name == FULL_SIZE:
        return Model(name, full_size_checkpoint(), dtype, forced=True)
    return Model(name, find_checkpoint(name).folder, dtype, forced=False)


@contextmanager
def without_end(speech: GraniteSpeech) -> Iterator[None]:
    """Within this a model writes as many tokens as it may, so that all texts are of one length.

    Nobody says what it writes then: the witness would leave it out, and loops are usual.
    """
    config, judge, watched = speech.config, writing.before_witness, LoopGuard.watched
    speech.config = replace(config, text=endless(config.text))
    writing.before_witness = lambda *_: None
    LoopGuard.watched = lambda self, question, plainly=None: question  # type: ignore
    try:
        yield
    finally:
        speech.config, writing.before_witness = config, judge
        LoopGuard.watched = watched  # type: ignore[method-assign]


@contextmanager
def loaded_endless(model: Model) -> Iterator[GraniteSpeech]:
    """A loaded model that does so."""
    with granite_mlx.load(model.folder, dtype=model.dtype) as speech, without_end(speech):
        yield speech


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """--model and --dtype of a benchmark of one model."""
    parser.add_argument(
        "--model",
        default=FULL_SIZE,
        help=f"{FULL_SIZE} (random weights, the default), demo, or a folder",
    )
    parser.add_argument("--dtype", choices=DTYPES)


def asked_model(args: argparse.Namespace) -> Model:
    """What those arguments say."""
    return model_of(args.model, args.dtype or usual_dtype())
