"""The reference's values of every self-test stage, computed by torch and transformers.

    python tests/parity/reference.py            # compare with what is stored, and with ours, live
    python tests/parity/reference.py --write    # write stages.npz and tests/data/yarn.json anew

Needs the extra `reference`; nothing that the package does at run time comes here.
"""

import argparse
import contextlib
import copy
import ctypes
import json
import sys
from pathlib import Path
from typing import Any

if sys.platform == "linux":  # mlx for Linux brings a slow BLAS; one loaded before serves it instead
    with contextlib.suppress(OSError):
        ctypes.CDLL("libopenblas.so.0", mode=ctypes.RTLD_GLOBAL)

import numpy as np
import torch
from transformers import (
    GraniteConfig,
    GraniteSpeechConfig,
    GraniteSpeechForConditionalGeneration,
    GraniteSpeechPlusConfig,
    GraniteSpeechPlusForConditionalGeneration,
)
from transformers.models.granite.modeling_granite import GraniteRotaryEmbedding

from granite_mlx.selftest import stages
from granite_mlx.selftest.random_weights import random_signal, random_tensor

STORED = Path(__file__).parents[2] / "granite_mlx" / "selftest_data" / "stages.npz"
STORED_YARN = Path(__file__).parents[1] / "data" / "yarn.json"

WHOLE_MODELS = ("whole model", "plus, whole model", "YaRN, whole model")

CLASSES = {
    "granite_speech": (GraniteSpeechConfig, GraniteSpeechForConditionalGeneration),
    "granite_speech_plus": (GraniteSpeechPlusConfig, GraniteSpeechPlusForConditionalGeneration),
}

WIDE = {"hidden_size": 2048, "num_attention_heads": 16, "max_position_embeddings": 32768}
NARROW = {"hidden_size": 96, "num_attention_heads": 6, "max_position_embeddings": 4096}
YARN: list[dict[str, Any]] = [
    WIDE | {"rope_parameters": {"original_max_position_embeddings": 4096, "factor": 8.0}},
    NARROW | {"rope_theta": 5000.0, "rope_scaling": {"type": "yarn", "factor": 4}},
    NARROW | {"rope_parameters": {"original_max_position_embeddings": 512, "factor": 4.0,
                                  "attention_factor": 1.3, "beta_fast": 16, "beta_slow": 2}},
    NARROW | {"rope_parameters": {"original_max_position_embeddings": 512, "factor": 16.0,
                                  "mscale": 1.0, "mscale_all_dim": 0.7, "truncate": False}},
    NARROW | {"rope_parameters": {"original_max_position_embeddings": 1024, "factor": None,
                                  "mscale": 0.5}},
    NARROW | {"rope_parameters": {"original_max_position_embeddings": 64, "factor": 0.5,
                                  "beta_fast": 0, "beta_slow": 0}},
    NARROW | {"rope_parameters": {"original_max_position_embeddings": 6, "factor": 8.0}},
    NARROW | {"rope_parameters": {"original_max_position_embeddings": 64, "factor": 8.0},
              "original_max_position_embeddings": 256},
    NARROW | {"rope_parameters": {"rope_type": "default", "rope_theta": 700.0},
              "rope_scaling": {"original_max_position_embeddings": 64, "factor": 2.0},
              "rope_theta": 500.0},
    NARROW | {"rope_parameters": {"original_max_position_embeddings": 64, "factor": 2.0,
                                  "rope_theta": 700.0},
              "rope_scaling": {}, "rope_theta": 500.0},
]  # fmt: skip
"""text_config's keys, in either place and left to their defaults; no type stands for yarn."""


def build(raw_config: dict[str, Any] = stages.CONFIG) -> GraniteSpeechForConditionalGeneration:
    """transformers' model of a self-test's configuration, with its random weights."""
    config_class, model_class = CLASSES[raw_config["model_type"]]
    config = config_class(**copy.deepcopy(raw_config))
    config.encoder_config.dropout = 0.0
    model = model_class(config).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                values = random_tensor(published(name), tuple(tensor.shape))
                tensor.copy_(torch.from_numpy(values))
    return model


def published(name: str) -> str:
    """The name that save_pretrained writes for a module's own name."""
    if name.startswith("lm_head."):
        return f"language_model.{name}"
    name = name.removeprefix("model.")
    return name.replace("language_model.", "language_model.model.", 1)


