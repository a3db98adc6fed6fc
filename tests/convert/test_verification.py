"""What is made of a comparison: sums, the record, and the verdict."""

import json
import math
from typing import Any

import pytest

from granite_mlx.convert.compare import Agreement, Difference
from granite_mlx.convert.recipes import ROOMS, Limits
from granite_mlx.convert.verification import Comparison, Verification, judge, room_of

TENTH = Difference(error=1.0, source=100.0, converted=101.0, product=100.0)
GOOD = Agreement(100, 95, 1.0)
LIMITS = Limits(
    max_kl_nats=0.05,
    min_top1=0.9,
    max_wer_points=1.0,
    max_relative_error=dict.fromkeys(ROOMS, 0.15),
)


def verification(
    *,
    outputs: Difference = TENTH,
    agreement: Agreement = GOOD,
    reference: str | None = "a b c",
    source_text: str = "a b c",
    converted_text: str = "A, b c!",
) -> Verification:
    comparison = Comparison(
        "x", 1.5, reference, source_text, converted_text, dict.fromkeys(ROOMS, outputs), agreement
    )
    weights = {"encoder.a.weight": TENTH, "language_model.b.weight": TENTH + TENTH}
    return Verification("float32", weights, (comparison,))


def test_a_good_one_has_nothing_to_say() -> None:
    assert list(judge(verification(), LIMITS)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"outputs": Difference(4.0, 100.0, 104.0, 100.0)},
            "what the encoder puts out is off by 20.0% of its size, and 15.0% are allowed.",
        ),
        (
            {"agreement": Agreement(100, 95, 6.0)},
            "the next token's distribution diverges by 0.0600 nats, and 0.05 are allowed.",
        ),
        (
            {"agreement": Agreement(100, 95, math.nan)},
            "the next token's distribution diverges by nan nats, and 0.05 are allowed.",
        ),
        (
            {"agreement": Agreement(100, 89, 1.0)},
            "the most probable token is the same at 89 of 100 positions (89.0%), and 90.0% are "
            "asked for.",
        ),
        (
            {"converted_text": "a"},
            "2 more of 3 words are wrong (a word error rate of 66.67 % instead of 0.00 %), and 1 "
            "points are allowed.",
        ),
    ],
)
def test_each_limit_has_its_sentence(change: dict[str, Any], sentence: str) -> None:
    assert next(judge(verification(**change), LIMITS)) == sentence


@pytest.mark.parametrize(
    "change",
    [
        {"outputs": Difference(4.0, 100.0, 104.0, 100.0)},
        {"agreement": Agreement(100, 0, 600.0)},
        {"converted_text": ""},
    ],
)
def test_nothing_is_judged_without_limits(change: dict[str, Any]) -> None:
    assert list(judge(verification(**change), None)) == []
    assert list(judge(verification(**change), Limits())) == []


def test_what_is_no_number_fails_without_limits() -> None:
    broken = verification(outputs=Difference(math.nan, 100.0, math.nan, math.nan))
    assert [sentence.split(" is ")[0] for sentence in judge(broken, None)] == [
        f"what the {room} puts out" for room in ROOMS
    ]


@pytest.mark.parametrize(
    ("n_words", "n_wrong", "fails"),
    [(3, 1, False), (3, 2, True), (200, 2, False), (200, 3, True), (500, 5, False), (500, 6, True)],
)
def test_one_word_more_is_allowed_and_a_share_of_many(
    n_words: int, n_wrong: int, fails: bool
) -> None:
    wanted = " ".join(["one"] * n_words)
    got = " ".join(["one"] * (n_words - n_wrong))
    found = verification(reference=wanted, source_text=wanted, converted_text=got)
    assert bool(list(judge(found, LIMITS))) == fails


@pytest.mark.parametrize(
    ("n_positions", "n_other", "fails"),
    [(5, 1, False), (5, 2, True), (40, 4, False), (40, 5, True)],
)
def test_one_other_token_is_allowed_and_a_share_of_many(
    n_positions: int, n_other: int, fails: bool
) -> None:
    found = verification(agreement=Agreement(n_positions, n_positions - n_other, 0.0))
    assert bool(list(judge(found, LIMITS))) == fails


def test_fewer_errors_than_the_source_are_no_offence() -> None:
    assert list(judge(verification(source_text="", converted_text="a b c"), LIMITS)) == []


def test_without_references_words_are_not_judged() -> None:
    found = verification(reference=None, converted_text="")
    assert list(judge(found, LIMITS)) == []
    assert found.to_record()["word_errors"] is None


def test_the_record() -> None:
    record = json.loads(json.dumps(verification(converted_text="a b d").to_record()))
    tenth = {"relative_error": 0.1, "cosine": 0.9950372}
    assert record == {
        "run": "whole",
        "computed_in": "float32",
        "n_recordings": 1,
        "audio_s": 1.5,
        "n_same_texts": 0,
        "n_tokens": 100,
        "mean_kl_nats": 0.01,
        "top1_agreement": 0.95,
        "word_errors": {"n_wanted": 3, "source_percent": 0.0, "converted_percent": 33.33333},
        "character_errors": {"n_wanted": 3, "source_percent": 0.0, "converted_percent": 33.33333},
        "outputs": dict.fromkeys(ROOMS, tenth),
        "weights": {
            "encoder": tenth,
            "projector": {"relative_error": 0.0, "cosine": 1.0},
            "decoder": tenth,
        },
        "recordings": [
            {
                "name": "x",
                "duration_s": 1.5,
                "has_reference": True,
                "n_tokens": 100,
                "mean_kl_nats": 0.01,
            },
        ],
        "tensors": [
            {"name": "encoder.a.weight", **tenth},
            {"name": "language_model.b.weight", **tenth},
        ],
    }


def test_rooms_of_tensors() -> None:
    assert room_of("language_model.lm_head.weight") == "decoder"
    assert room_of("encoder.out.bias") == "encoder"
