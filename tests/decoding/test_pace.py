"""How long drafts become; costs are counted in calls for one token, as the module has them."""

import random

import pytest

from granite_mlx.decoding.pace import (
    FIRST_DRAFT,
    LONGEST_DRAFT,
    LONGEST_PAUSE,
    PROBE,
    SWITCH_COST,
    TOKEN_COST,
    Pace,
)


def cost(n_tokens: int, right: float, seed: int = 0) -> float:
    """Of writing tokens whose drafts are each right with probability `right`."""
    rng = random.Random(seed)

    def n_right(n_drafted: int) -> int:
        return next((n for n in range(n_drafted) if rng.random() >= right), n_drafted)

    pace = Pace()
    accepted = n_right(FIRST_DRAFT)  # with the prompt, whose call is there anyway
    pace.verified(FIRST_DRAFT, accepted)
    spent, written = FIRST_DRAFT * TOKEN_COST, accepted + 1
    while written < n_tokens:
        length = pace.length()
        if length:
            accepted = n_right(length)
            pace.verified(length, accepted)
            spent += 1 + SWITCH_COST + TOKEN_COST * length
            written += accepted + 1
        else:
            assert pace.wait > 0
            for _ in range(min(pace.wait, n_tokens - written)):
                pace.emitted(1)
                spent += 1
                written += 1
    return spent


def mean_cost(n_tokens: int, right: float) -> float:
    return sum(cost(n_tokens, right, seed) for seed in range(50)) / 50


@pytest.mark.parametrize("n_tokens", [100, 200, 500])
def test_drafts_that_always_fail_cost_at_most_a_twentieth(n_tokens: int) -> None:
    assert cost(n_tokens, 0.0) <= 1.05 * n_tokens


@pytest.mark.parametrize(
    ("right", "gain"), [(1.0, 10), (0.95, 5), (0.9, 3.5), (0.8, 2), (0.5, 1.1)]
)
def test_drafts_that_are_right_pay(right: float, gain: float) -> None:
    assert mean_cost(200, right) <= 200 / gain


def test_it_begins_with_confidence() -> None:
    assert Pace().length() >= 16


def test_lengths_follow_what_was_right() -> None:
    pace = Pace()
    pace.verified(LONGEST_DRAFT, LONGEST_DRAFT)
    lengths = [pace.length()]
    for _ in range(8):
        pace.verified(8, 4)
        lengths.append(pace.length())
    assert lengths[0] == LONGEST_DRAFT
    assert 0 < lengths[-1] < LONGEST_DRAFT
    for _ in range(8):
        pace.verified(8, 8)
    assert pace.length() > lengths[-1]


def fail(pace: Pace) -> int:
    """Fail until there is a pause; its length."""
    while length := pace.length():
        pace.verified(length, 0)
    return pace.wait


def test_pauses_double_up_to_a_longest_one() -> None:
    pace = Pace()
    pauses = []
    for _ in range(6):
        pauses.append(fail(pace))
        pace.emitted(pauses[-1])
        assert pace.length() == PROBE
    assert pauses == [16, 32, 64, 128, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_draft_that_is_right_after_a_pause_is_trusted_again() -> None:
    pace = Pace()
    pace.emitted(fail(pace))
    assert pace.length() == PROBE
    pace.verified(PROBE, PROBE)
    assert pace.length() >= PROBE
    assert pace.wait == 0


def test_many_rows_make_each_token_dearer() -> None:
    lengths = [Pace().length(n_rows) for n_rows in (1, 8, 64)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[-1]
