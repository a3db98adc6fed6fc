"""Rows of different length in one cache: each gets what it would get alone."""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.model.cache import CAPACITY_STEP, DecoderCache
from granite_mlx.model.config import parse_config
from granite_mlx.model.decoder import GraniteDecoder
from granite_mlx.model.row_cache import RowCache

from .tiny import CONFIG, network

TEXT = parse_config(CONFIG).text


@pytest.fixture(scope="module")
def decoder() -> GraniteDecoder:
    return network().language_model


def random_ids(n_tokens: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(3, 300, n_tokens).tolist()


def alone(decoder: GraniteDecoder, ids: Sequence[int]) -> np.ndarray:
    """Logits (n, vocab) of a row by itself, in the plain cache and at once."""
    cache = DecoderCache(TEXT, mx.float32, 1, len(ids))
    return np.array(decoder.logits(decoder(decoder.embed(mx.array([list(ids)])), cache))[0])


def feed(decoder: GraniteDecoder, cache: RowCache, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Logits (B, longest, vocab) of rows that are filled up; the cache keeps what is no filling."""
    longest, before = max(map(len, rows)), cache.lengths
    block = mx.array([[*row, *[7] * (longest - len(row))] for row in rows])
    logits = np.array(decoder.logits(decoder(decoder.embed(block), cache)))
    cache.keep([n + len(row) for n, row in zip(before, rows, strict=True)])
    return logits


def cache_of(n_slots: int, n_rows: int, n_positions: int = 100) -> RowCache:
    cache = RowCache(TEXT, mx.float32, n_slots, n_positions)
    cache.add(n_rows)
    return cache


LENGTHS = (1, 9, 30, 29)


def test_ragged_rows_get_what_they_get_alone(decoder: GraniteDecoder) -> None:
    cache = cache_of(4, 4)
    rows = [random_ids(n, seed=n) for n in LENGTHS]
    first = feed(decoder, cache, rows)
    got = [[*first[n, : len(row)]] for n, row in enumerate(rows)]
    for seed, sizes in enumerate([(3, 1, 2, 5), (1, 1, 1, 1), (2, 7, 1, 1)], start=50):
        news = [random_ids(size, seed=seed * 10 + n) for n, size in enumerate(sizes)]
        logits = feed(decoder, cache, news)
        for n, new in enumerate(news):
            got[n] += [*logits[n, : len(new)]]
            rows[n] = rows[n] + new
    for logits_of_row, row in zip(got, rows, strict=True):
        np.testing.assert_allclose(logits_of_row, alone(decoder, row), atol=1e-5)
    assert cache.lengths == tuple(map(len, rows))


def test_one_row_is_a_plain_cache(decoder: GraniteDecoder) -> None:
    cache, ids = cache_of(1, 1), random_ids(20)
    got = [feed(decoder, cache, [part])[0] for part in (ids[:12], ids[12:13], ids[13:])]
    np.testing.assert_allclose(np.concatenate(got), alone(decoder, ids), atol=1e-5)
    assert cache.mask(1) is None
    assert cache.mask(3) == "causal"
    assert cache.rope_offset == 20


def test_tokens_are_taken_back_row_by_row(decoder: GraniteDecoder) -> None:
    cache = cache_of(3, 3)
    rows = [random_ids(n, seed=n) for n in (10, 12, 8)]
    feed(decoder, cache, rows)
    feed(decoder, cache, [random_ids(6, seed=n) for n in (1, 2, 3)])  # to be forgotten, in part
    cache.keep([10 + 2, 12, 8 + 6])
    whole = [rows[0] + random_ids(6, seed=1)[:2], rows[1], rows[2] + random_ids(6, seed=3)]
    news = [random_ids(n, seed=90 + n) for n in (2, 1, 4)]
    logits = feed(decoder, cache, news)
    for n, new in enumerate(news):
        wanted = alone(decoder, whole[n] + new)[-len(new) :]
        np.testing.assert_allclose(logits[n, : len(new)], wanted, atol=1e-5)


@pytest.mark.parametrize("leaving", [0, 1, 2])
def test_a_row_leaves_and_another_joins(decoder: GraniteDecoder, leaving: int) -> None:
    cache = cache_of(3, 3)
    rows = [random_ids(n, seed=n) for n in (5, 17, 11)]
    feed(decoder, cache, rows)
    cache.remove(leaving)
    rows[leaving] = rows[-1]
    rows.pop()
    joining = cache_of(1, 1)
    rows.append(random_ids(23, seed=8))
    feed(decoder, joining, rows[-1:])
    cache.take(joining)
    assert cache.lengths == tuple(map(len, rows))
    news = [[40 + n] for n in range(3)]
    logits = feed(decoder, cache, news)
    for n, new in enumerate(news):
        np.testing.assert_allclose(logits[n, 0], alone(decoder, rows[n] + new)[-1], atol=1e-5)


def test_rows_across_the_end_of_the_buffers(decoder: GraniteDecoder) -> None:
    cache = cache_of(2, 2, n_positions=10)
    rows = [random_ids(CAPACITY_STEP - 2, seed=1), random_ids(4, seed=2)]
    feed(decoder, cache, rows)
    with pytest.raises(ValueError, match=f"{CAPACITY_STEP} positions"):
        feed(decoder, cache, [[1, 2, 3], [1]])
    cache.grow(CAPACITY_STEP + 20)
    assert cache.capacity == 2 * CAPACITY_STEP
    logits = feed(decoder, cache, [[1, 2, 3], [1]])
    wanted = alone(decoder, [*rows[0], 1, 2, 3])[-3:]
    np.testing.assert_allclose(logits[0], wanted, atol=1e-5)


def test_what_cannot_be_done() -> None:
    cache = cache_of(2, 2)
    with pytest.raises(ValueError, match="2 rows"):
        cache.add()
    with pytest.raises(ValueError, match="row 1 has 0 tokens and cannot keep 1"):
        cache.keep([0, 1])
    with pytest.raises(ValueError, match="2 rows are in use, and 1 were given"):
        cache.update(cache.layers[0], *[mx.zeros((1, 2, 1, 6))] * 2)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision(dtype: mx.Dtype) -> None:
    half = network(dtype).language_model
    cache = RowCache(TEXT, dtype, 2, 40)
    cache.add(2)
    block = half.embed(mx.array([random_ids(9), random_ids(9, seed=1)]))
    half(block, cache)
    cache.keep([3, 9])
    hidden = half(block[:, :2], cache)
    assert hidden.dtype == dtype
    assert mx.all(mx.isfinite(hidden)).item()


def test_room_for_more_rows_than_was_thought(decoder: GraniteDecoder) -> None:
    cache = cache_of(1, 1)
    rows = [random_ids(n, seed=n) for n in (10, 14)]
    got = [[*feed(decoder, cache, rows[:1])[0]], []]
    cache.widen(1)
    assert cache.n_slots == 1
    cache.widen(3)
    assert cache.n_slots == 3
    joining = cache_of(1, 1)
    got[1] += [*feed(decoder, joining, rows[1:])[0]]
    cache.take(joining)
    news = [random_ids(4, seed=n) for n in (70, 71)]
    logits = feed(decoder, cache, news)
    for row, new, of_row, more in zip(rows, news, got, logits, strict=True):
        np.testing.assert_allclose([*of_row, *more], alone(decoder, row + new), atol=1e-5)
    cache.widen(2)
    assert cache.n_slots == 3
    cache.add()
    with pytest.raises(ValueError, match="all are in use"):
        cache.add()
