"""A Granite Speech checkpoint of random weights, some 100 kB, in the published layout.

No size is round, and no two that could be mixed up are equal, so that a wrong axis shows.
"""

import copy
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from granite_mlx.convert import port
from granite_mlx.model.config import parse_config
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.selftest.random_weights import random_tensor

END, PAD, AUDIO = "<|end_of_text|>", "<|pad|>", "<|audio|>"  # ids 0, 1, 2

CONFIG: dict[str, Any] = {
    "model_type": "granite_speech",
    "audio_token_index": 2,
    "window_size": 7,
    "downsample_rate": 3,
    "has_lora_adapter": False,
    "tie_word_embeddings": False,
    "encoder_config": {
        "input_dim": 160,
        "num_layers": 3,
        "hidden_dim": 26,
        "feedforward_mult": 3,
        "num_heads": 3,
        "dim_head": 10,
        "output_dim": 348,
        "context_size": 8,
        "max_pos_emb": 11,
        "conv_kernel_size": 5,
        "conv_expansion_factor": 2,
    },
    "projector_config": {
        "hidden_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 5,
        "intermediate_size": 34,
        "encoder_hidden_size": 26,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "cross_attention_frequency": 1,
        "use_qformer_text_input": False,
    },
    "text_config": {
        "vocab_size": 307,
        "hidden_size": 36,
        "intermediate_size": 50,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "embedding_multiplier": 3.0,
        "attention_multiplier": 0.3,
        "residual_multiplier": 0.4,
        "logits_scaling": 0.5,
        "eos_token_id": 0,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "rope_theta": 10000.0,
    },
}
"""config.json. The context has room for about 20 s of audio."""

CHAT_TEMPLATE = (
    "{%- for message in messages %}{%- if message['role'] == 'user' %}USER: "
    "{{ message['content'] }}\n ASSISTANT:{%- elif message['role'] == 'assistant' %}"
    "{{ message['content'] }}<|end_of_text|>{%- endif %}{%- endfor %}"
)

PREPROCESSOR = {
    "feature_extractor_type": "GraniteSpeechFeatureExtractor",
    "melspec_kwargs": {
        "hop_length": 160,
        "n_fft": 512,
        "n_mels": 80,
        "sample_rate": 16000,
        "win_length": 400,
    },
    "projector_downsample_rate": 3,
    "projector_window_size": 7,
    "sampling_rate": 16000,
}

DTYPES = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}

LAYOUTS: dict[str, tuple[tuple[str, str], ...]] = {
    "published": (),
    "nested": ((r"^language_model\.", "language_model.model."),),  # since transformers 5.19
    "nested model": ((r"^language_model\.model\.", "language_model.model.model."),),  # not the head
    "modules": (  # the modules' own names
        (r"^language_model\.lm_head\.", "lm_head."),
        (r"^language_model\.model\.", "model.language_model."),
        (r"^(encoder|projector)\.", r"model.\1."),
    ),
}
"""How transformers has written names: what is replaced in a published one."""


def changed(path: str, value: Any, config: Mapping[str, Any] = CONFIG) -> dict[str, Any]:
    """A copy of a config.json with another value at "section.key"; `KeyError` takes it away."""
    new = copy.deepcopy(dict(config))
    *sections, key = path.split(".")
    place = new
    for section in sections:
        place = place[section]
    if value is KeyError:
        del place[key]
    else:
        place[key] = value
    return new


def renamed(name: str, layout: str) -> str:
    """A published name as another layout has it."""
    for pattern, replacement in LAYOUTS[layout]:
        name, n_replaced = re.subn(pattern, replacement, name)
        if n_replaced:
            break
    return name


def published_tensors(
    config: Mapping[str, Any] = CONFIG, mlx_convolutions: bool = False
) -> dict[str, mx.array]:
    """Random weights by their published names, in float32.

    With `mlx_convolutions` the channels of convolutions come last, as MLX has them.
    """
    tensors: dict[str, mx.array] = {}
    for ours, array in SpeechModel(parse_config(config)).named_parameters():
        for name, shapes in port.sources(ours, tuple(array.shape)).items():
            values = mx.array(_random_values(name, shapes[0]))
            is_convolution = ".conv." in name and values.ndim == 3
            tensors[name] = values.swapaxes(1, 2) if is_convolution and mlx_convolutions else values
            if name.endswith("running_mean"):
                counter = name.replace("running_mean", "num_batches_tracked")
                tensors[counter] = mx.array(1000, mx.int64)
    return tensors


@functools.cache
def _random_values(name: str, shape: tuple[int, ...]) -> Any:
    return random_tensor(name, shape)


def network(dtype: mx.Dtype = mx.float32, config: Mapping[str, Any] = CONFIG) -> SpeechModel:
    """The network with the weights of `published_tensors`."""
    model = SpeechModel(parse_config(config))
    tensors = published_tensors(config)
    shapes = [(name, tuple(array.shape)) for name, array in model.named_parameters()]
    model.load_weights(
        [(name, port.assemble(name, shape, tensors).astype(dtype)) for name, shape in shapes]
    )
    return model


@functools.cache
def tokenizer() -> Tokenizer:
    """A small byte-level BPE tokenizer; it can spell anything."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[END, PAD, AUDIO],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    text = "USER: can you transcribe the speech into a written format?\n ASSISTANT: "
    bpe.train_from_iterator([text] * 5, trainer)
    return bpe


def write_checkpoint(
    folder: Path,
    *,
    config: Mapping[str, Any] = CONFIG,
    tensors: Mapping[str, mx.array] | None = None,
    dtype: str = "F32",
    layout: str = "published",
    n_shards: int = 1,
) -> Path:
    """Write a whole checkpoint, with an index if it has several shards; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    tokenizer().save(str(folder / "tokenizer.json"))
    tensors = published_tensors(config) if tensors is None else tensors
    write_weights(folder, dict(_stored(tensors, dtype, layout)), n_shards)
    return folder


def _stored(
    tensors: Mapping[str, mx.array], dtype: str, layout: str
) -> Iterator[tuple[str, mx.array]]:
    for name, array in tensors.items():
        is_floating = mx.issubdtype(array.dtype, mx.floating)
        yield renamed(name, layout), array.astype(DTYPES[dtype]) if is_floating else array


def write_weights(folder: Path, tensors: Mapping[str, mx.array], n_shards: int = 1) -> None:
    """Write model.safetensors, or shards with an index, and nothing else."""
    if n_shards == 1:
        mx.save_safetensors(str(folder / "model.safetensors"), dict(tensors), {"format": "pt"})
        return
    weight_map = {}
    for number in range(n_shards):
        file_name = f"model-{number + 1:05}-of-{n_shards:05}.safetensors"
        part = {name: tensors[name] for name in sorted(tensors)[number::n_shards]}
        mx.save_safetensors(str(folder / file_name), part, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file_name)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def edit_header(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrite the JSON header of a safetensors file; what `edit` returns, or else its argument."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    result = edit(header)
    new = json.dumps(header if result is None else result).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + content[end:])
