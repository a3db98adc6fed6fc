import pytest

from granite_mlx.decoding.prompts import WORDINGS, Family, Task, instruction

PLAIN = "can you transcribe the speech into a written format?"
PUNCTUATED = "transcribe the speech with proper punctuation and capitalization."
WORDS = ("Kubernetes", "Siobhan")


@pytest.mark.parametrize(
    ("task", "family", "text"),
    [
        (Task(), "4.0", PLAIN),
        (Task(), "4.1", PLAIN),
        (Task(spoken="fr"), "4.0", PLAIN),
        (Task(spoken="fr"), "4.1", PLAIN),
        (Task(punctuate=True), "4.0", PUNCTUATED),
        (Task(punctuate=True), "4.1", PUNCTUATED),
        (Task(punctuate=True, spoken="fr"), "4.0", PUNCTUATED),
        (
            Task(punctuate=True, spoken="fr"),
            "4.1",
            "transcribe the French speech with proper punctuation and capitalization.",
        ),
        (Task(keywords=WORDS), "4.0", f"{PLAIN} Keywords: Kubernetes, Siobhan"),
        (
            Task(keywords=WORDS),
            "4.1",
            "transcribe the speech to text. Keywords: Kubernetes, Siobhan",
        ),
        (
            Task(keywords=WORDS[:1], punctuate=True),
            "4.0",
            f"{PUNCTUATED} Keywords: Kubernetes",
        ),
        (Task(to="en"), "4.0", "translate the speech to English."),
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
    ],
)
def test_instructions(task: Task, family: Family, text: str) -> None:
    assert instruction(task, family) == text


@pytest.mark.parametrize("family", WORDINGS)
def test_keywords_are_taken_as_they_are(family: Family) -> None:
    terms = ("{keywords}", "C#", "{0}", "100 %", "%s", "l'été")
    assert instruction(Task(keywords=terms), family).endswith(f" Keywords: {', '.join(terms)}")
