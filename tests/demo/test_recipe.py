"""The recipe keeps apart what training sees and what tests hear, and asks as the product asks."""

import importlib
import itertools
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from granite_mlx.decoding.prompts import Task, instruction

N_DRAWS = 3000
NAMES = (("Eric", "Erik"), ("Catherine", "Kathryn"), ("Zoé", "Zoë"))
MADE_UP = (("Fimpy", "Phimpie"), ("Kannin", "Cannyn"))


@pytest.fixture(scope="module")
def sentences(demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("demo.sentences")


@pytest.fixture(scope="module")
def vocabulary(demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("demo.vocabulary")


@pytest.fixture(scope="module")
def speech(demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("demo.speech")


@pytest.fixture(scope="module")
def corpus(demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("demo.corpus")


@pytest.fixture(scope="module")
def tasks(demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("demo.tasks")


@pytest.fixture(scope="module")
def drawn(sentences: ModuleType) -> list:
    """Sentences for training."""
    rng = np.random.default_rng(1)
    return [sentences.draw(rng) for _ in range(N_DRAWS)]


@pytest.fixture(scope="module")
def pools(corpus: ModuleType):
    both = {"en": list(NAMES), "fr": list(NAMES)}
    made_up = {"en": list(MADE_UP), "fr": list(MADE_UP)}
    return corpus.NamePools(both, made_up, made_up)


@pytest.fixture(scope="module")
def questions(tasks: ModuleType, corpus: ModuleType, pools) -> list:
    """(utterance, question) as training draws them."""
    rng = np.random.default_rng(2)
    utterances = [
        corpus.compose(rng, language, pools) for language in ("en", "fr") for _ in range(N_DRAWS)
    ]
    return [(u, tasks.ask(u, rng, pools)) for u in utterances]


def test_training_draws_no_held_out_pattern(sentences: ModuleType, drawn: list) -> None:
    assert not {s.pattern for s in drawn} & sentences.HELD_OUT


def test_tests_draw_held_out_patterns_only_and_all_of_them(sentences: ModuleType) -> None:
    rng = np.random.default_rng(1)
    patterns = {sentences.draw(rng, held_out=True).pattern for _ in range(300)}
    assert patterns == sentences.HELD_OUT


def test_training_knows_the_parts_of_held_out_patterns(sentences: ModuleType, drawn: list) -> None:
    clauses = {s.pattern[0] for s in drawn}
    frames = {s.pattern[1:] for s in drawn}
    assert {pattern[0] for pattern in sentences.HELD_OUT} <= clauses
    assert {pattern[1:] for pattern in sentences.HELD_OUT} <= frames


@pytest.mark.parametrize("held_out", [False, True])
def test_utterances_follow_the_split_of_the_patterns(
    held_out: bool, sentences: ModuleType, corpus: ModuleType, pools
) -> None:
    rng = np.random.default_rng(3)
    composed = [corpus.compose(rng, "fr", pools, held_out) for _ in range(100)]
    assert {u.pattern in sentences.HELD_OUT for u in composed} == {held_out}


@pytest.mark.parametrize("language", ["en", "fr"])
def test_voices_and_speeds_of_tests_are_never_trained_on(language: str, speech: ModuleType) -> None:
    rng = np.random.default_rng(4)
    trained = [speech.draw_voice(rng, language) for _ in range(1000)]
    tested = [speech.draw_voice(rng, language, held_out=True) for _ in range(1000)]
    assert not {_variant(v) for v in trained} & {_variant(v) for v in tested}
    assert not {v.words_per_minute for v in trained} & {v.words_per_minute for v in tested}


def test_digits_of_tests_are_takes_5_to_9(tmp_path: Path, speech: ModuleType) -> None:
    for index in range(5, 12):  # each take as long as its index says
        samples = np.full(800 * index, 0.1, np.float32)
        soundfile.write(tmp_path / f"3_theo_{index}.wav", samples, 8000)
    n_samples = {
        held_out: {len(take) // 1600 for take in speech.load_digits(tmp_path, held_out)["theo", 3]}
        for held_out in (True, False)
    }
    assert n_samples == {True: {5, 6, 7, 8, 9}, False: {10, 11}}


@pytest.mark.parametrize("language", ["en", "fr"])
def test_vocabulary_has_at_least_150_words(language: str, drawn: list) -> None:
    words = {w for s in drawn for w in _words(getattr(s, language)) if not w.startswith("{")}
    assert len(words) >= 150


def test_at_least_100000_sentences_are_possible(
    vocabulary: ModuleType, sentences: ModuleType, drawn: list
) -> None:
    """Counts one pattern of many, without names and numbers, and shows that it is what is drawn."""
    v = vocabulary
    kinds = ["", *(en for en, *_ in v.COLOURS + v.SIZES)]
    things = [
        f"{article} {kind} {noun.en}".replace("  ", " ")
        for article, kind, noun in itertools.product(("the", "a", "an"), kinds, v.NOUNS)
        if article == "the" or (article == "an") == ((kind or noun.en)[0] in "aeiou")
    ]
    people = [en for en, _ in v.PEOPLE]
    verbs = [verb.en_past for verb in v.VERBS]
    possible = {" ".join(parts) for parts in itertools.product(people, verbs, things)}
    assert len(possible) >= 100_000

    plain = [sentences.plain(s.en).split() for s in drawn if s.pattern == ("svo_past", "-", "-")]
    nouns = {noun.en for noun in v.NOUNS}  # a number of things stands in the plural
    counted = {" ".join(words) for words in plain if "{0}" not in words and words[-1] in nouns}
    assert counted
    assert counted <= possible


def test_every_english_phrase_has_its_own_french_one(vocabulary: ModuleType) -> None:
    """So French has as many sentences as English, and a translation can be judged by equality."""
    v = vocabulary
    tables = [
        [(noun.en, noun.fr) for noun in v.NOUNS],
        [(verb.en_past, verb.fr_participle) for verb in v.VERBS],
        [(en, masculine) for en, masculine, _ in v.COLOURS + v.SIZES],
        v.PEOPLE,
        v.PLACES,
        v.DAYS + v.MONTHS,
        v.TIMES_ANY + v.TIMES_PAST + v.TIMES_PRESENT + v.TIMES_FUTURE,
        v.WEATHER,
        [(v.english_number(n), v.french_number(n)) for n in range(70)],
    ]
    for table in tables:
        assert len({en for en, _ in table}) == len({fr for _, fr in table}) == len(table)


def test_the_character_head_can_spell_every_text(demo_recipe: ModuleType, drawn: list) -> None:
    names = importlib.import_module("demo.names")
    for text in [s.fr for s in drawn] + ["".join(pair) for pair in names.REAL_PAIRS]:
        assert text.lower().encode("latin-1")


def test_training_asks_what_the_product_asks(questions: list) -> None:
    """Without their keywords, the instructions of training are the product's for both families."""
    languages = ("en", "fr")
    wanted = [
        *(Task(punctuate=punctuate) for punctuate in (False, True)),
        *(Task(spoken=language, punctuate=True) for language in languages),
        *(Task(to=to, punctuate=punctuate) for to in languages for punctuate in (False, True)),
        Task(keywords=("x",)),
    ]
    product = {
        _without_keywords(instruction(task, family)) for task in wanted for family in ("4.0", "4.1")
    }
    assert {_without_keywords(q.instruction) for _, q in questions} == product


@pytest.mark.parametrize("family", ["4.0", "4.1"])
def test_keyword_lists_read_as_the_product_writes_them(family: str, tasks: ModuleType) -> None:
    terms = ("Kathryn", "New York")
    base = tasks.ASR if family == "4.0" else tasks.ASR_KEYWORDS
    translated = tasks.AST.format("French") + tasks.keyword_clause(terms)
    assert base + tasks.keyword_clause(terms) == instruction(Task(keywords=terms), family)
    assert translated == instruction(Task(to="fr", keywords=terms), family)


def test_answers_take_the_spelling_of_the_list_or_else_the_usual_one(questions: list) -> None:
    n_listed = 0
    for u, q in questions:
        listed = q.instruction.partition(" Keywords: ")[2].split(", ")
        for usual, other in u.names:
            asked = [t for t in listed if t.lower() in (usual.lower(), other.lower())]
            assert len(asked) <= 1
            n_listed += len(asked)
            assert (asked or [usual])[0] in _words(q.answer)
    assert n_listed > 100


def test_both_ctc_losses_hear_the_usual_spelling(questions: list) -> None:
    for u, q in questions:
        assert {usual for usual, _ in u.names} <= set(_words(q.heard))


def test_easy_questions_ask_for_what_is_heard(questions: list) -> None:
    easy = [q for _, q in questions if q.is_easy]
    hard = [q for _, q in questions if not q.is_easy]
    assert len(easy) > len(questions) / 10
    assert len(hard) > len(questions) / 10
    for q in easy:
        assert _words(q.answer.lower()) == _words(q.heard.lower())
    for q in hard:
        assert " Keywords: " in q.instruction or q.instruction.startswith("translate ")


def _variant(voice) -> str:
    return voice.name.partition("+")[2]


def _words(text: str) -> list[str]:
    return [word.strip(".,?!") for word in text.split()]


def _without_keywords(text: str) -> str:
    return text.partition(" Keywords: ")[0]


def test_scrambled_transcripts_keep_each_word_beside_what_is_said(
    questions: list, tasks: ModuleType
) -> None:
    rng = np.random.default_rng(6)
    drawn = [question for _, question in questions]
    n_scrambled = 0
    for question, other in itertools.pairwise(drawn):
        scrambled = tasks.scramble(question, other, rng)
        if scrambled == question:
            continue
        n_scrambled += 1
        assert question.instruction.startswith((tasks.ASR, tasks.ASR_KEYWORDS))
        assert len(scrambled.heard.split()) == len(question.heard.split())
        assert _respelt(scrambled) == _respelt(question)
    assert n_scrambled > len(drawn) / 10


def test_translations_and_punctuated_texts_stay_in_order(tasks: ModuleType) -> None:
    rng = np.random.default_rng(7)
    plain = tasks.Question(tasks.ASR, "one two three four", "one two three four")
    for asked in (tasks.ASR_PUNCTUATED, tasks.AST.format("French")):
        ordered = tasks.Question(asked, "one two three four", "one two three four")
        assert tasks.scramble(ordered, plain, rng) == ordered
        assert tasks.scramble(plain, ordered, rng) == plain


def test_only_translations_asked_for_alike_are_joined(questions: list, tasks: ModuleType) -> None:
    drawn = sorted((question for _, question in questions), key=lambda q: q.instruction)
    n_joined = 0
    for one, other in itertools.pairwise(drawn):
        joined = tasks.join(one, other)
        if joined == one:
            assert one.instruction != other.instruction or "translate" not in one.instruction
            continue
        n_joined += 1
        assert one.instruction == joined.instruction == other.instruction
        assert _words(joined.answer) == _words(one.answer) + _words(other.answer)
        assert _words(joined.heard) == _words(one.heard) + _words(other.heard)
    assert n_joined > len(drawn) / 10


def _respelt(question) -> list[tuple[str, str]]:
    """(asked, usual) spelling of the words that are written otherwise than they are said."""
    pairs = zip(question.answer.split(), question.heard.split(), strict=True)
    return sorted(pair for pair in pairs if pair[0] != pair[1])


@pytest.mark.parametrize("name", ["train_names_en", "train_names_fr"])
def test_the_sets_of_names_have_real_names_in_every_sentence(
    name: str, corpus: ModuleType, pools
) -> None:
    rng = np.random.default_rng(8)
    composed = [corpus.compose_for(rng, name, pools) for _ in range(40)]
    assert {u.language for u in composed} == {name[-2:]}
    assert all(u.names and not u.made_up for u in composed)
