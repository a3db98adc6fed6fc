"""Audio tokens and text to logits: the Granite language model.

Llama's arithmetic (RMSNorm, rotary positions, grouped queries, gated feed-forward) with Granite's
four multipliers: on embeddings, attention scores, residuals and logits.
"""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from granite_mlx.model.activations import add_scaled, swiglu
from granite_mlx.model.cache import Cache, LayerCache
from granite_mlx.model.config import TextConfig
from granite_mlx.model.rope import Rotary


class Attention(nn.Module):
    def __init__(self, config: TextConfig, rotary: Rotary) -> None:
        super().__init__()
        self.head_dim, self.rotary = config.head_dim, rotary
        self.scale = config.attention_multiplier * rotary.score_factor
        kv_dim = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_dim, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def __call__(
        self, x: mx.array, cache: Cache, layer: LayerCache, mask: mx.array | str | None
    ) -> mx.array:
        batch, n_tokens, _ = x.shape
        q, k, v = (
            t.reshape(batch, n_tokens, -1, self.head_dim).swapaxes(1, 2)
            for t in (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        )  # (B, heads, n_tokens, head_dim)
        q, k = (self.rotary(t, cache.rope_offset) for t in (q, k))
        k, v = cache.update(layer, k, v)
        out = mx.fast.scaled_dot_product_attention(q, k, v, scale=self.scale, mask=mask)
        return self.o_proj(out.swapaxes(1, 2).reshape(batch, n_tokens, -1))


class MLP(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(swiglu(self.gate_proj(x), self.up_proj(x)))


class DecoderLayer(nn.Module):
    def __init__(self, config: TextConfig, rotary: Rotary) -> None:
        super().__init__()
        self.residual_multiplier = config.residual_multiplier
        self.self_attn = Attention(config, rotary)
        self.mlp = MLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def __call__(
        self, x: mx.array, cache: Cache, layer: LayerCache, mask: mx.array | str | None
    ) -> mx.array:
        attended = self.self_attn(self.input_layernorm(x), cache, layer, mask)
        x = add_scaled(x, attended, self.residual_multiplier)
        mapped = self.mlp(self.post_attention_layernorm(x))
        return add_scaled(x, mapped, self.residual_multiplier)


class GraniteModel(nn.Module):
    """The layers without a head."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embedding_multiplier = config.embedding_multiplier
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        rotary = Rotary(config)
        self.layers = [DecoderLayer(config, rotary) for _ in range(config.num_hidden_layers)]
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def __call__(self, embeddings: mx.array, cache: Cache) -> mx.array:
        """(B, n_tokens, hidden_size) -> (B, n_tokens, hidden_size); the cache grows by n_tokens."""
        n_tokens = embeddings.shape[1]
        mask = cache.mask(n_tokens)
        x = embeddings * self.embedding_multiplier
        for layer, layer_cache in zip(self.layers, cache.layers, strict=True):
            x = layer(x, cache, layer_cache, mask)
        cache.advance(n_tokens)
        return self.norm(x)


class GraniteDecoder(nn.Module):
    """The language model with its head, which is the embedding table where the two are tied."""

    def __init__(self, config: TextConfig, tie_word_embeddings: bool) -> None:
        super().__init__()
        self.logits_scaling = config.logits_scaling
        self.model = GraniteModel(config)
        if not tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def embed(self, ids: mx.array) -> mx.array:
        """(B, n_tokens) -> (B, n_tokens, hidden_size), before the embedding multiplier."""
        # A table in MLX's modes mxfp4, mxfp8 and nvfp4 gives bfloat16, whatever the rest is in.
        return self.model.embed_tokens(ids).astype(self.model.norm.weight.dtype)

    def __call__(self, embeddings: mx.array, cache: Cache) -> mx.array:
        """(B, n_tokens, hidden_size) -> final hidden states of the same shape."""
        return self.model(embeddings, cache)

    def logits(self, hidden: mx.array) -> mx.array:
        """(.., hidden_size) -> (.., vocab_size)."""
        head = self.lm_head if "lm_head" in self else self.model.embed_tokens.as_linear
        return head(hidden) / self.logits_scaling
