"""The checkpoint's config.json as frozen dataclasses, parsed and checked once.

A missing or ill-typed key, and a value that would change the arithmetic in a way that we do not
compute, raises an error that names the key. Keys that only matter in training are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, get_type_hints

from granite_mlx.errors import CheckpointError, UnsupportedModelError

C = TypeVar("C")

LARGEST = 2**31 - 1
"""MLX counts sizes in 32 bits; no number in a published config.json comes near."""


@dataclass(frozen=True)
class EncoderConfig:
    """Conformer CTC encoder (Gulati et al., arXiv 2005.08100) with Shaw positions in blocks."""

    input_dim: int
    num_layers: int
    hidden_dim: int
    feedforward_mult: int
    num_heads: int
    dim_head: int
    output_dim: int
    context_size: int
    max_pos_emb: int
    conv_kernel_size: int
    conv_expansion_factor: int

    @property
    def inner_dim(self) -> int:
        """Channels of the depthwise convolution."""
        return self.hidden_dim * self.conv_expansion_factor


@dataclass(frozen=True)
class ProjectorConfig:
    """Q-Former (Li et al., arXiv 2301.12597) over windows of encoder frames."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    encoder_hidden_size: int
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    cross_attention_frequency: int = 1
    use_qformer_text_input: bool = False


@dataclass(frozen=True)
class TextConfig:
    """Granite language model: Llama's arithmetic with four multipliers."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int
    rms_norm_eps: float
    embedding_multiplier: float
    attention_multiplier: float
    residual_multiplier: float
    logits_scaling: float
    eos_token_id: int
    hidden_act: str = "silu"
    attention_bias: bool = False
    mlp_bias: bool = False
    rope_theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True)
class SpeechConfig:
    """A whole Granite Speech model."""

    encoder: EncoderConfig
    projector: ProjectorConfig
    text: TextConfig
    audio_token_index: int
    window_size: int
    downsample_rate: int
    tie_word_embeddings: bool

    @property
    def n_queries(self) -> int:
        """Audio tokens that a window of encoder frames becomes."""
        return self.window_size // self.downsample_rate

    def n_audio_tokens(self, n_frames: int) -> int:
        """Audio tokens of `n_frames` encoder frames (the last window may be part full)."""
        return -(-n_frames // self.window_size) * self.n_queries


def parse_config(raw: Mapping[str, Any]) -> SpeechConfig:
    """Parse the content of config.json.

    Raises:
        UnsupportedModelError: another architecture, or a setting that we do not compute.
        CheckpointError: a key is missing, ill-typed or out of range.
    """
    model_type = raw.get("model_type")
    if model_type != "granite_speech":
        raise UnsupportedModelError(
            f"config.json: model_type {model_type!r} is not supported; granite-mlx runs "
            f"'granite_speech' checkpoints such as ibm-granite/granite-4.0-1b-speech"
            f"{_kin(model_type)}."
        )
    for key in ("quantization", "quantization_config"):
        if raw.get(key) is not None:
            raise UnsupportedModelError(
                f"config.json: {key} is set, and quantised checkpoints cannot be loaded yet; "
                "use the bf16 checkpoint."
            )
    if raw.get("has_lora_adapter"):
        raise UnsupportedModelError(
            "config.json: has_lora_adapter is true, and adapters cannot be merged yet; "
            "use a checkpoint without one, such as ibm-granite/granite-4.0-1b-speech."
        )
    encoder = _parse(EncoderConfig, _section(raw, "encoder_config"), "encoder_config")
    projector = _parse(ProjectorConfig, _section(raw, "projector_config"), "projector_config")
    text = _parse(TextConfig, _flatten_rope(_section(raw, "text_config")), "text_config")
    tied = raw.get("tie_word_embeddings", raw["text_config"].get("tie_word_embeddings", True))
    tied = _typed(tied, bool, "config.json: tie_word_embeddings")
    config = SpeechConfig(
        encoder=encoder,
        projector=projector,
        text=text,
        audio_token_index=_integer(raw, "audio_token_index", "audio_token_id"),
        window_size=_integer(raw, "window_size"),
        downsample_rate=_integer(raw, "downsample_rate"),
        tie_word_embeddings=tied,
    )
    _check(config)
    return config


def _kin(model_type: object) -> str:
    """Say more about relatives whose architecture differs."""
    relatives = {
        "granite_speech_plus": "the 4.1-plus variant concatenates hidden layers, which is to come",
        "granite_speech5_ctc": "TurboCTC has no decoder",
        "granite_speech_nar": "the non-autoregressive variant has another decoder",
        "granite_speech5": "the 5.0 encoder is another one",
    }
    known = relatives.get(str(model_type))
    return f" ({known})" if known else ""


def _section(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = raw.get(key)
    if not isinstance(section, Mapping):
        raise CheckpointError(f"config.json: {key} is missing or not an object.")
    return section


def _integer(raw: Mapping[str, Any], *keys: str) -> int:
    for key in keys:
        if key in raw:
            value = raw[key]
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise CheckpointError(
                    f"config.json: {key} must be an integer of 0 or more, not {value!r}."
                )
            return value
    raise CheckpointError(f"config.json: {keys[0]} is missing.")


def _flatten_rope(text: Mapping[str, Any]) -> Mapping[str, Any]:
    """RoPE's settings stand in `rope_theta` and `rope_scaling`, or since transformers 5 in one."""
    flat = dict(text)
    for key in ("rope_parameters", "rope_scaling"):
        rope = flat.get(key)
        if not isinstance(rope, Mapping):
            continue
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise UnsupportedModelError(
                f"config.json: text_config.{key}.rope_type {kind!r} is not supported; "
                "only 'default' is."
            )
        if "rope_theta" in rope:
            flat["rope_theta"] = rope["rope_theta"]
    return flat