def log_mel(samples: np.ndarray) -> torch.Tensor:
    """GraniteSpeechFeatureExtractor with torch.stft in place of torchaudio: (1, T, 160)."""
    points = torch.linspace(0, 2595 * np.log10(1 + 8000 / 700), 82, dtype=torch.float64)
    corners = 700 * (10 ** (points / 2595) - 1)
    bins = torch.linspace(0, 8000, 257, dtype=torch.float64)
    slopes = corners[None] - bins[:, None]
    gaps = corners.diff()
    bank = torch.minimum(-slopes[:, :-2] / gaps[:-1], slopes[:, 2:] / gaps[1:]).clamp(min=0).float()
    spectrum = torch.stft(
        torch.from_numpy(samples)[None], 512, 160, 400, torch.hann_window(400),
        center=True, pad_mode="reflect", return_complex=True,
    )  # fmt: skip
    logmel = (spectrum.abs().square().transpose(1, 2) @ bank).clip(min=1e-10).log10()
    logmel = torch.maximum(logmel, logmel.amax((1, 2), keepdim=True) - 8) / 4 + 1
    return logmel[:, : logmel.shape[1] // 2 * 2].reshape(1, -1, 160)


@torch.no_grad()
def reference_values() -> dict[str, np.ndarray]:
    """The full output of every stage, by the stage's name; logits at every position."""
    model = build()
    core = model.model
    encoder_input = log_mel(random_signal(stages.N_SAMPLES))
    values = {"features": encoder_input[0]}
    for n_frames in (120, 200, 201, 617):
        features = torch.from_numpy(stages.features_of(n_frames))
        values[f"encoder, {n_frames} frames"] = core.encoder(features).last_hidden_state
    captured = []
    hook = core.encoder.out.register_forward_hook(lambda m, x, y: captured.append(y.clone()))
    core.encoder(torch.from_numpy(stages.features_of(201)))
    hook.remove()
    values["encoder, middle head"] = captured[0]
    for n_frames in (60, 61, 74):
        frames = torch.from_numpy(stages.frames_of(n_frames))
        values[f"projector, {n_frames} frames"] = core.projector(frames)
    values["decoder"] = _decoder(model)
    values["whole model"] = _whole(model, encoder_input)
    del model, core
    values |= _plus_values(encoder_input)
    values |= _yarn_values(encoder_input)
    return {name: value.float().numpy() for name, value in values.items()}


def _plus_values(features: torch.Tensor) -> dict[str, torch.Tensor]:
    model = build(stages.PLUS_CONFIG)
    encoder, projector = model.model.encoder, model.model.projector
    width = model.config.projector_config.encoder_hidden_size
    encoded = encoder(torch.from_numpy(stages.features_of(201))).last_hidden_state
    return {
        "plus encoder, 201 frames": encoded,
        "plus projector, 61 frames": projector(torch.from_numpy(stages.frames_of(61, width))),
        "plus, whole model": _whole(model, features),
    }


def _yarn_values(features: torch.Tensor) -> dict[str, torch.Tensor]:
    model = build(stages.YARN_CONFIG)
    return {"YaRN decoder": _decoder(model), "YaRN, whole model": _whole(model, features)}


def _decoder(model: GraniteSpeechForConditionalGeneration) -> torch.Tensor:
    ids = torch.tensor([[*stages.PREFILL, *stages.STEPS]])
    return scaled(model, model(input_ids=ids).logits)


def _whole(model: GraniteSpeechForConditionalGeneration, features: torch.Tensor) -> torch.Tensor:
    config = model.config
    n_audio = -(-features.shape[1] // config.window_size) * (
        config.window_size // config.downsample_rate
    )
    at = stages.PROMPT.index(config.audio_token_index)
    ids = stages.PROMPT[:at] + [config.audio_token_index] * n_audio + stages.PROMPT[at + 1 :]
    logits = model(input_ids=torch.tensor([ids]), input_features=features).logits
    return scaled(model, logits)


def scaled(model: GraniteSpeechForConditionalGeneration, logits: torch.Tensor) -> torch.Tensor:
    """Logits as GraniteForCausalLM gives them.

    Since its language model lost its own head (transformers 5.19), Granite Speech no longer divides
    by `logits_scaling`. Greedy tokens do not notice; probabilities and temperatures do.
    """
    return logits / model.config.text_config.logits_scaling


def yarn_values() -> list[dict[str, Any]]:
    """Frequencies and attention factor of each of the settings in `YARN`."""
    entries = []
    for text_config in copy.deepcopy(YARN):
        for key in ("rope_scaling", "rope_parameters"):
            if text_config.get(key) and "type" not in text_config[key]:
                text_config[key].setdefault("rope_type", "yarn")
        rotary = GraniteRotaryEmbedding(GraniteConfig(**copy.deepcopy(text_config)))
        entries.append(
            {
                "text_config": text_config,
                "frequencies": rotary.inv_freq.tolist(),
                "attention_factor": rotary.attention_scaling,
            }
        )
    return entries


def _same_yarn(stored: dict[str, Any], live: dict[str, Any]) -> bool:
    return stored["text_config"] == live["text_config"] and all(
        np.allclose(stored[key], live[key], rtol=1e-6, atol=0)
        for key in ("frequencies", "attention_factor")
    )


def _as_stored(name: str, values: np.ndarray) -> np.ndarray:
    """What the self-test compares: some of the values, and the last logits of a whole model."""
    return stages.thin(values[:, -1] if name in WHOLE_MODELS else values)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the stored values anew")
    args = parser.parse_args()
    values = reference_values()
    thinned = {name: _as_stored(name, value) for name, value in values.items()}
    if args.write:
        STORED.parent.mkdir(exist_ok=True)
        np.savez_compressed(STORED, **thinned)
        print(f"{STORED}: {STORED.stat().st_size / 1e3:.0f} kB")
        STORED_YARN.write_text(json.dumps(yarn_values(), indent=1) + "\n")
    stored = np.load(STORED)
    same_yarn = all(map(_same_yarn, json.loads(STORED_YARN.read_text()), yarn_values()))
    print(f"YaRN's frequencies are {'' if same_yarn else 'not '}those that are stored")
    worst = 0.0
    print(f"{'stage':26}{'largest':>12}{'relative':>12}{'stored':>12}")
    for raw_config, network_stages in stages.NETWORKS:
        config, ours = stages.build(stages.mx.float32, raw_config)
        for name, stage in network_stages.items():
            whole = stages.prompt_logits if name in WHOLE_MODELS else stage
            difference = stages.compare_whole(whole(config, ours), values[name])
            drift = float(np.abs(stored[name] - thinned[name]).max())
            limit = 1e-3 if name in stages.LOGITS else 1e-4
            worst = max(worst, difference.largest / limit, drift / limit)
            print(f"{name:26}{difference.largest:12.1e}{difference.relative:12.1e}{drift:12.1e}")
    return 0 if worst <= 1 and same_yarn else 1


if __name__ == "__main__":
    sys.exit(main())
