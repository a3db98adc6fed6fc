from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.decoding.generate import generate, pad_left
from granite_mlx.decoding.sampling import greedy, make_sampler
from granite_mlx.model.cache import CAPACITY_STEP, DecoderCache
from granite_mlx.model.config import parse_config
from granite_mlx.model.decoder import GraniteDecoder

from ..model.tiny import CONFIG, changed, network

TEXT = parse_config(CONFIG).text
END = TEXT.eos_token_id


@pytest.fixture(scope="module")
def decoder() -> GraniteDecoder:
    return network().language_model


def prompt(n_tokens: int, seed: int = 0) -> mx.array:
    """An embedded prompt (n_tokens, H) that holds more than embeddings of tokens."""
    rng = np.random.default_rng(seed)
    return mx.array(rng.normal(0, 0.2, (n_tokens, TEXT.hidden_size)).astype(np.float32))


class Script:
    """A sampler that gives what is written down, whatever the logits; one row of ids a step."""

    def __init__(self, *steps: Sequence[int]) -> None:
        self.steps = list(steps)
        self.n_calls = 0

    def __call__(self, logits: mx.array) -> mx.array:
        assert logits.shape == (len(self.steps[0]), TEXT.vocab_size)
        step = self.steps[min(self.n_calls, len(self.steps) - 1)]
        self.n_calls += 1
        return mx.array(step)


def slow_greedy(decoder: GraniteDecoder, embedded: mx.array, n_tokens: int) -> list[int]:
    """Greedy tokens with the whole sequence computed anew for each of them."""
    sequence, ids = embedded, []
    for _ in range(n_tokens):
        cache = DecoderCache(TEXT, mx.float32, 1, len(sequence))
        logits = decoder.logits(decoder(sequence[None], cache))[0, -1]
        ids.append(int(mx.argmax(logits).item()))
        if ids[-1] == END:
            return ids[:-1]
        sequence = mx.concatenate([sequence, decoder.embed(mx.array(ids[-1:]))])
    return ids


# What is generated


@pytest.mark.parametrize("n_tokens", [1, 2, 15])
def test_greedy_tokens(decoder: GraniteDecoder, n_tokens: int) -> None:
    wanted = slow_greedy(decoder, prompt(9), n_tokens)
    (answer,) = generate(decoder, TEXT, [prompt(9)], greedy, n_tokens)
    assert list(answer.ids) == wanted
    assert n_tokens < 15 or len(set(wanted)) > 3  # else a decoder stuck on one token would pass


def test_rows_of_a_batch_get_what_they_get_alone(decoder: GraniteDecoder) -> None:
    prompts = [prompt(n, seed=n) for n in (1, 14, 40, 13)]
    batch = generate(decoder, TEXT, prompts, greedy, 15)
    assert batch == [generate(decoder, TEXT, [p], greedy, 15)[0] for p in prompts]
    assert len({answer.ids for answer in batch}) > 1


@pytest.mark.parametrize("n_prompt", [CAPACITY_STEP - 5, CAPACITY_STEP - 4, CAPACITY_STEP - 3])
def test_across_a_border_of_the_cache(decoder: GraniteDecoder, n_prompt: int) -> None:
    (answer,) = generate(decoder, TEXT, [prompt(n_prompt)], greedy, 4)
    assert list(answer.ids) == slow_greedy(decoder, prompt(n_prompt), 4)


def test_a_seed_repeats_itself(decoder: GraniteDecoder) -> None:
    answers = [
        generate(decoder, TEXT, [prompt(9)], make_sampler(3.0, 0.95, seed), 20)[0].ids
        for seed in (1, 1, 2)
    ]
    assert answers[0] == answers[1] != answers[2]


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision(dtype: mx.Dtype) -> None:
    half = network(dtype).language_model
    prompts = [prompt(2).astype(dtype), prompt(30).astype(dtype)]
    answers = generate(half, TEXT, prompts, greedy, 5)
    assert [len(answer.ids) for answer in answers] == [5, 5]
    assert set(answers[0].ids) != {0}  # argmax of NaN