def _parse(kind: type[C], raw: Mapping[str, Any], where: str) -> C:
    """Fill a dataclass from the keys of the same names."""
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # every C is a dataclass
        name = f"config.json: {where}.{field.name}"
        value = raw.get(field.name)
        if value is None and field.name == "dim_head":
            value = raw.get("hidden_dim", 0) // max(1, raw.get("num_heads", 1))
        if value is None:
            if field.default is MISSING:
                raise CheckpointError(f"{name} is missing.")
            continue
        values[field.name] = _typed(value, hints[field.name], name)
    return kind(**values)


def _typed(value: Any, kind: type, name: str) -> Any:
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise CheckpointError(f"{name} must be of type {kind.__name__}, not {value!r}.")
    least = 1 if kind is int and not name.endswith("_token_id") else 0
    if isinstance(value, int | float) and not least <= value <= LARGEST:
        raise CheckpointError(f"{name} must be from {least} to {LARGEST}, not {value!r}.")
    return kind(value)


def _check(config: SpeechConfig) -> None:
    """Refuse what we do not compute, and numbers that do not fit together."""
    encoder, projector, text = config.encoder, config.projector, config.text
    for key, found, computed in (
        ("projector_config.hidden_act", projector.hidden_act, "gelu"),
        ("projector_config.cross_attention_frequency", projector.cross_attention_frequency, 1),
        ("projector_config.use_qformer_text_input", projector.use_qformer_text_input, False),
        ("projector_config.encoder_hidden_size", projector.encoder_hidden_size, encoder.hidden_dim),
        ("text_config.hidden_act", text.hidden_act, "silu"),
        ("text_config.attention_bias", text.attention_bias, False),
        ("text_config.mlp_bias", text.mlp_bias, False),
    ):
        if found != computed:
            raise UnsupportedModelError(
                f"config.json: {key} is {found!r}, but only {computed!r} is supported."
            )
    for key, holds, rule in (
        ("encoder_config.conv_kernel_size", encoder.conv_kernel_size % 2 == 1, "must be odd"),
        ("encoder_config.num_layers", encoder.num_layers > 1, "must be 2 or more"),
        ("encoder_config.context_size", encoder.context_size <= encoder.max_pos_emb,
         "must not exceed max_pos_emb"),
        ("projector_config.num_attention_heads",
         projector.hidden_size % projector.num_attention_heads == 0, "must divide hidden_size"),
        ("text_config.num_attention_heads",
         text.hidden_size % text.num_attention_heads == 0, "must divide hidden_size"),
        ("text_config.num_key_value_heads",
         text.num_attention_heads % text.num_key_value_heads == 0,
         "must divide num_attention_heads"),
        ("text_config.hidden_size", text.head_dim % 2 == 0, "must give an even head size"),
        ("text_config.logits_scaling", text.logits_scaling > 0, "must be above 0"),
        ("text_config.rope_theta", text.rope_theta > 0, "must be above 0"),
        ("text_config.eos_token_id", text.eos_token_id < text.vocab_size, "is not in vocab_size"),
        ("downsample_rate", config.downsample_rate > 0, "must be above 0"),
        ("window_size", config.downsample_rate <= config.window_size,
         "must not be below downsample_rate"),
    ):  # fmt: skip
        if not holds:
            raise CheckpointError(f"config.json: {key} {rule}.")
