"""The checkpoint's config.json as frozen dataclasses, parsed and checked once.

A missing or ill-typed key, and a value that would change the arithmetic in a way that we do not
compute, raises an error that names the key. Keys that only matter in training are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, TypeVar, get_args, get_type_hints

from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model.quantisation import Quantisation, parse_quantisation

C = TypeVar("C")

MODEL_TYPES = ("granite_speech", "granite_speech_plus")

_ORIGINAL = "original_max_position_embeddings"
_BETAS = ("beta_fast", "beta_slow")

LARGEST = 2**31 - 1
"""MLX counts sizes in 32 bits."""

LARGEST_INTEGER = 2**24
"""No integer in a published config.json comes near."""

MOST_LAYERS = 1000
"""Published models have 40; each takes time to set up before its weights are looked for."""


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
    cat_hidden_layers: tuple[int, ...] = ()
    """Blocks, 0 the input and 1 the first, whose outputs the projector reads too; ascending."""

    @property
    def inner_dim(self) -> int:
        """Channels of the depthwise convolution."""
        return self.hidden_dim * self.conv_expansion_factor

    @property
    def frame_dim(self) -> int:
        """Width of the frames that the projector reads."""
        return self.hidden_dim * (len(self.cat_hidden_layers) + 1)


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
class YarnConfig:
    """Rotary positions stretched beyond the trained context (Peng et al., arXiv 2309.00071).

    `attention_factor` and the two `mscale` are None where the factor alone decides.
    """

    factor: float
    original_max_position_embeddings: int
    attention_factor: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True


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
    yarn: YarnConfig | None = None

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
    quantisation: Quantisation | None

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
    if model_type not in MODEL_TYPES:
        raise UnsupportedModelError(
            f"config.json: model_type {model_type!r} is not supported{_kin(model_type)}; "
            f"granite-mlx runs {' and '.join(map(repr, MODEL_TYPES))} checkpoints such as "
            "ibm-granite/granite-4.0-1b-speech."
        )
    encoder = _parse_encoder(_section(raw, "encoder_config"))
    projector = _parse(ProjectorConfig, _section(raw, "projector_config"), "projector_config")
    text = _parse_text(_section(raw, "text_config"))
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
        quantisation=parse_quantisation(raw),
    )
    _check(config)
    return config


def _kin(model_type: object) -> str:
    """Say more about relatives whose architecture differs."""
    relatives = {
        "granite_speech_nar": "it is the non-autoregressive NAR variant, which corrects a draft",
        "granite_speech5_ctc": "it is TurboCTC, an encoder without a language model",
        "granite_speech5": "its encoder, that of TurboCTC, is another one",
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
            if type(value) is not int or not 0 <= value <= LARGEST_INTEGER:
                raise CheckpointError(
                    f"config.json: {key} must be an integer from 0 to {LARGEST_INTEGER}, "
                    f"not {value!r}."
                )
            return value
    raise CheckpointError(f"config.json: {keys[0]} is missing.")


def _parse_encoder(raw: Mapping[str, Any]) -> EncoderConfig:
    encoder = _parse(EncoderConfig, raw, "encoder_config", cat_hidden_layers=())
    layers = raw.get("cat_hidden_layers")
    if layers is None:
        return encoder
    known = range(encoder.num_layers)
    if not (
        isinstance(layers, list)
        and all(isinstance(n, int) and not isinstance(n, bool) and n in known for n in layers)
        and len(set(layers)) == len(layers)
    ):
        raise CheckpointError(
            "config.json: encoder_config.cat_hidden_layers must be a list of different numbers "
            f"from 0 to {encoder.num_layers - 1}, not {layers!r}."
        )
    return replace(encoder, cat_hidden_layers=tuple(sorted(layers)))


def _parse_text(raw: Mapping[str, Any]) -> TextConfig:
    """RoPE's settings stand in `rope_theta` and `rope_scaling`, or since transformers 5 in one."""
    key = next((key for key in ("rope_scaling", "rope_parameters") if raw.get(key)), None)
    rope, where = raw[key] if key else {}, f"text_config.{key or 'rope_parameters'}"
    if not isinstance(rope, Mapping):
        raise CheckpointError(f"config.json: {where} must be an object, not {rope!r}.")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "yarn"):
        raise UnsupportedModelError(
            f"config.json: {where}.rope_type {kind!r} is not supported; "
            "only 'default' and 'yarn' are."
        )
    share = rope.get("partial_rotary_factor", raw.get("partial_rotary_factor"))
    if share not in (None, 1):
        raise UnsupportedModelError(
            f"config.json: {where}.partial_rotary_factor is {share!r}, but only 1 is supported."
        )
    theta = {"rope_theta": rope["rope_theta"]} if rope.get("rope_theta") is not None else {}
    text = _parse(TextConfig, {**raw, **theta}, "text_config", yarn=None)
    return replace(text, yarn=_parse_yarn(rope, raw, text, where)) if kind == "yarn" else text


