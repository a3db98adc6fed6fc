import pytest

from granite_mlx.decoding.prompts import WORDINGS, Task, instruction, system_prompt, tags_for
from granite_mlx.errors import LanguageError
from granite_mlx.model.family import Family

PLAIN = "can you transcribe the speech into a written format?"
PUNCTUATED = "transcribe the speech with proper punctuation and capitalization."
WORDS = ("Kubernetes", "Siobhan")
FRENCH = "The speech is in French. Transcribe it exactly; do not translate."


@pytest.mark.parametrize(
    ("task", "family", "text"),
    [
        (Task(), "4.0", PLAIN),
        (Task(), "4.1", PLAIN),
        (Task(), "5.0", PLAIN),
        (Task(), "4.1-plus", f" {PLAIN}"),
        (Task(spoken="fr"), "4.0", PLAIN),
        (Task(spoken="fr"), "4.1", PLAIN),
        (Task(spoken="fr"), "5.0", f"{FRENCH} {PLAIN}"),
        (
            Task(spoken="fr"),
            "4.1-plus",
            " can you transcribe the French speech into a written format?",
        ),
        (Task(punctuate=True), "4.0", PUNCTUATED),
        (Task(punctuate=True), "4.1", PUNCTUATED),
        (Task(punctuate=True), "5.0", PUNCTUATED),
        (Task(punctuate=True), "4.1-plus", f" {PLAIN}"),  # which its card excludes
        (Task(punctuate=True, spoken="fr"), "4.0", PUNCTUATED),
        (
            Task(punctuate=True, spoken="fr"),
            "4.1",
            "transcribe the French speech with proper punctuation and capitalization.",
        ),
        (Task(punctuate=True, spoken="fr"), "5.0", f"{FRENCH} {PUNCTUATED}"),
        (Task(keywords=WORDS), "4.0", f"{PLAIN} Keywords: Kubernetes, Siobhan"),
        (Task(keywords=WORDS), "4.1-plus", f" {PLAIN} Keywords: Kubernetes, Siobhan"),
        (
            Task(keywords=WORDS),
            "4.1",
            "transcribe the speech to text. Keywords: Kubernetes, Siobhan",
        ),
        (
            Task(keywords=WORDS, spoken="fr"),
            "5.0",
            f"{FRENCH} transcribe the speech to text. Keywords: Kubernetes, Siobhan",
        ),
        (
            Task(keywords=WORDS[:1], punctuate=True),
            "4.0",
            f"{PUNCTUATED} Keywords: Kubernetes",
        ),
        (Task(to="en"), "4.0", "translate the speech to English."),
        (Task(to="en", spoken="fr"), "5.0", "translate the speech to English."),
        (Task(to="zh", spoken="en"), "4.1", "translate the speech to Mandarin."),
        (
            Task(to="de", punctuate=True),
            "4.0",
            "translate the speech to German with proper punctuation and capitalization.",
        ),
        (
            Task(to="fr", keywords=WORDS),
            "4.1",
            "translate the speech to French. Keywords: Kubernetes, Siobhan",
        ),
        (
            Task(tags="speakers", keywords=WORDS[:1], spoken="de"),
            "4.1-plus",
            " Speaker attribution: Transcribe and denote who is speaking by adding [Speaker 1]: "
            "and [Speaker 2]: tags before speaker turns. Keywords: Kubernetes",
        ),
        (
            Task(tags="word_times"),
            "4.1-plus",
            " Timestamps: Transcribe the speech. After each word, add a timestamp tag showing the "
            "end time in centiseconds, e.g. hello [T:45] world [T:82]",
        ),
        (
            Task(tags="word_times", keywords=WORDS[:1]),
            "4.1-plus",
            " Timestamps: Transcribe the speech. After each word, add a timestamp tag showing the "
            "end time in centiseconds, e.g. hello [T:45] world [T:82]. Keywords: Kubernetes",
        ),
    ],
)
def test_instructions(task: Task, family: Family, text: str) -> None:
    assert instruction(task, family) == text


@pytest.mark.parametrize("family", WORDINGS)
def test_keywords_are_taken_as_they_are(family: Family) -> None:
    terms = ("{keywords}", "C#", "{0}", "100 %", "%s", "l'été", "{spoken}")
    assert instruction(Task(keywords=terms), family).endswith(f" Keywords: {', '.join(terms)}")


def test_only_plus_has_a_system_prompt() -> None:
    prompts = {family: system_prompt(family) for family in WORDINGS}
    plus = prompts.pop("4.1-plus")
    assert plus is not None
    assert plus.splitlines()[0] == "Knowledge Cutoff Date: April 2024."
    assert set(prompts.values()) == {None}


@pytest.mark.parametrize("family", ["4.0", "4.1", "5.0"])
@pytest.mark.parametrize("tags", ["speakers", "word_times"])
def test_tags_of_a_model_that_has_none(family: Family, tags: str) -> None:
    with pytest.raises(ValueError, match=rf"{tags} needs .*4\.1-2b-plus; {family} models"):
        instruction(Task(tags=tags), family)  # type: ignore[arg-type]


@pytest.mark.parametrize("punctuate", [False, True])
def test_plus_does_not_translate(punctuate: bool) -> None:
    with pytest.raises(LanguageError, match="plus models do not translate"):
        instruction(Task(to="fr", punctuate=punctuate), "4.1-plus")


def test_plus_does_not_hear_japanese() -> None:
    with pytest.raises(LanguageError, match="spoken Japanese; they hear English, French"):
        instruction(Task(spoken="ja"), "4.1-plus")
    for family in ("4.0", "4.1", "5.0"):
        instruction(Task(spoken="ja"), family)  # type: ignore[arg-type]


def test_one_kind_of_tags_at_a_time() -> None:
    assert tags_for(False, "aligned") is None
    assert tags_for(True, "aligned") == tags_for(True, "off") == "speakers"
    assert tags_for(False, "model") == "word_times"
    with pytest.raises(ValueError, match="speakers and word_times"):
        tags_for(True, "model")
