"""The demo checkpoint's shape, and a training forward pass over the reference's own modules.

The weights live in `GraniteSpeechForConditionalGeneration`, so that `save_pretrained` writes the
published layout. Only the order of the arithmetic is ours: relative positions are one product and a
skew instead of a gather (equal to 6e-9), single blocks are not padded to the context size, and the
mid-layer CTC logits, which the reference throws away, are kept for their loss.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import (
    Blip2QFormerConfig,
    GraniteConfig,
    GraniteSpeechConfig,
    GraniteSpeechEncoderConfig,
    GraniteSpeechForConditionalGeneration,
)

PAD, EOS, AUDIO = "<|pad|>", "<|end_of_text|>", "<|audio|>"
VOCAB_SIZE = 1792
WINDOW, DOWNSAMPLE = 6, 3
N_QUERIES = WINDOW // DOWNSAMPLE


def config(pad: int, eos: int, audio: int) -> GraniteSpeechConfig:
    """Every matrix that is worth quantising is a multiple of 128 wide."""
    text = GraniteConfig(
        vocab_size=VOCAB_SIZE, hidden_size=256, intermediate_size=512, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096,
        rms_norm_eps=1e-5, embedding_multiplier=4.0, attention_multiplier=0.125,
        residual_multiplier=0.6, logits_scaling=2.0, tie_word_embeddings=True,
        bos_token_id=eos, eos_token_id=eos, pad_token_id=pad, initializer_range=0.04,
    )  # fmt: skip
    encoder = GraniteSpeechEncoderConfig(
        input_dim=160, num_layers=4, hidden_dim=128, feedforward_mult=4, num_heads=4, dim_head=32,
        output_dim=348, context_size=200, max_pos_emb=512, dropout=0.0, conv_kernel_size=15,
        conv_expansion_factor=2,
    )  # fmt: skip
    projector = Blip2QFormerConfig(
        vocab_size=2, hidden_size=128, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=512, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        layer_norm_eps=1e-12, cross_attention_frequency=1, encoder_hidden_size=128,
    )  # fmt: skip
    return GraniteSpeechConfig(
        text_config=text, encoder_config=encoder, projector_config=projector,
        audio_token_index=audio, has_lora_adapter=False, window_size=WINDOW,
        downsample_rate=DOWNSAMPLE, tie_word_embeddings=True, initializer_range=0.04,
    )  # fmt: skip


def build(pad: int, eos: int, audio: int) -> GraniteSpeechForConditionalGeneration:
    model = GraniteSpeechForConditionalGeneration(config(pad, eos, audio))
    model.model.language_model.config._attn_implementation = "sdpa"
    return model


def _attend(attn: nn.Module, x: Tensor) -> Tensor:
    """Shaw attention in blocks; x is (B, T, D)."""
    x = attn.pre_norm(x)
    batch, n_frames, _ = x.shape
    size = min(n_frames, attn.context_size)
    n_blocks = -(-n_frames // size)
    x = F.pad(x, (0, 0, 0, n_blocks * size - n_frames))
    heads = (batch * n_blocks, size, attn.num_heads, attn.dim_head)
    q = attn.to_q(x).view(heads).transpose(1, 2)
    k, v = (t.reshape(heads).transpose(1, 2) for t in attn.to_kv(x).chunk(2, dim=-1))
    centre = attn.max_pos_emb
    table = attn.rel_pos_emb.weight[centre - size + 1 : centre + size].flip(
        0
    )  # row j: offset size-1-j
    by_offset = q @ table.T  # (b, h, size, 2 size - 1); entry (i, j) is offset size - 1 - j
    scores = (q @ k.transpose(-1, -2) + _skew(by_offset)) * attn.scale
    if n_frames % size:
        ends = torch.full((n_blocks,), size)
        ends[-1] = n_frames % size
        mask = torch.arange(size)[None] >= ends[:, None]  # (n_blocks, size)
        scores = scores.masked_fill(mask.repeat(batch, 1)[:, None, None, :], -1e9)
    out = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, n_blocks * size, -1)
    return attn.to_out(out[:, :n_frames])


def _skew(by_offset: Tensor) -> Tensor:
    """(.., L, 2L-1) by offset -> (.., L, L) by key: row i is shifted left by L - 1 - i."""
    *lead, n, width = by_offset.shape
    flat = F.pad(by_offset, (0, 1)).flatten(-2)[..., n - 1 : n - 1 + n * width]
    return flat.view(*lead, n, width)[..., :n]


def _convolve(conv: nn.Module, x: Tensor) -> Tensor:
    x = F.linear(conv.norm(x), conv.up_conv.weight[..., 0], conv.up_conv.bias)
    x = conv.depth_conv(F.glu(x, dim=-1).transpose(1, 2))
    x = F.silu(conv.batch_norm(x)).transpose(1, 2)
    return F.linear(x, conv.down_conv.weight[..., 0], conv.down_conv.bias)


def encode(encoder: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T, 160) -> hidden (B, T, D), mid-layer CTC logits (B, T, 348)."""
    h = encoder.input_linear(features)
    mid = None
    for index, layer in enumerate(encoder.layers, start=1):
        h = h + 0.5 * layer.ff1(h)
        h = h + _attend(layer.attn, h)
        h = h + _convolve(layer.conv, h)
        h = h + 0.5 * layer.ff2(h)
        h = layer.post_norm(h)
        if index == encoder.num_layers // 2:
            mid = encoder.out(h)
            h = h + encoder.out_mid(mid.softmax(-1))
    return h, mid


def n_audio_tokens(n_frames: int) -> int:
    return -(-n_frames // WINDOW) * N_QUERIES