def _parse_yarn(
    rope: Mapping[str, Any], raw: Mapping[str, Any], text: TextConfig, where: str
) -> YarnConfig:
    """YaRN's settings with the defaults of transformers, which for the betas also stand for 0."""
    given = {key: value for key, value in rope.items() if value or key not in _BETAS}
    original = raw.get(_ORIGINAL, rope.get(_ORIGINAL))
    given[_ORIGINAL] = text.max_position_embeddings if original is None else original
    if rope.get("factor") is None:
        checked = _typed(given[_ORIGINAL], int, f"config.json: {where}.{_ORIGINAL}")
        given["factor"] = text.max_position_embeddings / checked
    yarn = _parse(YarnConfig, given, where)
    if yarn.factor == 0:
        raise CheckpointError(f"config.json: {where}.factor must be above 0.")
    return yarn


def _parse(kind: type[C], raw: Mapping[str, Any], where: str, **parsed: Any) -> C:
    """Fill a dataclass from the keys of the same names, but for those that are `parsed`."""
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # every C is a dataclass
        if field.name in parsed:
            continue
        name = f"config.json: {where}.{field.name}"
        value = raw.get(field.name)
        if value is None and field.name == "dim_head":
            value = raw.get("hidden_dim", 0) // max(1, raw.get("num_heads", 1))
        if value is None:
            if field.default is MISSING:
                raise CheckpointError(f"{name} is missing.")
            continue
        hint = hints[field.name]
        values[field.name] = _typed(value, (*get_args(hint), hint)[0], name)  # X of X | None
    return kind(**values, **parsed)


def _typed(value: Any, kind: type, name: str) -> Any:
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise CheckpointError(f"{name} must be of type {kind.__name__}, not {value!r}.")
    least = 1 if kind is int and not name.endswith("_token_id") else 0
    most = LARGEST_INTEGER if kind is int else LARGEST
    if isinstance(value, int | float) and not least <= value <= most:
        raise CheckpointError(f"{name} must be from {least} to {most}, not {value!r}.")
    return kind(value)


def _check(config: SpeechConfig) -> None:
    """Refuse what we do not compute, and numbers that do not fit together."""
    encoder, projector, text = config.encoder, config.projector, config.text
    for key, found, computed in (
        ("projector_config.hidden_act", projector.hidden_act, "gelu"),
        ("projector_config.cross_attention_frequency", projector.cross_attention_frequency, 1),
        ("projector_config.use_qformer_text_input", projector.use_qformer_text_input, False),
        ("projector_config.encoder_hidden_size", projector.encoder_hidden_size, encoder.frame_dim),
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
        ("encoder_config.num_layers", 2 <= encoder.num_layers <= MOST_LAYERS,
         f"must be from 2 to {MOST_LAYERS}"),
        ("encoder_config.feedforward_mult",
         encoder.hidden_dim * encoder.feedforward_mult <= LARGEST, "makes a layer too wide"),
        ("encoder_config.conv_expansion_factor", 2 * encoder.inner_dim <= LARGEST,
         "makes a layer too wide"),
        ("encoder_config.dim_head", 2 * encoder.num_heads * encoder.dim_head <= LARGEST,
         "makes a layer too wide"),
        ("encoder_config.context_size", encoder.context_size <= encoder.max_pos_emb,
         "must not exceed max_pos_emb"),
        ("projector_config.num_hidden_layers", projector.num_hidden_layers <= MOST_LAYERS,
         f"must not exceed {MOST_LAYERS}"),
        ("projector_config.num_attention_heads",
         projector.hidden_size % projector.num_attention_heads == 0, "must divide hidden_size"),
        ("text_config.num_hidden_layers", text.num_hidden_layers <= MOST_LAYERS,
         f"must not exceed {MOST_LAYERS}"),
        ("text_config.num_attention_heads",
         text.hidden_size % text.num_attention_heads == 0, "must divide hidden_size"),
        ("text_config.num_key_value_heads",
         text.num_attention_heads % text.num_key_value_heads == 0,
         "must divide num_attention_heads"),
        ("text_config.hidden_size", text.head_dim % 2 == 0, "must give an even head size"),
        ("text_config.logits_scaling", text.logits_scaling > 0, "must be above 0"),
        ("text_config.rope_theta", text.rope_theta > 1, "must be above 1"),
        ("text_config.eos_token_id", text.eos_token_id < text.vocab_size, "is not in vocab_size"),
        ("downsample_rate", config.downsample_rate > 0, "must be above 0"),
        ("window_size", config.downsample_rate <= config.window_size,
         "must not be below downsample_rate"),
    ):  # fmt: skip
        if not holds:
            raise CheckpointError(f"config.json: {key} {rule}.")
