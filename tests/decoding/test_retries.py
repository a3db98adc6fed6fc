"""What is done about an answer that goes round in circles."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import pytest

from granite_mlx.decoding.batch import Question
from granite_mlx.decoding.drafts import NoDraft
from granite_mlx.decoding.generate import Generated
from granite_mlx.decoding.prompts import Task
from granite_mlx.decoding.retries import LoopGuard
from granite_mlx.decoding.sampling import greedy, make_sampler
from granite_mlx.decoding.verification import likely

PROMPT = mx.zeros((3, 4))
TRANSCRIBE, TO_FRENCH = Task(), Task(to="fr")
KATAKANA = (300, 301, 302, 303)


class Letters:
    """A tokenizer whose tokens are characters."""

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


class Guess:
    def propose(self, emitted: Sequence[int], n_most: int) -> list[int]:
        return []


TOKENIZER: Any = Letters()


def guard(heard: str, task: Task = TRANSCRIBE) -> LoopGuard:
    return LoopGuard(TOKENIZER.encode(heard), task, TOKENIZER)


def looped(text: str) -> Generated:
    return Generated(tuple(TOKENIZER.encode(text)), False, looped=True, way="sampled")


def chain(question: Question) -> list[Question]:
    return [question, *(chain(question.otherwise()) if question.otherwise else [])]


@pytest.mark.parametrize(
    ("phrase", "heard", "task", "n"),
    [
        (" nine", "nine nine one nine", TRANSCRIBE, 3),
        (" Nine,", "nine nine one nine", TRANSCRIBE, 3),
        (" moon", "nine nine one nine", TRANSCRIBE, 0),
        (" ête", "ete ete", TRANSCRIBE, 2),
        ("[Speaker 1]: yes [Speaker 2]: no ", "yes no yes no", Task(tags="speakers"), 2),
        (" no [T:45]", "no no", Task(tags="word_times"), 2),
        (" 9", "nine nine", TRANSCRIBE, None),  # how it sounds is not known
        (" ...", "nine nine", TRANSCRIBE, None),
        ("です", "nine nine", TRANSCRIBE, None),
        (" neuf", "nine nine", TO_FRENCH, None),
    ],
)
def test_how_often_a_phrase_was_said(phrase: str, heard: str, task: Task, n: int | None) -> None:
    assert guard(heard, task).n_said(TOKENIZER.encode(phrase)) == n


def test_drafts_go_first_and_then_the_greedy_choice() -> None:
    question = Question(PROMPT, 50, Guess(), first_draft=50, first_rule=likely())
    asked, undrafted, sampled = chain(guard("no").watched(question))
    assert [one.way for one in (asked, undrafted, sampled)] == [
        "asked", "without_drafts", "sampled",
    ]  # fmt: skip
    assert asked.draft is question.draft
    assert asked.first_rule is question.first_rule
    for one in (undrafted, sampled):
        assert isinstance(one.draft, NoDraft)
        assert one.first_rule is None
        assert (one.budget, one.prompt is PROMPT) == (50, True)
    assert undrafted.sampler is greedy
    assert sampled.sampler is not greedy


def test_every_recording_is_sampled_alike() -> None:
    logits = mx.random.normal((1, 500), key=mx.random.key(3))
    drawn = []
    for _ in range(2):
        _, sampled = chain(guard("no").watched(Question(PROMPT, 50)))
        drawn.append([int(sampled.sampler(logits)[0]) for _ in range(20)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 1


def test_what_is_sampled_is_sampled_again_as_it_was_asked_for() -> None:
    sampler = make_sampler(0.8, seed=5)
    asked, again = chain(guard("no").watched(Question(PROMPT, 50, sampler=sampler)))
    assert again.sampler is asked.sampler is sampler


@pytest.mark.parametrize(
    ("answer", "heard", "task", "text"),
    [
        (looped("hello no"), "helo no no world", TRANSCRIBE, "helo no no world"),
        (looped(""), "helo", TRANSCRIBE, "helo"),
        (looped("bonjour non"), "hello no", TO_FRENCH, "bonjour non"),
        (looped("こんにちは"), "konnichiwa", TRANSCRIBE, "こんにちは"),
        (looped("hello no"), "", TRANSCRIBE, "hello no"),  # the witness has a word on that
        (Generated((72, 105), True, way="sampled"), "helo", TRANSCRIBE, "Hi"),
    ],
)
def test_what_stands(answer: Generated, heard: str, task: Task, text: str) -> None:
    settled = guard(heard, task).settled(answer, 100)
    assert TOKENIZER.decode(settled.ids) == text
    if text == heard:
        assert settled == Generated(tuple(TOKENIZER.encode(heard)), True, way="heard")
    else:
        assert settled is answer


def test_a_head_whose_letters_are_not_known_has_no_text() -> None:
    heard = LoopGuard((*KATAKANA, ord("a")), TRANSCRIBE, TOKENIZER)
    answer = looped("a")
    assert heard.settled(answer, 100) is answer


def test_what_is_heard_is_not_longer_than_the_budget() -> None:
    settled = guard("hello world").settled(looped("x"), 5)
    assert (TOKENIZER.decode(settled.ids), settled.finished) == ("hello", False)


# Keywords that lead astray


def listed(heard: str, *keywords: str, task: Task = TRANSCRIBE) -> LoopGuard:
    return LoopGuard(TOKENIZER.encode(heard), task, TOKENIZER, keywords)


def said(text: str, before: Generated | None = None) -> Generated:
    return Generated(tuple(TOKENIZER.encode(text)), True, before=before)


def test_a_list_is_left_away_before_anything_is_sampled() -> None:
    asked_with: list[Sequence[str]] = []

    def plainly(keywords: Sequence[str]) -> Question:
        asked_with.append(keywords)
        return Question(PROMPT, 50, Guess())

    watched = listed("we met ada", "Ada", "Zoë").watched(Question(PROMPT, 50, Guess()), plainly)
    assert asked_with == []  # most answers need no second prompt
    asked, without, sampled = chain(watched)
    assert [one.way for one in (asked, without, sampled)] == [
        "asked", "without_keywords", "sampled",
    ]  # fmt: skip
    assert isinstance(without.draft, Guess)
    assert isinstance(sampled.draft, NoDraft)
    assert asked_with == [()]
    assert watched.instead(TOKENIZER.encode("we met Ada")) is None
    again = watched.instead(TOKENIZER.encode("Ada is a qqqqqq"))
    assert again is not None
    assert again.way == "without_keywords"


def test_what_was_heard_of_a_list_is_asked_with_again() -> None:
    asked_with: list[Sequence[str]] = []

    def plainly(keywords: Sequence[str]) -> Question:
        asked_with.append(tuple(keywords))
        return Question(PROMPT, 50)

    guard = listed("we met catherine in the kitchen", "Kathryn", "Reykjavik")
    watched = guard.watched(Question(PROMPT, 50), plainly)
    assert watched.instead(TOKENIZER.encode("we met Kathryn")) is not None
    assert watched.instead(TOKENIZER.encode("we Reykjavik the kitchen")) is not None
    assert asked_with == [("Kathryn",), ()]


@pytest.mark.parametrize(
    ("heard", "task"),
    [
        ("we met catherine", TO_FRENCH),
        ("we met catherine", Task(tags="speakers")),
        ("", TRANSCRIBE),
    ],
)
def test_what_the_head_cannot_judge_is_not_asked_again(heard: str, task: Task) -> None:
    guard = listed(heard, "Zoë", task=task)
    assert not guard.may_be_astray(TOKENIZER.encode("qqqqqqq wwwwwww"))


@pytest.mark.parametrize(
    ("text", "plain", "stands"),
    [
        ("we met", "we met eric today", "plain"),
        ("we met Ada", "we met eric today", "plain"),
        ("we met Ada today", "we met Ada today", "before"),  # no better
        ("we met \ufffd today", "we met eric today", "plain"),
        ("we met erik tody", "we met eric today", "before"),  # hardly better
    ],
)
def test_which_of_two_answers_stands(text: str, plain: str, stands: str) -> None:
    before = said(text)
    found = listed("we met eric today", "Ada").settled(said(plain, before), 100)
    assert TOKENIZER.decode(found.ids) == (plain if stands == "plain" else text)
    assert (found is before) == (stands == "before")


def test_a_second_answer_that_loops_does_not_stand() -> None:
    before = said("we met")
    looping = Generated((110, 111), False, looped=True, way="sampled", before=before)
    assert listed("we met eric today", "Ada").settled(looping, 100) is before
