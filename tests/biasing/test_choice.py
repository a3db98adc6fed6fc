"""Which terms of a list are chosen for what the head hears."""

from pathlib import Path

import numpy as np
import pytest

from granite_mlx import CheckpointError
from granite_mlx.biasing.choice import index_of
from granite_mlx.biasing.prompting import (
    TERMS_PER_PROMPT,
    Choice,
    chooser,
    largest,
    read_terms_per_prompt,
    unsearchable,
)
from granite_mlx.biasing.readings import readings_of
from granite_mlx.decoding.prompts import Task

RNG = np.random.default_rng(7)
NOBODY = tuple(
    dict.fromkeys("".join(RNG.choice(list("bdfgklmnoprstuvz"), 8)).capitalize() for _ in range(800))
)


def heard(text: str, unsure: str = "") -> np.ndarray:
    """(T, 348) logits of a head that hears a text; `unsure` are its second choices."""
    logits = np.zeros((2 * len(text) + 1, 348), np.float32)
    logits[:, 0] = 5.0
    for place, letter in enumerate(text):
        logits[2 * place + 1, ord(letter)] = 10.0
        if unsure and unsure[place] != letter:
            logits[2 * place + 1, ord(unsure[place])] = 9.5
    return logits


def chosen(terms: tuple[str, ...], text: str, n_most: int = 10, unsure: str = "") -> set[str]:
    return set(index_of((*terms, *NOBODY), ()).choose(heard(text, unsure), n_most)) & set(terms)


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("Kathryn", "according to catherine it is dark"),
        ("Zackary", "give the book to zachary now"),
        ("Frédérique", "at nine o'clock fredereck lost it"),
        ("Müller", "ask herr mueller"),
        ("New York", "in newyork today"),
        ("Kubernetes", "we use cubernetis"),
        ("Ann", "give it to anne"),
    ],
)
def test_what_is_said_is_chosen(term: str, text: str) -> None:
    assert chosen((term,), text) == {term}


@pytest.mark.parametrize("term", ["Kubernetes", "Reykjavik", "Ann", "Siobhán"])
def test_what_is_not_said_is_not(term: str) -> None:
    assert chosen((term,), "the weather is cold tonight") == set()


def test_an_alias_is_how_a_term_sounds() -> None:
    index = index_of(("Nguyễn", "東京", *NOBODY), (("Nguyễn", "win"), ("東京", "tokyo")))
    logits = heard("win went to tokio")
    assert index.choose(logits, 10) == ("Nguyễn", "東京")
    assert index.unsearchable == ()


def test_a_second_choice_of_the_head_counts() -> None:
    assert chosen(("Lora",), "je cherche gara", unsure="je cherche gara") == set()
    assert chosen(("Lora",), "je cherche gara", unsure="je cherche lora") == {"Lora"}


def test_the_likest_come_first_and_stand_in_the_order_of_the_list() -> None:
    terms = ("Tommy", "Tony", "Toni", "Dony")
    index = index_of(terms, ())
    assert index.choose(heard("ask tony"), 2) == ("Tony", "Toni")
    assert index.choose(heard("ask tony"), 1) == ("Tony",)


def test_much_less_like_than_another_one() -> None:
    assert chosen(("Frederick", "Fretelic"), "ask frederick") == {"Frederick"}


def test_nothing_heard_and_nothing_to_look_for() -> None:
    assert index_of(("Ada", "Bob"), ()).choose(np.zeros((0, 348), np.float32), 9) == ()
    assert index_of(("Ada", "Bob"), ()).choose(heard("  "), 9) == ()
    assert index_of(("東京", "42"), ()).choose(heard("hello"), 9) == ()
    assert index_of(("東京", "Ada", "42"), ()).unsearchable == ("東京", "42")


def test_katakana_of_the_head_is_no_letter() -> None:
    logits = np.zeros((9, 348), np.float32)
    logits[:, 300] = 9.0
    assert readings_of(logits) == []


def test_overlong_terms_and_texts() -> None:
    long = "ab" * 50
    assert chosen((long, "abc"), "ab" * 400) >= {long}


def test_a_list_that_fits_is_sent_whole() -> None:
    task = Task(keywords=("a", "b", "c"))
    assert chooser(task, 3) is None
    assert unsearchable(Task(keywords=("東",) * 3), 3) is None
    choose = chooser(task, 2)
    assert choose is not None
    assert choose(heard("b or c")) == Choice(("b", "c"))


def test_what_may_be_said_gets_a_bonus() -> None:
    task = Task(keywords=("Catharin", "Reykjavik", "Katherine"))
    assert chooser(Task(), 3, boost=2.0) is None
    choose = chooser(task, 3, boost=2.0)
    assert choose is not None
    choice = choose(heard("ask catherine"))
    assert choice.keywords == task.keywords  # all fit
    bonuses = dict(choice.boosts)
    assert bonuses["Katherine"] == 2.0  # the likest one
    assert 0 < bonuses["Catharin"] < 2.0
    assert "Reykjavik" not in bonuses
    assert choose(heard("the weather is cold")).boosts == ()


def test_a_bonus_does_not_need_a_place_in_the_prompt() -> None:
    choose = chooser(Task(keywords=("Tony", "Toni", "Dony")), 1, boost=1.0)
    assert choose is not None
    choice = choose(heard("ask tony"))
    assert choice.keywords == ("Tony",)
    assert {"Tony", "Toni"} <= set(dict(choice.boosts))


def test_what_cannot_be_looked_for_is_told() -> None:
    warning = unsearchable(Task(keywords=("東京", "Ada", "42")), 2)
    assert warning is not None
    assert warning.code == "keywords_not_searched"
    assert "2 of 3" in warning.message
    assert "'東京', '42'" in warning.message
    known = Task(keywords=("東京", "Ada"), sounds_like=(("東京", "tokyo"),))
    assert unsearchable(known, 1) is None


def test_the_largest_prompt_counts() -> None:
    task = Task(keywords=("a", "ccc", "ééé", "bb"), sounds_like=(("a", "b"),))
    assert largest(task, 2) == Task(keywords=("ééé", "ccc"))
    assert set(largest(task, 9).keywords) == set(task.keywords)


def test_as_many_terms_as_there_may_be() -> None:
    """100,000 terms and some minutes of letters."""
    letters = list("abdefgiklmnoprstuvz")
    terms = tuple(dict.fromkeys("".join(row) for row in RNG.choice(letters, (100_000, 9))))
    found = index_of(terms, ()).choose(heard(f"{terms[77]} and {terms[-1]} " * 12), 50)
    assert {terms[77], terms[-1]} <= set(found)
    assert len(found) <= 50


@pytest.mark.parametrize("given", [1, 10, 1000])
def test_a_checkpoint_says_how_many(tmp_path: Path, given: int) -> None:
    assert read_terms_per_prompt(tmp_path) == TERMS_PER_PROMPT
    path = tmp_path / "generation_config.json"
    path.write_text("{}")
    assert read_terms_per_prompt(tmp_path) == TERMS_PER_PROMPT
    path.write_text(f'{{"keywords_per_prompt": {given}}}')
    assert read_terms_per_prompt(tmp_path) == given


@pytest.mark.parametrize("given", ["0", "-1", "1001", "1.5", "true", '"9"', "[9]"])
def test_numbers_that_make_no_sense(tmp_path: Path, given: str) -> None:
    (tmp_path / "generation_config.json").write_text(f'{{"keywords_per_prompt": {given}}}')
    with pytest.raises(CheckpointError, match="keywords_per_prompt must be a whole number"):
        read_terms_per_prompt(tmp_path)
