"""The stages that are compared, at the real widths and reduced depth.

Each stage is a function of a network in some precision to one array. The reference's values of the
same stage are made by tests/parity/reference.py and lie in selftest_data/stages.npz, thinned out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from granite_mlx.audio.features import FeatureConfig, log_mel
from granite_mlx.convert import port
from granite_mlx.model.cache import DecoderCache
from granite_mlx.model.config import SpeechConfig, parse_config
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.selftest.random_weights import Array, random_signal, random_tensor, uniform

CONFIG: dict[str, Any] = {
    "model_type": "granite_speech",
    "audio_token_index": 511,
    "window_size": 15,
    "downsample_rate": 5,
    "has_lora_adapter": False,
    "tie_word_embeddings": False,
    "encoder_config": {
        "input_dim": 160,
        "num_layers": 2,
        "hidden_dim": 1024,
        "feedforward_mult": 4,
        "num_heads": 8,
        "dim_head": 128,
        "output_dim": 348,
        "context_size": 200,
        "max_pos_emb": 512,
        "conv_kernel_size": 15,
        "conv_expansion_factor": 2,
    },
    "projector_config": {
        "model_type": "blip_2_qformer",
        "hidden_size": 1024,
        "num_hidden_layers": 2,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "encoder_hidden_size": 1024,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "cross_attention_frequency": 1,
        "use_qformer_text_input": False,
    },
    "text_config": {
        "model_type": "granite",
        "vocab_size": 512,
        "hidden_size": 2048,
        "intermediate_size": 4096,
        "num_hidden_layers": 2,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "embedding_multiplier": 12.0,
        "attention_multiplier": 1 / 128,
        "residual_multiplier": 0.22,
        "logits_scaling": 8.0,
        "eos_token_id": 0,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "rope_theta": 10000.0,
    },
}
"""granite-4.0-1b-speech but for depth and vocabulary, which no stage's arithmetic depends on.

granite-speech-4.1-2b has the same network, with other weights and a head more, which we do not use.
"""

PLUS_CONFIG = copy.deepcopy(CONFIG)
PLUS_CONFIG["model_type"] = "granite_speech_plus"
PLUS_CONFIG["encoder_config"] |= {"num_layers": 4, "cat_hidden_layers": [1]}
PLUS_CONFIG["projector_config"] |= {"encoder_hidden_size": 2 * 1024}
"""granite-speech-4.1-2b-plus, whose projector also reads a block before the encoder's middle."""

YARN_CONFIG = copy.deepcopy(CONFIG)
YARN_CONFIG["text_config"] |= {
    "max_position_embeddings": 512,
    "rope_parameters": {
        "rope_type": "yarn",
        "factor": 8.0,
        "original_max_position_embeddings": 64,
        "rope_theta": 10000.0,
    },
}
"""granite-speech-5.0-2b, but for a trained context of 64 positions, by which the few that are
compared show every part of YaRN's ramp."""

N_SAMPLES = 20_333
PREFILL = [(7 * i * i + 3 * i) % 510 for i in range(40)]
STEPS = (17, 256, 3)
PROMPT = [5, 6, 511, 7, 8, 9]  # 511 is the audio's place


def features_of(n_frames: int) -> Array:
    """Encoder input (1, n_frames, 160) of the scale that log-mel features have."""
    return uniform(f"features {n_frames}", (1, n_frames, 160))


def frames_of(n_frames: int, width: int = 1024) -> Array:
    """Projector input (1, n_frames, width)."""
    return uniform(f"frames {n_frames}", (1, n_frames, width)) * np.float32(1.7)


def build(dtype: mx.Dtype, raw_config: dict[str, Any] = CONFIG) -> tuple[SpeechConfig, SpeechModel]:
    """The network with its random weights, ported from their published names and layouts."""
    config = parse_config(raw_config)
    model = SpeechModel(config)
    ported = []
    for ours, array in model.named_parameters():
        shape = tuple(array.shape)
        tensors = {
            name: mx.array(random_tensor(name, shapes[0]))
            for name, shapes in port.sources(ours, shape).items()
        }
        ported.append((ours, port.assemble(ours, shape, tensors).astype(dtype)))
        mx.eval(ported[-1][1])
    model.load_weights(ported)
    return config, model


def _cast(values: Array, model: SpeechModel) -> mx.array:
    return mx.array(values).astype(model.dtype)


def _features(config: SpeechConfig, model: SpeechModel) -> mx.array:
    return log_mel(mx.array(random_signal(N_SAMPLES)), FeatureConfig())


def _encoder(n_frames: int) -> Stage:
    def run(config: SpeechConfig, model: SpeechModel) -> mx.array:
        return model.encoder(_cast(features_of(n_frames), model)).frames

    return run