# When it ends


@pytest.mark.parametrize("budget", [1, 2, 3, 7])
def test_the_budget(decoder: GraniteDecoder, budget: int) -> None:
    script, steps = Script([5]), []
    (answer,) = generate(decoder, TEXT, [prompt(3)], script, budget, steps.append)
    assert answer.ids == (5,) * budget
    assert not answer.finished
    assert steps == list(range(1, budget + 1))
    assert script.n_calls == budget  # no token is computed that nobody may have


@pytest.mark.parametrize("budget", [1, 2, 9])
def test_an_end_at_once(decoder: GraniteDecoder, budget: int) -> None:
    steps: list[int] = []
    (answer,) = generate(decoder, TEXT, [prompt(3)], Script([END]), budget, steps.append)
    assert answer.ids == ()
    assert answer.finished
    assert steps == [1]


def test_the_end_token_is_left_out(decoder: GraniteDecoder) -> None:
    script, steps = Script([5], [6], [END], [7]), []
    (answer,) = generate(decoder, TEXT, [prompt(3)], script, 10, steps.append)
    assert answer.ids == (5, 6)
    assert answer.finished
    assert steps == [1, 2, 3]


def test_an_end_with_the_last_token_of_the_budget(decoder: GraniteDecoder) -> None:
    (answer,) = generate(decoder, TEXT, [prompt(3)], Script([5], [END]), 2)
    assert answer.ids == (5,)
    assert answer.finished


def test_rows_end_one_by_one(decoder: GraniteDecoder) -> None:
    script = Script([5, END, 7], [END, 6, 8], [9, 9, 9], [END, END, END], [1, 1, 1])
    steps: list[int] = []
    prompts = [prompt(n) for n in (3, 4, 2)]
    answers = generate(decoder, TEXT, prompts, script, 10, steps.append)
    assert [answer.ids for answer in answers] == [(5,), (), (7, 8, 9)]
    assert all(answer.finished for answer in answers)
    assert steps == [1, 2, 3, 4]


def test_rows_that_do_not_end_are_told_apart(decoder: GraniteDecoder) -> None:
    answers = generate(decoder, TEXT, [prompt(3), prompt(3)], Script([5, END], [5, 5]), 3)
    assert [(answer.ids, answer.finished) for answer in answers] == [((5, 5, 5), False), ((), True)]


def test_the_end_token_is_the_configuration_s(decoder: GraniteDecoder) -> None:
    text = parse_config(changed("text_config.eos_token_id", 6)).text
    (answer,) = generate(decoder, text, [prompt(3)], Script([0], [6], [5]), 10)
    assert answer.ids == (0,)


def test_a_raising_callback_ends_it(decoder: GraniteDecoder) -> None:
    def on_step(n_tokens: int) -> None:
        if n_tokens == 3:
            raise KeyError(n_tokens)

    script = Script([5])
    with pytest.raises(KeyError):
        generate(decoder, TEXT, [prompt(3)], script, 50, on_step)
    assert script.n_calls <= 4  # one may be on its way
    wanted = slow_greedy(decoder, prompt(3), 4)
    assert list(generate(decoder, TEXT, [prompt(3)], greedy, 4)[0].ids) == wanted


# Padding


def test_equal_lengths_need_no_padding() -> None:
    batch, padding = pad_left([prompt(4), prompt(4, seed=1)])
    assert batch.shape == (2, 4, TEXT.hidden_size)
    assert padding is None


def test_padding_is_on_the_left() -> None:
    prompts = [prompt(1), prompt(4), prompt(3)]
    batch, padding = pad_left(prompts)
    assert padding is not None
    assert padding.tolist() == [3, 0, 1]
    for row, n, values in zip(batch, padding.tolist(), prompts, strict=True):
        assert mx.array_equal(row[n:], values).item()
        assert not mx.any(row[:n]).item()
