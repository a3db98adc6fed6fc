from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.model.cache import CAPACITY_STEP, DecoderCache
from granite_mlx.model.config import TextConfig, parse_config
from granite_mlx.model.decoder import GraniteDecoder
from granite_mlx.model.rope import yarn_attention_factor, yarn_frequencies

from .tiny import CONFIG, changed, network, published_tensors

TEXT: TextConfig = parse_config(CONFIG).text


@pytest.fixture(scope="module")
def decoder() -> GraniteDecoder:
    return network().language_model


def random_ids(n: int, seed: int = 0) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(0, TEXT.vocab_size, n)]


def fed(decoder: GraniteDecoder, cache: DecoderCache, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """Logits (B, n, vocab) behind each of the token ids (B, n)."""
    return np.array(decoder.logits(decoder(decoder.embed(mx.array(ids)), cache)))


def logits(
    decoder: GraniteDecoder, ids: Sequence[int], n_positions: int | None = None
) -> np.ndarray:
    """Logits (n, vocab) of one sequence in one go."""
    cache = DecoderCache(TEXT, mx.float32, 1, n_positions or len(ids))
    return fed(decoder, cache, [ids])[0]


# Against the formulas


FREQUENCIES = TEXT.rope_theta ** (-np.arange(0, TEXT.head_dim, 2) / TEXT.head_dim)


def rotated(x: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """RoPE on one head's vector, whose halves are pairs."""
    first, second = x[: len(x) // 2], x[len(x) // 2 :]
    return np.concatenate(
        [first * np.cos(angles) - second * np.sin(angles),
         second * np.cos(angles) + first * np.sin(angles)]
    )  # fmt: skip


def normed(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + TEXT.rms_norm_eps) * weight


def slow_logits(
    tensors: dict[str, np.ndarray],
    ids: Sequence[int],
    frequencies: np.ndarray = FREQUENCIES,
    attention_factor: float = 1.0,
) -> np.ndarray:
    """Granite's language model position by position and head by head, in float64."""

    def weight(name: str) -> np.ndarray:
        return tensors[f"language_model.{name}.weight"].astype(np.float64)

    width, group = TEXT.head_dim, TEXT.num_attention_heads // TEXT.num_key_value_heads
    x = weight("model.embed_tokens")[list(ids)] * TEXT.embedding_multiplier
    for layer in range(TEXT.num_hidden_layers):
        prefix = f"model.layers.{layer}"
        h = normed(x, weight(f"{prefix}.input_layernorm"))
        q, k, v = (
            (h @ weight(f"{prefix}.self_attn.{name}_proj").T).reshape(len(ids), -1, width)
            for name in "qkv"
        )
        attended = np.zeros_like(q)
        for i in range(len(ids)):
            for head in range(TEXT.num_attention_heads):
                query = attention_factor * rotated(q[i, head], i * frequencies)
                keys = [
                    attention_factor * rotated(k[j, head // group], j * frequencies)
                    for j in range(i + 1)
                ]
                scores = np.array(keys) @ query * TEXT.attention_multiplier
                shares = np.exp(scores - scores.max())
                attended[i, head] = shares / shares.sum() @ v[: i + 1, head // group]
        attended = attended.reshape(len(ids), -1) @ weight(f"{prefix}.self_attn.o_proj").T
        x = x + TEXT.residual_multiplier * attended
        h = normed(x, weight(f"{prefix}.post_attention_layernorm"))
        gate = h @ weight(f"{prefix}.mlp.gate_proj").T
        up = h @ weight(f"{prefix}.mlp.up_proj").T
        down = (gate / (1 + np.exp(-gate)) * up) @ weight(f"{prefix}.mlp.down_proj").T
        x = x + TEXT.residual_multiplier * down
    return normed(x, weight("model.norm")) @ weight("lm_head").T / TEXT.logits_scaling


def test_logits_are_those_of_the_formulas(decoder: GraniteDecoder) -> None:
    tensors = {name: np.array(array) for name, array in published_tensors().items()}
    ids = random_ids(11)
    np.testing.assert_allclose(logits(decoder, ids), slow_logits(tensors, ids), atol=2e-4)


def test_a_tied_head_is_the_embedding_table() -> None:
    tied = network(config=changed("tie_word_embeddings", True)).language_model
    untied = network().language_model
    untied.lm_head.weight = tied.model.embed_tokens.weight
    ids = random_ids(5)
    assert "lm_head" not in tied
    np.testing.assert_allclose(logits(tied, ids), logits(untied, ids), atol=1e-5)


@pytest.mark.parametrize(
    "key",
    ["embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling",
     "rope_theta"],
)  # fmt: skip
def test_every_multiplier_matters(decoder: GraniteDecoder, key: str) -> None:
    other = network(config=changed(f"text_config.{key}", getattr(TEXT, key) * 1.5))
    ids = random_ids(6)
    difference = np.abs(logits(other.language_model, ids) - logits(decoder, ids))[-1].max()
    assert difference > 1e-2


@pytest.mark.parametrize(
    "rope", [{"factor": 4.0}, {"factor": 1.0, "attention_factor": 1.5}], ids=repr
)
def test_yarn_turns_by_other_angles_and_sharpens_the_scores(rope: dict[str, float]) -> None:
    rope = {"rope_type": "yarn", "original_max_position_embeddings": 32} | rope
    config = changed("text_config.rope_parameters", rope)
    text = parse_config(config).text
    assert text.yarn is not None
    tensors = {name: np.array(array) for name, array in published_tensors().items()}
    ids = random_ids(11)
    frequencies = yarn_frequencies(text.yarn, text.rope_theta, text.head_dim)
    wanted = slow_logits(tensors, ids, frequencies, yarn_attention_factor(text.yarn))
    decoder = network(config=config).language_model
    np.testing.assert_allclose(logits(decoder, ids), wanted, atol=2e-4)


# Memory


def test_later_tokens_change_nothing_before_them(decoder: GraniteDecoder) -> None:
    ids = random_ids(9)
    before = logits(decoder, ids)
    ids[5] += 1
    after = logits(decoder, ids)
    np.testing.assert_array_equal(after[:5], before[:5])
    assert (np.abs(after[5:] - before[5:]).max(-1) > 1e-4).all()


@pytest.mark.parametrize("chunks", [[1] * 12, [5, 7], [1, 11], [11, 1], [4, 1, 1, 6]])
def test_in_pieces_as_in_one_go(decoder: GraniteDecoder, chunks: list[int]) -> None:
    ids = random_ids(12)
    cache = DecoderCache(TEXT, mx.float32, 1, len(ids))
    parts = []
    for n in chunks:
        parts.append(fed(decoder, cache, [ids[cache.length : cache.length + n]])[0])
    assert cache.length == 12
    np.testing.assert_allclose(np.concatenate(parts), logits(decoder, ids), atol=1e-5)


@pytest.mark.parametrize(
    ("n_positions", "capacity"),
    [(1, CAPACITY_STEP), (CAPACITY_STEP - 1, CAPACITY_STEP), (CAPACITY_STEP, CAPACITY_STEP),
     (CAPACITY_STEP + 1, 2 * CAPACITY_STEP)],
)  # fmt: skip
def test_capacity_comes_in_steps(n_positions: int, capacity: int) -> None:
    cache = DecoderCache(TEXT, mx.float16, 3, n_positions)
    assert len(cache.layers) == TEXT.num_hidden_layers
    for layer in cache.layers:
        for buffer in (layer.keys, layer.values):
            assert buffer.shape == (3, TEXT.num_key_value_heads, capacity, TEXT.head_dim)
            assert buffer.dtype == mx.float16


@pytest.mark.parametrize("n_tokens", [CAPACITY_STEP - 1, CAPACITY_STEP, CAPACITY_STEP + 2])
def test_up_to_the_last_position_of_the_buffers(decoder: GraniteDecoder, n_tokens: int) -> None:
    ids = random_ids(n_tokens)
    wanted = logits(decoder, ids, n_positions=4 * CAPACITY_STEP)
    cache = DecoderCache(TEXT, mx.float32, 1, n_tokens)
    n_first = n_tokens - 4
    parts = [fed(decoder, cache, [ids[:n_first]])[0]]
    parts += [fed(decoder, cache, [[token]])[0] for token in ids[n_first:]]
    np.testing.assert_allclose(np.concatenate(parts), wanted, atol=2e-5)


def test_more_than_the_buffers_hold(decoder: GraniteDecoder) -> None:
    cache = DecoderCache(TEXT, mx.float32, 1, CAPACITY_STEP)
    fed(decoder, cache, [random_ids(CAPACITY_STEP)])
    with pytest.raises(ValueError, match=f"{CAPACITY_STEP} positions"):
        fed(decoder, cache, [[1]])


def test_one_row_needs_no_mask_of_its_own() -> None:
    cache = DecoderCache(TEXT, mx.float32, 1, 9)
    assert cache.mask(5) == "causal"
    assert cache.mask(1) is None


def test_mask_of_padded_rows() -> None:
    """Nobody sees padding or what comes later; a padding position sees itself, lest it be NaN."""
    cache = DecoderCache(TEXT, mx.float32, 2, 9, mx.array([2, 0]))
    first, second = np.array(cache.mask(4))[:, 0].astype(int).tolist()
    assert first == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert second == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    cache.length = 4
    assert np.array(cache.mask(1))[:, 0, 0].astype(int).tolist() == [[0, 0, 1, 1, 1], [1] * 5]


# Batches


def left_padded(
    decoder: GraniteDecoder, rows: Sequence[Sequence[int]]
) -> tuple[mx.array, mx.array]:
    longest = max(map(len, rows))
    padding = [longest - len(row) for row in rows]
    ids = [[0] * n + list(row) for n, row in zip(padding, rows, strict=True)]
    embedded = decoder.embed(mx.array(ids))
    is_padding = mx.arange(longest)[None] < mx.array(padding)[:, None]
    return mx.where(is_padding[..., None], 0.0, embedded).astype(embedded.dtype), mx.array(padding)


def test_rows_padded_on_the_left_get_what_they_get_alone(decoder: GraniteDecoder) -> None:
    rows = [random_ids(n, seed=n) for n in (1, 9, 30, 29)]
    steps = [random_ids(4, seed=5), random_ids(4, seed=6)]
    embedded, padding = left_padded(decoder, rows)
    cache = DecoderCache(TEXT, mx.float32, 4, 32, padding)
    prefill = np.array(decoder.logits(decoder(embedded, cache)))
    later = [fed(decoder, cache, [[token] for token in step])[:, -1] for step in steps]
    for index, row in enumerate(rows):
        wanted = logits(decoder, [*row, steps[0][index], steps[1][index]])
        np.testing.assert_allclose(prefill[index, -len(row) :], wanted[:-2], atol=1e-5)
        np.testing.assert_allclose(later[0][index], wanted[-2], atol=1e-5)
        np.testing.assert_allclose(later[1][index], wanted[-1], atol=1e-5)


def test_what_stands_in_the_padding_does_not_matter(decoder: GraniteDecoder) -> None:
    embedded, padding = left_padded(decoder, [random_ids(3), random_ids(9)])
    results = []
    for filling in (0.0, 40.0):
        is_padding = (mx.arange(9)[None] < padding[:, None])[..., None]
        cache = DecoderCache(TEXT, mx.float32, 2, 9, padding)
        hidden = decoder(mx.where(is_padding, filling, embedded), cache)
        results.append(np.array(decoder.logits(hidden))[:, -3:])
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision(decoder: GraniteDecoder, dtype: mx.Dtype) -> None:
    half = network(dtype).language_model
    rows = [random_ids(2, seed=3), random_ids(20, seed=4)]
    embedded, padding = left_padded(half, rows)
    cache = DecoderCache(TEXT, dtype, 2, 20, padding)
    hidden = half(embedded, cache)
    ours = half.logits(hidden)
    assert ours.dtype == dtype
    assert mx.all(mx.isfinite(hidden)).item()  # the padding's as well
    limit = {mx.float16: 1e-2, mx.bfloat16: 8e-2}[dtype]
    for index, row in enumerate(rows):
        wanted = logits(decoder, row)[-1]
        error = np.array(ours[index, -1].astype(mx.float32)) - wanted
        assert np.linalg.norm(error) < limit * np.linalg.norm(wanted)
