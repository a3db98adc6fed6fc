"""Multiplications and bytes of every stage, as functions of the configuration and the shapes.

A product of (m, k) and (k, n) counts as 2 m k n operations. What is counted is what the published
model needs, in the cheapest form that we know: padding counts for nothing, of relative positions
the 2 L - 1 rows that occur, logits at the last position only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from granite_mlx.model.config import EncoderConfig, SpeechConfig, TextConfig

ATTENTION = ("scores", "positions", "values")
"""Products of the encoder that have no weights: small ones, and many."""


@dataclass(frozen=True)
class Product:
    """`count` matrix products of (m, k) and (k, n)."""

    name: str
    m: int
    k: int
    n: int
    count: int = 1

    @property
    def flops(self) -> int:
        """Operations of all of them."""
        return 2 * self.m * self.k * self.n * self.count


def flops(products: Iterable[Product]) -> int:
    """Operations in all."""
    return sum(product.flops for product in products)


def encoder_products(config: EncoderConfig, n_frames: int) -> list[Product]:
    """All products of one recording's encoder pass."""
    hidden = config.hidden_dim
    return [
        Product("input", n_frames, config.input_dim, hidden),
        *(layer_product(product, config) for product in conformer_products(config, n_frames)),
        # The character head after the middle block, and its way back into the frames.
        Product("CTC", n_frames, hidden, config.output_dim),
        Product("CTC back", n_frames, config.output_dim, hidden),
    ]


def layer_product(product: Product, config: EncoderConfig) -> Product:
    """The same in every block."""
    count = product.count * config.num_layers
    return Product(product.name, product.m, product.k, product.n, count)


def conformer_products(config: EncoderConfig, n_frames: int) -> list[Product]:
    """Those of one Conformer block."""
    hidden, inner = config.hidden_dim, config.num_heads * config.dim_head
    wide, channels = hidden * config.feedforward_mult, config.inner_dim
    products = [
        # Two feed-forward layers.
        Product("feed-forward up", n_frames, hidden, wide, 2),
        Product("feed-forward down", n_frames, wide, hidden, 2),
        # Queries, keys and values; what comes of the heads.
        Product("q, k, v", n_frames, hidden, 3 * inner),
        Product("attention out", n_frames, inner, hidden),
        # Published as 1x1 convolutions; the first one is gated, so twice as wide.
        Product("convolution up", n_frames, hidden, 2 * channels),
        Product("convolution down", n_frames, channels, hidden),
    ]
    for length, n_blocks in blocks(n_frames, config.context_size):
        heads = n_blocks * config.num_heads
        products += [
            Product("scores", length, config.dim_head, length, heads),
            Product("positions", length, config.dim_head, 2 * length - 1, heads),
            Product("values", length, length, config.dim_head, heads),
        ]
    return products


def blocks(n_frames: int, context_size: int) -> Iterator[tuple[int, int]]:
    """(length, count) of the blocks in which frames see each other; the last may be shorter."""
    n_full, rest = divmod(n_frames, context_size)
    if n_full:
        yield context_size, n_full
    if rest:
        yield rest, 1


def depthwise_flops(config: EncoderConfig, n_frames: int) -> int:
    """Of the convolutions over time, which are no matrix products: a kernel for each channel."""
    return 2 * n_frames * config.inner_dim * config.conv_kernel_size * config.num_layers


def projector_products(config: SpeechConfig, n_frames: int) -> list[Product]:
    """All products of the Q-Former and the matrix behind it."""
    projector, hidden = config.projector, config.projector.hidden_size
    n_windows = -(-n_frames // config.window_size)
    n_queries, n_seen = n_windows * config.n_queries, n_windows * config.window_size
    heads = projector.num_attention_heads
    layers, dim = projector.num_hidden_layers, hidden // heads
    per_window = layers * n_windows * heads
    return [
        # Self-attention of the queries: q, k, v, out.
        Product("self-attention", n_queries, hidden, hidden, 4 * layers),
        Product("self scores", config.n_queries, dim, config.n_queries, per_window),
        Product("self values", config.n_queries, config.n_queries, dim, per_window),
        # Cross-attention: q and out of the queries, k and v of the frames.
        Product("cross-attention", n_queries, hidden, hidden, 2 * layers),
        Product("cross k, v", n_seen, projector.encoder_hidden_size, hidden, 2 * layers),
        Product("cross scores", config.n_queries, dim, config.window_size, per_window),
        Product("cross values", config.n_queries, config.window_size, dim, per_window),
        # Feed-forward.
        Product("feed-forward up", n_queries, hidden, projector.intermediate_size, layers),
        Product("feed-forward down", n_queries, projector.intermediate_size, hidden, layers),
        # To the width of the language model.
        Product("linear", n_queries, hidden, config.text.hidden_size),
    ]


def decoder_products(config: TextConfig, n_new: int, n_past: int = 0) -> list[Product]:
    """All products of feeding `n_new` tokens behind `n_past`, with logits for the last one.

    Of the scores only the causal half is counted: token i of the new ones sees n_past + i + 1.
    """
    hidden, wide, dim = config.hidden_size, config.intermediate_size, config.head_dim
    kv = config.num_key_value_heads * dim
    layers = config.num_hidden_layers
    # The mean number of keys that a query sees, times n_new, as one product of one row.
    n_seen = n_new * n_past + n_new * (n_new + 1) // 2
    return [
        Product("q, o", n_new, hidden, hidden, 2 * layers),
        Product("k, v", n_new, hidden, kv, 2 * layers),
        Product("gate, up", n_new, hidden, wide, 2 * layers),
        Product("down", n_new, wide, hidden, layers),
        Product("scores", 1, dim, n_seen, layers * config.num_attention_heads),
        Product("values", 1, n_seen, dim, layers * config.num_attention_heads),
        Product("head", 1, hidden, config.vocab_size),
    ]


def decoder_weights(config: TextConfig) -> int:
    """Values that one decoded token reads: all layers and the head, but of the embedding table
    one row only (a tied table is the head)."""
    hidden, kv = config.hidden_size, config.num_key_value_heads * config.head_dim
    attention = 2 * hidden * hidden + 2 * hidden * kv
    mlp = 3 * hidden * config.intermediate_size
    norms = 2 * hidden
    layers = config.num_hidden_layers * (attention + mlp + norms)
    return layers + hidden + config.vocab_size * hidden + hidden  # final norm, head, one row


def cache_values(config: TextConfig, n_positions: int) -> int:
    """Keys and values of so many positions in all layers, which a decoded token reads as well."""
    width = config.num_key_value_heads * config.head_dim
    return 2 * config.num_hidden_layers * width * n_positions


def decode_bytes(config: TextConfig, n_positions: int, item_bytes: float) -> float:
    """Memory read for one token behind `n_positions`, with `item_bytes` a value."""
    return item_bytes * (decoder_weights(config) + cache_values(config, n_positions))
