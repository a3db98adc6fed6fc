"""The layouts of other packages, which `--compat` names.

mlx-audio's loader (read at 0.6.2) is not strict: what it does not expect it passes over in silence,
and what it lacks stays at its first, random value. So what is written for it must be exactly what
it expects; tests/convert/test_mlx_audio.py asks the package itself.
"""

from __future__ import annotations

from typing import Any

from granite_mlx.convert.layout import GRANITE_MLX, Layout, mlx_convolution_shape
from granite_mlx.convert.port import Shape
from granite_mlx.model.config import parse_config


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
        """
        parsed = parse_config(config)
        encoder = {"dim_head": parsed.encoder.dim_head}
        text = {
            "rope_theta": parsed.text.rope_theta,
            "tie_word_embeddings": parsed.tie_word_embeddings,
        }
        return config | {
            "audio_token_index": parsed.audio_token_index,
            "encoder_config": config["encoder_config"] | encoder,
            "text_config": config["text_config"] | text,
        }


LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (GRANITE_MLX, MLXAudio())}
"""Every layout by the name that `--compat` and the manifest have for it."""
