import random
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.evaluate.alignment import Step, aligned
from granite_mlx.evaluate.bootstrap import Resampling
from granite_mlx.evaluate.error_rates import edit_distance
from granite_mlx.evaluate.errors import EvaluationError
from granite_mlx.evaluate.normalising import tokens_with
from granite_mlx.evaluate.scoring import (
    KeywordScore,
    TextScore,
    holds_term,
    score_keywords,
    score_text,
)
from granite_mlx.evaluate.translations import Translated, grouped, metrics_for

words = st.lists(st.sampled_from("abc"), max_size=9)


@settings(deadline=None)
@given(words, words, st.sampled_from([1, 12, 4_000_000]))
def test_an_alignment_holds_both_texts_and_as_few_edits_as_can_be(
    wanted: list[str], got: list[str], largest_table: int
) -> None:
    steps = aligned(wanted, got, largest_table)
    assert [step.wanted for step in steps if step.wanted is not None] == wanted
    assert [step.got for step in steps if step.got is not None] == got
    assert sum(step.kind != "equal" for step in steps) == edit_distance(wanted, got)


def test_an_alignment_of_thousands_of_words_is_parted() -> None:
    drawn = random.Random(5)
    wanted = [drawn.choice("abcdefgh") for _ in range(3000)]
    got = [word for word in wanted if drawn.random() > 0.05]
    got[700:700] = ["new"] * 40
    steps = aligned(wanted, got)
    assert sum(step.kind != "equal" for step in steps) == edit_distance(wanted, got)


def test_kinds_of_differences() -> None:
    assert aligned("the cat sat".split(), "a cat sat down".split()) == [
        Step("substituted", "the", "a"),
        Step("equal", "cat", "cat"),
        Step("equal", "sat", "sat"),
        Step("inserted", None, "down"),
    ]
    assert score_text(["the", "cat", "sat"], ["a", "cat"]) == TextScore(3, 1, 1, 0, 9, 6)
    assert score_text([], ["thank", "you"]) == TextScore(0, 0, 0, 2, 0, 8)
    assert score_text([], []) == TextScore(0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Mr. Brown's colour isn't twenty-one.", "en", "mister brown is color is not 21"),
        ("um, I'm $5 short... okay", None, "i am $5 short okay"),
        ("The U.S. and the B.B.C. [laughter]", "en", "the us and the bbc"),
        ("'Cause it's kinda late.", "en", "cause it is kinda late"),  # as it is there
        ("L’été, C'EST fini !", "fr", "l été c est fini"),
        ("one hundred", "fr", "one hundred"),
        ("今日は、 良い", "ja", "今 日 は 良 い"),
        ("!?", "en", ""),
    ],
)
def test_the_leaderboards_normaliser(text: str, language: str | None, expected: str) -> None:
    assert tokens_with("whisper")(text, language) == expected.split()


def test_the_other_normalisers() -> None:
    assert tokens_with("basic")("It's 5, Mr. É!", "en") == ["it", "s", "5", "mr", "é"]
    assert tokens_with("none")(" It's  5, Mr.", "en") == ["It's", "5,", "Mr."]
    assert tokens_with("none")("今日 は", "zh") == ["今", "日", "は"]


def test_numbers_that_nobody_says_do_not_stop_the_normaliser() -> None:
    endless = "1" * 5000
    assert tokens_with("whisper")(f"It's {endless}!", "en") == ["it", "s", endless]
    drawn = random.Random(3)
    number_words = (
        "zero o one two ten twelve twenty thirties first twentieth hundred hundredth million "
        "double triple point and a half percent per cent dollars cents minus 5 5th 0.5 $3 £ % one's"
    ).split()
    tokens = tokens_with("whisper")
    for _ in range(3000):
        tokens(" ".join(drawn.choices(number_words, k=drawn.randint(1, 7))), "en")


def test_a_normaliser_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "whisper_normalizer.basic", None)
    with pytest.raises(EvaluationError, match=r"granite-mlx\[eval\]'"):
        tokens_with("basic")
    assert tokens_with("none")("a b", None) == ["a", "b"]


