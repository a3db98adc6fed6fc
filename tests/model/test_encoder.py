from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.model import encoder as encoder_module
from granite_mlx.model.encoder import BlockAttention, Encoder, in_pieces

from .tiny import CONFIG, changed, network

BLOCK = CONFIG["encoder_config"]["context_size"]
HIDDEN = CONFIG["encoder_config"]["hidden_dim"]
LENGTHS = [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 5]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return network().encoder


def random_features(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def padded(rows: Sequence[np.ndarray], filling: float = 0.0) -> mx.array:
    """Rows (T_i, D) in one batch (B, longest, D)."""
    batch = np.full((len(rows), max(map(len, rows)), rows[0].shape[1]), filling, np.float32)
    for row, values in zip(batch, rows, strict=True):
        row[: len(values)] = values
    return mx.array(batch)


# One block of attention, against the formula


def softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def slow_attention(attention: BlockAttention, x: np.ndarray) -> np.ndarray:
    """Shaw's relative positions, frame by frame: (T, D) -> (T, D) in float64."""
    weights = {
        name: np.array(value).astype(np.float64)
        for layer in ("pre_norm", "to_q", "to_kv", "to_out", "rel_pos_emb")
        for name, value in ((f"{layer}.{k}", v) for k, v in attention[layer].parameters().items())
    }
    n_heads, width = attention.num_heads, attention.dim_head
    x = x.astype(np.float64)
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    normed = normed * weights["pre_norm.weight"] + weights["pre_norm.bias"]
    queries = normed @ weights["to_q.weight"].T
    keys_values = normed @ weights["to_kv.weight"].T
    keys, values = keys_values[:, : n_heads * width], keys_values[:, n_heads * width :]
    table, centre = weights["rel_pos_emb.weight"], attention.max_pos_emb
    out = np.zeros_like(queries)
    for i in range(len(x)):
        block = range(i // BLOCK * BLOCK, min(len(x), i // BLOCK * BLOCK + BLOCK))
        for head in range(n_heads):
            part = slice(head * width, (head + 1) * width)
            scores = [
                queries[i, part] @ (keys[j, part] + table[i - j + centre]) / np.sqrt(width)
                for j in block
            ]
            out[i, part] = softmax(np.array(scores)) @ values[block.start : block.stop, part]
    return out @ weights["to_out.weight"].T + weights["to_out.bias"]


@pytest.mark.parametrize("n_frames", LENGTHS)
def test_attention_is_shaws_formula(encoder: Encoder, n_frames: int) -> None:
    attention = encoder.layers[1].attn
    x = random_features(n_frames, HIDDEN, seed=n_frames)
    ours = np.array(attention(mx.array(x)[None], None))[0]
    np.testing.assert_allclose(ours, slow_attention(attention, x), atol=2e-6)


def test_attention_of_a_batch(encoder: Encoder) -> None:
    attention = encoder.layers[0].attn
    x = random_features(3, 2 * BLOCK + 3, HIDDEN)
    ours = np.array(attention(mx.array(x), None))
    for row, values in zip(ours, x, strict=True):
        np.testing.assert_allclose(row, slow_attention(attention, values), atol=2e-6)


def test_attention_stays_in_its_block(encoder: Encoder) -> None:
    attention = encoder.layers[0].attn
    x = random_features(1, 3 * BLOCK, HIDDEN)
    before = np.array(attention(mx.array(x), None))
    x[0, BLOCK + 1, 3] += 1  # the norm would not see the same added to all
    changed = np.abs(np.array(attention(mx.array(x), None)) - before).max(-1)[0] > 1e-4
    assert changed[BLOCK : 2 * BLOCK].all()
    assert not changed[:BLOCK].any()
    assert not changed[2 * BLOCK :].any()


# The whole encoder


@pytest.mark.parametrize("n_frames", LENGTHS)
def test_shapes(encoder: Encoder, n_frames: int) -> None:
    encoded = encoder(mx.array(random_features(2, n_frames, 160)))
    assert encoded.frames.shape == (2, n_frames, HIDDEN)
    assert encoded.mid_logits.shape == (2, n_frames, 348)
    assert encoder.ctc_logits(encoded.frames).shape == (2, n_frames, 348)


def test_the_middle_head_is_fed_back(encoder: Encoder) -> None:
    x = encoder.input_linear(mx.array(random_features(1, 13, 160)))
    first, second, third = encoder.layers
    x = first(x, None)
    mid = encoder.out(x)
    x = third(second(x + encoder.out_mid(mx.softmax(mid, axis=-1)), None), None)
    encoded = encoder(mx.array(random_features(1, 13, 160)))
    np.testing.assert_allclose(np.array(encoded.mid_logits), np.array(mid), atol=1e-6)
    np.testing.assert_allclose(np.array(encoded.frames), np.array(x), atol=1e-6)


def concatenating(layers: list[int]) -> Encoder:
    """An encoder that hands out earlier blocks as well; the same weights."""
    config = changed("encoder_config.cat_hidden_layers", layers)
    width = HIDDEN * (len(layers) + 1)
    return network(config=changed("projector_config.encoder_hidden_size", width, config)).encoder


def test_earlier_blocks_stand_in_front_of_the_last(encoder: Encoder) -> None:
    features = mx.array(random_features(2, 13, 160))
    x = encoder.input_linear(features)
    first, second, third = encoder.layers
    middle = first(x, None)
    middle = middle + encoder.out_mid(mx.softmax(encoder.out(middle), axis=-1))
    behind = second(middle, None)
    wanted = mx.concatenate([x, middle, behind, third(behind, None)], axis=-1)
    ours = concatenating([0, 1, 2])(features)
    np.testing.assert_allclose(np.array(ours.frames), np.array(wanted), atol=1e-6)
    alone = concatenating([2])(features)
    np.testing.assert_allclose(
        np.array(alone.frames), np.array(wanted[..., 2 * HIDDEN :]), atol=1e-6
    )


def test_the_character_head_reads_the_last_block_alone(encoder: Encoder) -> None:
    features = mx.array(random_features(1, 13, 160))
    wanted = encoder.ctc_logits(encoder(features).frames)
    plus = concatenating([0, 2])
    np.testing.assert_array_equal(
        np.array(plus.ctc_logits(plus(features).frames)), np.array(wanted)
    )


def test_convolutions_cross_block_borders(encoder: Encoder) -> None:
    """In each of three layers a frame reaches all of its block, and then two frames further."""
    features = random_features(1, 6 * BLOCK, 160)
    before = np.array(encoder(mx.array(features)).frames)
    features[0, 0] += 1
    after = np.array(encoder(mx.array(features)).frames)
    reached = np.abs(after - before).max(-1)[0] > 1e-6
    assert reached[: BLOCK + 2].all()
    assert not reached[3 * BLOCK + 2 :].any()


@pytest.mark.parametrize("filling", [0.0, 50.0])
def test_in_a_batch_each_recording_gets_what_it_gets_alone(
    encoder: Encoder, filling: float
) -> None:
    rows = [random_features(n, 160, seed=n) for n in LENGTHS]
    batch = encoder(padded(rows, filling), mx.array(LENGTHS))
    for index, row in enumerate(rows):
        alone = encoder(mx.array(row)[None])
        for ours, wanted in zip(batch, alone, strict=True):
            np.testing.assert_allclose(
                np.array(ours[index, : len(row)]), np.array(wanted[0]), atol=1e-5
            )


def test_a_batch_of_equal_lengths_needs_no_lengths(encoder: Encoder) -> None:
    features = mx.array(random_features(3, 2 * BLOCK + 1, 160))
    with_lengths = encoder(features, mx.array([2 * BLOCK + 1] * 3)).frames
    np.testing.assert_allclose(
        np.array(with_lengths), np.array(encoder(features).frames), atol=1e-6
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(mx.float32, 1e-5), (mx.float16, 2e-2), (mx.bfloat16, 2e-1)]
)
@pytest.mark.parametrize("filling", [0.0, 100.0])
def test_fully_padded_blocks_stay_finite(dtype: mx.Dtype, tolerance: float, filling: float) -> None:
    encoder = network(dtype).encoder
    short, long = random_features(2, 160), random_features(5 * BLOCK + 1, 160)
    batch = encoder(padded([short, long], filling).astype(dtype), mx.array([2, 5 * BLOCK + 1]))
    for part in batch:
        assert part.dtype == dtype
        assert mx.all(mx.isfinite(part)).item()
    alone = encoder(mx.array(short)[None].astype(dtype)).frames[0]
    difference = mx.abs(batch.frames[0, :2].astype(mx.float32) - alone.astype(mx.float32))
    assert difference.max().item() <= tolerance


@pytest.mark.parametrize("frames", [1, 3, BLOCK, 2 * BLOCK + 1])
@pytest.mark.parametrize("n_frames", LENGTHS)
def test_in_pieces_it_is_the_same(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, n_frames: int, frames: int
) -> None:
    batch = padded([random_features(n, 160, seed=n) for n in (n_frames, max(1, n_frames // 2))])
    lengths = mx.array([n_frames, max(1, n_frames // 2)])
    whole = encoder(batch, lengths).frames
    monkeypatch.setattr(encoder_module, "PIECE_FRAMES", frames)
    for row, n in enumerate([n_frames, max(1, n_frames // 2)]):
        got = encoder(batch, lengths).frames[row, :n]
        np.testing.assert_allclose(got, whole[row, :n], rtol=0, atol=1e-5)


def test_a_piece_has_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "PIECE_FRAMES", 4)
    seen: list[int] = []

    def sums_of_three(x: mx.array) -> mx.array:
        seen.append(x.shape[1])
        return x[:, :-2] + x[:, 1:-1] + x[:, 2:]

    x = mx.arange(12.0).reshape(1, 12, 1)
    assert in_pieces(sums_of_three, x, 2)[0, :, 0].tolist() == [3.0 * n for n in range(1, 11)]
    assert seen == [6, 6, 4]


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_large_scores_in_a_padded_block_stay_finite(dtype: mx.Dtype) -> None:
    """The mask's floor and every score, here minus hundreds, are added in half precision."""
    attention = network(dtype).encoder.layers[0].attn
    key_weight, _ = mx.split(attention.to_kv.weight, 2)
    attention.to_q.weight = key_weight * -100  # so that every query is the opposite of the keys
    x = mx.array(np.tile(random_features(1, 1, HIDDEN), (1, 2 * BLOCK, 1))).astype(dtype)
    keys = attention.pre_norm(x) @ key_weight.T
    assert mx.max(attention.to_q(attention.pre_norm(x)) @ keys.swapaxes(1, 2)).item() < -1000
    out = attention(x, mx.arange(2 * BLOCK)[None] < BLOCK)
    assert mx.all(mx.isfinite(out)).item()


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision_is_close_to_float32(encoder: Encoder, dtype: mx.Dtype) -> None:
    features = mx.array(random_features(1, 3 * BLOCK + 5, 160))
    wanted = np.array(encoder(features).frames)
    ours = network(dtype).encoder(features.astype(dtype)).frames
    error = np.array(ours.astype(mx.float32)) - wanted
    limit = {mx.float16: 1e-2, mx.bfloat16: 5e-2}[dtype]
    assert np.linalg.norm(error) < limit * np.linalg.norm(wanted)
