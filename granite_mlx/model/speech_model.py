"""The three networks of a Granite Speech checkpoint, under their published names."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

from granite_mlx.model.config import SpeechConfig
from granite_mlx.model.decoder import GraniteDecoder
from granite_mlx.model.encoder import Encoder
from granite_mlx.model.projector import Projector


class SpeechModel(nn.Module):
    """Holds the weights and nothing else: caches and streams are passed in."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.encoder)
        self.projector = Projector(config)
        self.language_model = GraniteDecoder(config.text, config.tie_word_embeddings)

    @property
    def dtype(self) -> mx.Dtype:
        """The floating type that activations have."""
        return self.projector.query.dtype

    def embed_prompt(self, ids: list[int], at: int, audio: mx.array) -> mx.array:
        """Token ids (n,) with audio tokens (n_audio, H) put in at `at`: (n + n_audio, H)."""
        text = self.language_model.embed(mx.array(ids))
        return mx.concatenate([text[:at], audio, text[at:]])

    def named_parameters(self) -> list[tuple[str, mx.array]]:
        """Every weight with its name. A new model's are lazy: their shapes cost nothing."""
        named: list[tuple[str, mx.array]] = tree_flatten(self.parameters())  # type: ignore[assignment]
        return named