def _mid_logits(config: SpeechConfig, model: SpeechModel) -> mx.array:
    return model.encoder(_cast(features_of(201), model)).mid_logits


def _projector(n_frames: int) -> Stage:
    def run(config: SpeechConfig, model: SpeechModel) -> mx.array:
        frames = frames_of(n_frames, config.encoder.frame_dim)
        return model.projector(_cast(frames, model))

    return run


def _decoder(config: SpeechConfig, model: SpeechModel) -> mx.array:
    """Logits of a prefill and of cached steps behind it: (1, 40 + 3, vocab)."""
    decoder = model.language_model
    cache = DecoderCache(config.text, model.dtype, 1, len(PREFILL) + len(STEPS))
    parts = [decoder.logits(decoder(decoder.embed(mx.array([PREFILL])), cache))]
    for token in STEPS:
        parts.append(decoder.logits(decoder(decoder.embed(mx.array([[token]])), cache)))
    return mx.concatenate(parts, axis=1)


def prompt_logits(config: SpeechConfig, model: SpeechModel) -> mx.array:
    """Samples to the logits of every position of the prompt: (1, n_positions, vocab)."""
    features = _features(config, model)[None].astype(model.dtype)
    audio = model.projector(model.encoder(features).frames)[0]
    decoder, at = model.language_model, PROMPT.index(config.audio_token_index)
    before, behind = (decoder.embed(mx.array(ids)) for ids in (PROMPT[:at], PROMPT[at + 1 :]))
    embedded = mx.concatenate([before, audio, behind])[None]
    cache = DecoderCache(config.text, model.dtype, 1, embedded.shape[1])
    return decoder.logits(decoder(embedded, cache))


def _whole(config: SpeechConfig, model: SpeechModel) -> mx.array:
    """Samples to the logits behind the prompt: (1, vocab)."""
    return prompt_logits(config, model)[:, -1]


Stage = Callable[[SpeechConfig, SpeechModel], mx.array]

STAGES: dict[str, Stage] = {
    "features": _features,
    "encoder, 120 frames": _encoder(120),
    "encoder, 200 frames": _encoder(200),
    "encoder, 201 frames": _encoder(201),
    "encoder, 617 frames": _encoder(617),
    "encoder, middle head": _mid_logits,
    "projector, 60 frames": _projector(60),
    "projector, 61 frames": _projector(61),
    "projector, 74 frames": _projector(74),
    "decoder": _decoder,
    "whole model": _whole,
}

PLUS_STAGES: dict[str, Stage] = {
    "plus encoder, 201 frames": _encoder(201),
    "plus projector, 61 frames": _projector(61),
    "plus, whole model": _whole,
}

YARN_STAGES: dict[str, Stage] = {
    "YaRN decoder": _decoder,
    "YaRN, whole model": _whole,
}

NETWORKS = ((CONFIG, STAGES), (PLUS_CONFIG, PLUS_STAGES), (YARN_CONFIG, YARN_STAGES))
"""The members of the family, and what each computes otherwise than those before it."""

HALF_PRECISION = (
    "features",
    "encoder, 201 frames",
    "projector, 61 frames",
    "decoder",
    "whole model",
    "plus, whole model",
    "YaRN decoder",
)
"""Stages that are also compared in float16 and bfloat16."""

LOGITS = (
    "encoder, middle head",
    "decoder",
    "whole model",
    "plus, whole model",
    "YaRN decoder",
    "YaRN, whole model",
)


@dataclass(frozen=True)
class Difference:
    """Largest absolute difference, and the norm of all differences over the reference's norm."""

    largest: float
    relative: float


def thin(values: Array, n_values: int = 4096) -> Array:
    """At most `n_values` of an array's values, evenly spread, always the last one among them."""
    flat = values.reshape(-1)
    step = -(-flat.size // n_values)
    return np.ascontiguousarray(flat[::-1][::step])


def compare(ours: mx.array, reference: Array) -> Difference:
    """Compare a stage's whole output with the reference's thinned values."""
    return _difference(thin(_as_numpy(ours)), reference)


def compare_whole(ours: mx.array, reference: Array) -> Difference:
    """Compare every value of a stage's output with the reference's."""
    return _difference(_as_numpy(ours), reference)


def _as_numpy(values: mx.array) -> Array:
    return np.array(values.astype(mx.float32))


def _difference(values: Array, reference: Array) -> Difference:
    if values.shape != reference.shape:
        raise ValueError(f"{values.shape} values against {reference.shape} of the reference.")
    gap = values.astype(np.float64) - reference
    norm = float(np.linalg.norm(reference.astype(np.float64)))
    return Difference(float(np.abs(gap).max()), float(np.linalg.norm(gap)) / norm)
