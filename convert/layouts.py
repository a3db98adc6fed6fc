"""The layouts of other packages, which `--compat` names.

mlx-audio's loader (read at 0.6.2) is not strict: what it does not expect it passes over in silence,
and what it lacks stays at its first, random value. So what is written for it must be exactly what
it expects; tests/convert/test_mlx_audio.py asks the package itself.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from granite_mlx.convert.layout import GRANITE_MLX, Layout, mlx_convolution_shape
from granite_mlx.convert.port import Shape
from granite_mlx.errors import ConversionError
from granite_mlx.model.config import YarnConfig, parse_config
from granite_mlx.model.rope import yarn_attention_factor, yarn_mscale


class MLXAudio:
    """What `mlx_audio.stt.load` reads, and `mlx_audio.convert` writes."""

    name = "mlx-audio"

    def tensor_name(self, published: str) -> str:
        """As published."""
        return published

    def floating_shape(self, published: str, shape: Shape) -> Shape:
        """Convolutions as MLX has them, 1x1 ones too."""
        return mlx_convolution_shape(published, shape)

    def keeps_floating(self, module: str) -> str | None:
        """Its encoder and projector have no quantised form, whatever config.json says of them."""
        if module.startswith("language_model."):
            return None
        return "mlx-audio quantises the language model alone"

    def edit_config(self, config: dict[str, Any]) -> dict[str, Any]:
        """Spell out what it does not derive, or by default takes for something else than we do.

        It reads whether the head is tied from text_config alone, and takes it for untied there.

        Raises:
            ConversionError: it would compute the positions otherwise.
        """
        parsed = parse_config(config)
        encoder = {"dim_head": parsed.encoder.dim_head}
        text: dict[str, Any] = {
            "rope_theta": parsed.text.rope_theta,
            "tie_word_embeddings": parsed.tie_word_embeddings,
        }
        if parsed.text.yarn is not None:
            text["rope_scaling"] = _yarn_section(parsed.text.yarn)
        return config | {
            "audio_token_index": parsed.audio_token_index,
            "encoder_config": config["encoder_config"] | encoder,
            "text_config": config["text_config"] | text,
        }


def _yarn_section(yarn: YarnConfig) -> dict[str, Any]:
    """YaRN's settings in full, since mlx-audio has other defaults.

    It knows neither `attention_factor` nor `truncate`, and takes the two `mscale` one by one.
    """
    weight = 1.0 if yarn.mscale is None else yarn.mscale
    weight_all_dim = yarn.mscale_all_dim or 0.0
    its_factor = yarn_mscale(yarn.factor, weight) / yarn_mscale(yarn.factor, weight_all_dim)
    if not yarn.truncate or not math.isclose(its_factor, yarn_attention_factor(yarn)):
        raise ConversionError(
            "mlx-audio would compute other positions than this checkpoint's (its YaRN is set by "
            "truncate, attention_factor or mscale, of which mlx-audio makes something else); "
            "convert without --compat."
        )
    given = {key: value for key, value in asdict(yarn).items() if value is not None}
    return {"rope_type": "yarn", **given}


LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (GRANITE_MLX, MLXAudio())}
"""Every layout by the name that `--compat` and the manifest have for it."""
