"""Bonuses of terms: which tokens get them, and that drafts and batches change nothing in it."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.decoding.batch import Question, answer, answers
from granite_mlx.decoding.boost import TermBoost, boosted
from granite_mlx.decoding.sampling import make_sampler
from granite_mlx.model.config import parse_config

from ..model.tiny import CONFIG, network

TEXT = parse_config(CONFIG).text


def encode(text: str) -> list[int]:
    """A token for each letter; one behind a space is another one."""
    ids: list[int] = []
    for place, letter in enumerate(text):
        if letter != " ":
            ids.append(ord(letter) + (200 if text[place - 1 : place] == " " else 0))
    return ids


def decode(ids: Sequence[int]) -> str:
    return "".join(chr(one) if one < 200 else f" {chr(one - 200)}" for one in ids)


def bonuses(boost: TermBoost, text: str) -> dict[str, float]:
    tokens, values = boost.after(encode(text))
    return {decode([token]): value for token, value in zip(tokens.tolist(), values, strict=True)}


def boost_of(*terms: tuple[str, float]) -> TermBoost:
    return TermBoost(terms, encode, decode)


def test_a_term_begins_behind_a_space_or_where_a_word_may_begin() -> None:
    boost = boost_of(("Ann", 2.0))
    assert bonuses(boost, "") == {" A": 2.0, "A": 2.0}
    assert bonuses(boost, "ask") == {" A": 2.0}
    assert bonuses(boost, "d'") == {" A": 2.0, "A": 2.0}


@pytest.mark.parametrize("before", ["", "ask ", "d'", "Ann Ann "])
def test_a_term_goes_on(before: str) -> None:
    boost = boost_of(("Ann", 2.0))
    assert bonuses(boost, f"{before}A") == {" A": 2.0, "n": 2.0}
    assert bonuses(boost, f"{before}An") == {" A": 2.0, "n": 2.0}
    assert bonuses(boost, f"{before}Ann") == {" A": 2.0}
    assert bonuses(boost, f"{before}Al") == {" A": 2.0}


def test_a_beginning_within_a_word_is_none() -> None:
    assert bonuses(boost_of(("nn", 2.0)), "ask an") == {" n": 2.0}


def test_of_several_terms_the_largest_bonus_counts() -> None:
    boost = boost_of(("Kathryn", 1.0), ("Kathy", 3.0), ("Karl", 0.5))
    assert bonuses(boost, "ask Ka") == {" K": 3.0, "t": 3.0, "r": 0.5}
    assert bonuses(boost, "ask Kath") == {" K": 3.0, "r": 1.0, "y": 3.0}


def test_a_longer_term_gets_no_more_than_the_whole_one_in_it() -> None:
    same = boost_of(("Ann", 2.0), ("Anne", 2.0))
    assert bonuses(same, "Ann") == {" A": 2.0}
    likelier = boost_of(("Ann", 1.0), ("Anne", 3.0))
    assert bonuses(likelier, "Ann") == {" A": 3.0, "e": 2.0}


def test_words_of_a_term() -> None:
    boost = boost_of(("New York", 2.0), ("York", 1.0))
    assert bonuses(boost, "in New") == {" N": 2.0, " Y": 2.0}
    assert bonuses(boost, "in") == {" N": 2.0, " Y": 1.0}


def test_without_terms_logits_stay() -> None:
    logits = mx.zeros((2, 1, 400))
    assert boosted(logits, [None, None], [[], []], [[], []]) is logits
    assert boosted(logits, [boost_of(), None], [[], []], [[], []]) is logits


def test_each_place_of_a_draft_has_its_own() -> None:
    logits = mx.zeros((2, 4, 400), dtype=mx.float16)
    ids, draft = encode("ask "), encode("ask An")[3:]
    got = np.array(boosted(logits, [None, boost_of(("Ann", 2.0))], [[], ids], [[5, 6, 7], draft]))
    assert not got[0].any()
    wanted = np.zeros((4, 400))
    wanted[:3, ord("A") + 200] = 2.0
    wanted[1:3, ord("n")] = 2.0
    assert np.array_equal(got[1], wanted)


class Guess:
    """A draft that is wrong at every third token."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = [5 if n % 3 == 2 else one for n, one in enumerate(ids)]

    def propose(self, emitted: Sequence[int], n_most: int) -> list[int]:
        return self.ids[len(emitted) :][:n_most]


class Ids:
    """A boost of token ids: terms are written as numbers."""

    def __new__(cls, *terms: tuple[str, float]) -> Any:
        return TermBoost(terms, lambda text: [*map(int, text.split())], lambda _: " ")


PROMPTS = [
    mx.array(np.random.default_rng(n).normal(0, 0.2, (5 + n, TEXT.hidden_size)).astype(np.float32))
    for n in range(4)
]
BOOSTS = [Ids(("7 11 13 7", 8.0), ("9", 1.0)), None, Ids(("3 4", 0.5)), Ids(("8 2 9 9 1 30", 6.0))]


def test_a_boost_is_written_and_drafts_and_neighbours_change_nothing() -> None:
    decoder = network().language_model
    budgets = [30, 9, 21, 40]
    asked = [
        Question(prompt, n, boost=boost, with_log_probs=True)
        for prompt, n, boost in zip(PROMPTS, budgets, BOOSTS, strict=True)
    ]
    alone = [answer(decoder, TEXT, one) for one in asked]
    unboosted = answer(decoder, TEXT, Question(PROMPTS[0], 30))
    assert alone[0].ids != unboosted.ids
    assert "7 11 13 7" in " ".join(map(str, alone[0].ids))
    drafted = [
        Question(one.prompt, one.budget, Guess(got.ids), boost=one.boost, with_log_probs=True)
        for one, got in zip(asked, alone, strict=True)
    ]
    for questions in (asked, drafted):
        for n_rows in (1, 3):
            found = dict(answers(decoder, TEXT, questions, n_rows))
            for number, one in enumerate(alone):
                assert found[number].ids == one.ids
                # What the decoder thought of them is without the bonus.
                assert np.allclose(found[number].log_probs, one.log_probs, atol=1e-4)
    assert min(alone[0].log_probs or ()) < -3


def test_sampled_tokens_have_bonuses_too() -> None:
    decoder = network().language_model
    boost = Ids(("7 11 13 7", 20.0))
    question = Question(PROMPTS[0], 20, sampler=make_sampler(0.5, 0.9, 3), boost=boost)
    assert set(answer(decoder, TEXT, question).ids) == {7, 11, 13}
