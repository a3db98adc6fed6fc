"""The demo checkpoint on a packaged recording, stage by stage and to the last token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np

from granite_mlx.audio.files import load_audio
from granite_mlx.engine import MLXThread
from granite_mlx.loading import open_model
from granite_mlx.model.cache import DecoderCache
from granite_mlx.model.checkpoint import DEMO_FOLDER, find_checkpoint
from granite_mlx.model.weights import DTYPES
from granite_mlx.selftest import stages
from granite_mlx.speech import GraniteSpeech

if TYPE_CHECKING:
    from granite_mlx.doctor import Check

RECORDING = DEMO_FOLDER / "examples" / "digits.flac"
STORED = Path(__file__).parents[1] / "selftest_data" / "demo.npz"
PREFIX = "demo: "


def recording_checks(thread: MLXThread) -> Iterator[Check]:
    """Compare every stage and the text with the reference's, in each precision; on `thread`."""
    from granite_mlx.doctor import Check, stage_check

    stored = np.load(STORED)
    expected = str(stored["text"])
    for dtype in DTYPES:
        model = open_model(find_checkpoint("demo"), dtype, thread)
        for name, values in stage_outputs(model).items():
            difference = stages.compare(values, stored[name])
            yield stage_check(PREFIX + name, dtype, difference.largest, difference.relative)
        text = model.transcribe(RECORDING).text
        wrong = float(text != expected)
        yield Check(f"{PREFIX}text", dtype, wrong, 0.0, text == expected, repr(text))


def stage_outputs(model: GraniteSpeech) -> dict[str, mx.array]:
    """What each stage makes of the recording, and the first logits behind the prompt."""
    network = model.network
    features = model.log_mel(load_audio(RECORDING))
    frames = network.encoder(features).frames
    audio = network.projector(frames)
    embedded = model.embed_prompt(audio[0], "can you transcribe the speech into a written format?")
    decoder = network.language_model
    cache = DecoderCache(model.config.text, network.dtype, 1, len(embedded))
    logits = decoder.logits(decoder(embedded[None], cache)[:, -1])
    return {"features": features, "frames": frames, "audio tokens": audio, "logits": logits}
