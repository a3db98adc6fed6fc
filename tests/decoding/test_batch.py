"""Rows with drafts, right and wrong ones: each gets what plain greedy decoding gives it alone."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from granite_mlx.decoding.batch import Question, answer, answers
from granite_mlx.decoding.generate import Generated, generate
from granite_mlx.decoding.sampling import greedy, make_sampler
from granite_mlx.decoding.verification import likely
from granite_mlx.model.cache import DecoderCache
from granite_mlx.model.config import parse_config
from granite_mlx.model.decoder import GraniteDecoder

from ..model.tiny import CONFIG, changed, network

TEXT = parse_config(CONFIG).text
LENGTHS = (9, 1, 40, 14, 23, 9)

Alone = Callable[[int, int], Generated]


class Counted:
    """A decoder whose calls are counted."""

    def __init__(self, decoder: GraniteDecoder) -> None:
        self._decoder, self.n_calls = decoder, 0

    def __call__(self, *arguments: Any) -> mx.array:
        self.n_calls += 1
        return self._decoder(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)


class Guess:
    """A draft that knows the answer, but for every `wrong_each`th token of it."""

    def __init__(self, ids: Sequence[int], wrong_each: int = 0) -> None:
        self.ids = [
            5 if wrong_each and n % wrong_each == wrong_each - 1 else i for n, i in enumerate(ids)
        ]

    def propose(self, emitted: Sequence[int], n_most: int) -> list[int]:
        return self.ids[len(emitted) :][:n_most]


@pytest.fixture(scope="module")
def plain() -> GraniteDecoder:
    return network().language_model


@pytest.fixture
def decoder(plain: GraniteDecoder) -> Any:
    return Counted(plain)


def prompt(n_tokens: int, seed: int = 0) -> mx.array:
    rng = np.random.default_rng(seed)
    return mx.array(rng.normal(0, 0.2, (n_tokens, TEXT.hidden_size)).astype(np.float32))


PROMPTS = [prompt(n, seed=seed) for seed, n in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def alone(plain: GraniteDecoder) -> Alone:
    """What plain greedy decoding makes of the n-th prompt, in so many tokens at most."""

    @cache
    def alone(n: int, n_tokens: int) -> Generated:
        return generate(plain, TEXT, [PROMPTS[n]], greedy, n_tokens)[0]

    return alone


@pytest.mark.parametrize("n_tokens", [1, 2, 15, 40])
def test_without_drafts(alone: Alone, decoder: Any, n_tokens: int) -> None:
    wanted = alone(0, n_tokens)
    assert answer(decoder, TEXT, Question(PROMPTS[0], n_tokens)) == wanted
    assert len(wanted.ids) == n_tokens == decoder.n_calls  # no token is computed in vain


def test_a_right_draft_needs_few_calls(alone: Alone, decoder: Any) -> None:
    wanted = alone(0, 60)
    question = Question(PROMPTS[0], 60, Guess(wanted.ids), first_draft=59)
    assert answer(decoder, TEXT, question) == wanted
    assert decoder.n_calls == 1
    assert answer(decoder, TEXT, Question(PROMPTS[0], 60, Guess(wanted.ids))) == wanted
    assert decoder.n_calls <= 3


@pytest.mark.parametrize("wrong_each", [1, 2, 3, 5, 10])
def test_wrong_drafts_change_nothing(alone: Alone, decoder: Any, wrong_each: int) -> None:
    for number, one in enumerate(PROMPTS[:3]):
        wanted = alone(number, 60)
        assert 5 not in wanted.ids
        decoder.n_calls = 0
        assert answer(decoder, TEXT, Question(one, 60, Guess(wanted.ids, wrong_each))) == wanted
        assert decoder.n_calls <= 60
        if wrong_each >= 5:
            assert decoder.n_calls <= 2 * 60 // wrong_each


@pytest.mark.parametrize("n_rows", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", ["none", "right", "wrong", "mixed"])
def test_rows_of_a_batch_get_what_they_get_alone(
    alone: Alone, decoder: Any, n_rows: int, kind: str
) -> None:
    budgets = [20, 3, 31, 1, 12, 40]
    wanted = [alone(number, n) for number, n in enumerate(budgets)]
    drafts: list[Any] = [
        {"none": {}, "right": {"draft": Guess(w.ids)}, "wrong": {"draft": Guess(w.ids, 1)},
         "mixed": {"draft": Guess(w.ids, n + 1)} if n % 2 else {}}[kind]
        for n, w in enumerate(wanted)
    ]  # fmt: skip
    questions = [
        Question(one, n, **draft) for one, n, draft in zip(PROMPTS, budgets, drafts, strict=True)
    ]
    got = dict(answers(decoder, TEXT, iter(questions), n_rows))
    assert [got[n] for n in range(len(questions))] == wanted
    assert len({w.ids for w in wanted}) == len(wanted)


def test_a_batch_needs_fewer_calls(decoder: Any) -> None:
    questions = [Question(one, 20) for one in PROMPTS]
    list(answers(decoder, TEXT, questions, len(questions)))
    assert decoder.n_calls == 20


@pytest.mark.parametrize("with_drafts", [False, True])
def test_ends_are_found_wherever_they_are(
    plain: GraniteDecoder, alone: Alone, with_drafts: bool
) -> None:
    """In a draft, behind it, and with rows that go on."""
    answered = [alone(number, 30) for number in range(len(PROMPTS))]
    end = answered[0].ids[7]
    text = parse_config(changed("text_config.eos_token_id", end)).text
    wanted = [generate(plain, text, [one], greedy, 30)[0] for one in PROMPTS]
    assert any(w.finished for w in wanted)
    questions = [
        Question(one, 30, Guess(a.ids)) if with_drafts else Question(one, 30)
        for one, a in zip(PROMPTS, answered, strict=True)
    ]
    for n_rows in (1, 3):
        got = dict(answers(plain, text, questions, n_rows))
        assert [got[n] for n in range(len(questions))] == wanted


def test_questions_are_taken_when_there_is_room(plain: GraniteDecoder) -> None:
    taken = 0

    def questions() -> Any:
        nonlocal taken
        for one in PROMPTS:
            taken += 1
            yield Question(one, 3)

    rows = answers(plain, TEXT, questions(), 2)
    next(rows)
    assert taken == 2
    assert len(list(rows)) == len(PROMPTS) - 1


def test_sampled_rows_are_those_of_the_seed(plain: GraniteDecoder) -> None:
    wanted = [
        generate(plain, TEXT, [one], make_sampler(3.0, 0.95, 7), 12)[0] for one in PROMPTS[:3]
    ]
    questions = [Question(one, 12, sampler=make_sampler(3.0, 0.95, 7)) for one in PROMPTS[:3]]
    got = dict(answers(plain, TEXT, questions, 3))
    assert [got[n] for n in range(3)] == wanted


def test_a_first_rule_lets_likely_tokens_stand(plain: GraniteDecoder, alone: Alone) -> None:
    wanted = alone(0, 20)
    draft = Guess(wanted.ids, 4)  # its fourth token is wrong
    all_of_it = Question(PROMPTS[0], 20, draft, 8, likely(1e-30))
    got = answer(plain, TEXT, all_of_it)
    assert list(got.ids[:8]) == draft.ids[:8]
    assert got.ids[8:] != wanted.ids[8:]
    nothing_but_the_decoder = Question(PROMPTS[0], 20, draft, 8, likely(1.1))
    assert answer(plain, TEXT, nothing_but_the_decoder) == wanted


def test_it_tells_how_far_it_is_and_can_be_stopped(plain: GraniteDecoder) -> None:
    steps: list[int] = []
    answer(plain, TEXT, Question(PROMPTS[0], 5, on_tokens=steps.append))
    assert steps == [1, 2, 3, 4, 5]

    def stop(n_tokens: int) -> None:
        if n_tokens == 3:
            raise KeyError(n_tokens)

    with pytest.raises(KeyError):
        answer(plain, TEXT, Question(PROMPTS[0], 50, on_tokens=stop))


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision(dtype: mx.Dtype) -> None:
    half = network(dtype).language_model
    questions = [Question(one.astype(dtype), 5) for one in PROMPTS[:3]]
    got = dict(answers(half, TEXT, questions, 3))
    assert [len(got[n].ids) for n in range(3)] == [5, 5, 5]
    assert set(got[0].ids) != {0}  # argmax of NaN


def test_no_questions(plain: GraniteDecoder) -> None:
    assert list(answers(plain, TEXT, [], 4)) == []


@pytest.mark.parametrize("wrong_each", [0, 4])
def test_log_probs_are_those_of_the_whole_answer_at_once(
    decoder: Counted, plain: GraniteDecoder, alone: Alone, wrong_each: int
) -> None:
    wanted = [alone(number, 30).ids for number in range(len(PROMPTS))]
    questions = [
        Question(one, 30, Guess(ids, wrong_each), with_log_probs=n % 2 == 0)
        for n, (one, ids) in enumerate(zip(PROMPTS, wanted, strict=True))
    ]
    for n, generated in answers(decoder, TEXT, questions, 3):
        assert generated.ids == wanted[n]
        if n % 2:
            assert generated.log_probs is None
            continue
        assert generated.log_probs is not None
        assert generated.log_probs == pytest.approx(
            _log_probs(plain, PROMPTS[n], generated.ids), abs=1e-4
        )


def _log_probs(decoder: GraniteDecoder, prompt: mx.array, ids: Sequence[int]) -> list[float]:
    """By feeding prompt and answer together."""
    fed = mx.concatenate([prompt, decoder.embed(mx.array(ids))])
    cache = DecoderCache(TEXT, fed.dtype, 1, len(fed), None)
    hidden = decoder(fed[None], cache)[0, len(prompt) - 1 : -1]
    log_probs = nn.log_softmax(decoder.logits(hidden), axis=-1)
    return [float(log_probs[place, token]) for place, token in enumerate(ids)]


class EarlyWatch:
    """Takes the first six tokens of any answer for a loop of which four stay."""

    def __init__(self, said: Any) -> None:
        self.n_kept: int | None = None

    def grown(self, ids: Sequence[int]) -> None:
        if len(ids) == 6:
            self.n_kept = 4

    def ran_out(self, ids: Sequence[int]) -> None: ...


@pytest.mark.parametrize("with_drafts", [False, True])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 8])
def test_a_row_that_loops_is_asked_otherwise(
    plain: GraniteDecoder,
    monkeypatch: pytest.MonkeyPatch,
    n_rows: int,
    with_drafts: bool,
    alone: Alone,
) -> None:
    monkeypatch.setattr("granite_mlx.decoding.batch.LoopWatch", EarlyWatch)
    wanted = [alone(n, 20) for n in range(len(PROMPTS))]
    most = 0

    class Wide(Counted):
        def __call__(self, embeddings: mx.array, cache: Any) -> mx.array:
            nonlocal most
            most = max(most, embeddings.shape[0] if embeddings.shape[1] == 1 else 0)
            return super().__call__(embeddings, cache)

    drafts: list[Any] = [{"draft": Guess(w.ids, 3)} if with_drafts else {} for w in wanted]
    again = [partial(Question, one, 20, way="without_drafts") for one in PROMPTS]
    questions = [
        Question(one, 20, said=len, otherwise=other, **draft) if n % 2 else Question(one, 20)
        for n, (one, other, draft) in enumerate(zip(PROMPTS, again, drafts, strict=True))
    ]
    got = dict(answers(Wide(plain), TEXT, questions, n_rows))
    assert [got[n].ids for n in range(len(PROMPTS))] == [w.ids for w in wanted]
    assert [got[n].way for n in range(len(PROMPTS))] == ["asked", "without_drafts"] * 3
    assert most <= n_rows


def test_a_loop_that_is_not_asked_again_ends_there(
    plain: GraniteDecoder, monkeypatch: pytest.MonkeyPatch, alone: Alone
) -> None:
    monkeypatch.setattr("granite_mlx.decoding.batch.LoopWatch", EarlyWatch)
    wanted = alone(0, 20)
    got = answer(plain, TEXT, Question(PROMPTS[0], 20, said=len, with_log_probs=True))
    assert (got.ids, got.finished, got.looped) == (wanted.ids[:4], False, True)
    assert got.log_probs is not None
    assert len(got.log_probs) == 4


@pytest.mark.parametrize("n_rows", [1, 2, 8])
def test_an_answer_that_has_ended_may_be_asked_otherwise(
    plain: GraniteDecoder, alone: Alone, n_rows: int
) -> None:
    end = alone(1, 20).ids[7]
    text = parse_config(changed("text_config.eos_token_id", end)).text
    wanted = [generate(plain, text, [one], greedy, 20)[0] for one in PROMPTS]
    judged: dict[int, tuple[int, ...]] = {}

    def judge(n: int, ids: Sequence[int]) -> Question | None:
        judged[n] = tuple(ids)
        other = PROMPTS[(n + 1) % len(PROMPTS)]
        return Question(other, 20, way="without_keywords") if n % 2 else None

    ended = {n for n, one in enumerate(wanted) if one.finished}
    questions = [Question(one, 20, instead=partial(judge, n)) for n, one in enumerate(PROMPTS)]
    got = dict(answers(plain, text, questions, n_rows))
    assert judged == {n: wanted[n].ids for n in ended}  # not what was cut off
    for n, one in got.items():
        if n in ended and n % 2:
            assert one.ids == wanted[(n + 1) % len(PROMPTS)].ids
            assert one.way == "without_keywords"
            assert one.before == wanted[n]
        else:
            assert one == wanted[n]
    assert any(n % 2 for n in ended)
