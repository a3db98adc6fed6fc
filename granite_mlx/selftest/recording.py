"""The demo checkpoint on a packaged recording, stage by stage and to the last token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np

from granite_mlx.audio.features import encoder_input
from granite_mlx.audio.files import load_audio
from granite_mlx.engine import MLXThread
from granite_mlx.loading import open_model
from granite_mlx.model.cache import DecoderCache
from granite_mlx.model.checkpoint import DEMO_FOLDER, find_checkpoint
from granite_mlx.model.weights import DTYPES
from granite_mlx.speech import GraniteSpeech

if TYPE_CHECKING:
    from granite_mlx.doctor import Check

RECORDING = DEMO_FOLDER / "examples" / "digits.flac"
STORED = Path(__file__).parents[1] / "selftest_data" / "demo.npz"
PREFIX = "demo: "


def recording_checks(thread: MLXThread) -> Iterator[Check]:
    """Compare every stage and the text with the reference's, in each precision; on `thread`."""
    from granite_mlx.doctor import output_check

    stored = np.load(STORED)
    expected = str(stored["text"])
    for dtype in DTYPES:
        model = cache(partial(_open_demo, dtype, thread))
        for name, stage in STAGES.items():
            yield output_check(PREFIX + name, dtype, partial(_output, stage, model), stored[name])
        yield _text_check(dtype, model, expected)


def _open_demo(dtype: str, thread: MLXThread) -> GraniteSpeech:
    return open_model(find_checkpoint("demo"), dtype, thread)


def _output(stage: Stage, model: Callable[[], GraniteSpeech]) -> mx.array:
    return stage(model())


def _text_check(dtype: str, model: Callable[[], GraniteSpeech], expected: str) -> Check:
    from granite_mlx.doctor import Check, failed_check

    name = f"{PREFIX}text"
    try:
        text = model().transcribe(RECORDING).text
    except Exception as error:
        return failed_check(name, dtype, error)
    return Check(name, dtype, float(text != expected), 0.0, text == expected, repr(text))


def _features(model: GraniteSpeech) -> mx.array:
    return encoder_input(load_audio(RECORDING), model.features, model.network.dtype)


def _frames(model: GraniteSpeech) -> mx.array:
    return model.network.encoder(_features(model)).frames


def _audio_tokens(model: GraniteSpeech) -> mx.array:
    return model.network.projector(_frames(model))


def _logits(model: GraniteSpeech) -> mx.array:
    """The first ones behind the prompt."""
    question = "can you transcribe the speech into a written format?"
    audio = _audio_tokens(model)[0]
    embedded = model.network.embed_prompt(*model.prompt_ids(question), audio)
    decoder = model.network.language_model
    states = DecoderCache(model.config.text, model.network.dtype, 1, len(embedded))
    return decoder.logits(decoder(embedded[None], states)[:, -1])


Stage = Callable[[GraniteSpeech], mx.array]

STAGES: dict[str, Stage] = {
    "features": _features,
    "frames": _frames,
    "audio tokens": _audio_tokens,
    "logits": _logits,
}
"""What each stage makes of the recording; each computes those before it anew."""