def test_terms_are_found_as_whole_words_in_any_case() -> None:
    assert holds_term("We met KATHRYN in new\nyork.", "Kathryn")
    assert holds_term("in New  York!", "new york")
    assert not holds_term("Kathryns", "Kathryn")
    assert holds_term("C++ and c#", "C++")
    score = score_keywords(["Eric", "Ada", "Bob", "Zoe"], "eric and Ada", "Eric met Zoe")
    assert score == KeywordScore(n_right=1, n_invented=1, n_missed=1)


def test_an_interval_holds_what_is_drawn() -> None:
    rng = np.random.default_rng(0)
    n_words = rng.integers(5, 30, size=400).astype(float)
    errors = rng.binomial(n_words.astype(int), 0.1).astype(float)
    interval = Resampling(500, seed=1).ratio(errors, n_words)
    assert interval.value == pytest.approx(100 * errors.sum() / n_words.sum())
    assert interval.low < interval.value < interval.high
    # The normal approximation of a ratio of sums.
    rate = errors.sum() / n_words.sum()
    deviation = 100 * np.sqrt(((errors - rate * n_words) ** 2).sum()) / n_words.sum()
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    assert interval == Resampling(500, seed=1).ratio(errors, n_words)
    assert interval != Resampling(500, seed=2).ratio(errors, n_words)


def test_a_ratio_is_the_statistic_of_its_sums_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    above, below = np.arange(10.0), np.full(10, 9.0)
    resampling = Resampling(50, seed=4)
    one = resampling.ratio(above, below)
    both = np.stack([above, below], axis=1)
    other = resampling.statistic(both, lambda total: float(100 * total[0] / total[1]))
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))
    monkeypatch.setattr("granite_mlx.evaluate.bootstrap.LARGEST_BLOCK", 30)
    assert resampling.ratio(above, below) == one


def test_nothing_that_was_wanted_has_no_rate() -> None:
    empty = Resampling().ratio(np.array([]), np.array([]))
    assert np.isnan([empty.value, empty.low, empty.high]).all()
    none = Resampling().ratio(np.array([2.0]), np.array([0.0]))
    assert np.isnan([none.value, none.low, none.high]).all()
    one = Resampling().ratio(np.array([2.0, 1.0]), np.array([0.0, 4.0]))
    assert one.value == 75


def test_the_paired_difference_is_narrower_than_two_figures_apart() -> None:
    rng = np.random.default_rng(7)
    n_words = np.full(200, 10.0)
    theirs = rng.binomial(10, rng.uniform(0, 0.6, size=200)).astype(float)
    ours = theirs - (rng.random(200) < 0.1) * (theirs > 0)
    resampling = Resampling(400)
    difference = resampling.difference(ours, theirs, n_words)
    assert difference.value == pytest.approx(100 * (ours - theirs).sum() / 2000)
    assert difference.low < difference.high < 0
    alone = resampling.ratio(ours, n_words)
    assert difference.high - difference.low < (alone.high - alone.low) / 2


@pytest.mark.parametrize("language", ["en", "fr", "zh", "ja"])
def test_translations_are_scored_as_sacrebleu_scores_a_corpus(language: str) -> None:
    from sacrebleu.metrics import BLEU, CHRF

    wanted = ("the cat sat on the mat today", "今日は 良い 天気 です ね", "a b c d e")
    got = ("the cat sat on a mat today", "今日は 良い 天気 です", "")
    texts = Translated(language, wanted, got)
    expected: dict[str, Any] = {
        "bleu": BLEU(tokenize={"zh": "zh", "ja": "char"}.get(language, "13a")),
        "chrf": CHRF(),
    }
    for name, metric in metrics_for(language).items():
        interval = metric.interval(texts, Resampling(50))
        corpus = expected[name].corpus_score(list(got), [list(wanted)])
        assert interval.value == pytest.approx(corpus.score)
        assert interval.low <= interval.value <= interval.high
        assert metric.signature == str(expected[name].get_signature())


def test_translations_are_scored_by_language() -> None:
    texts = grouped(["fr", "en", "fr"], ["a", "b", "c"], ["d", "e", "f"])
    assert texts == [Translated("fr", ("a", "c"), ("d", "f")), Translated("en", ("b",), ("e",))]
