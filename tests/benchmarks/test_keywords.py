"""What the benchmark of keywords counts."""

import importlib
import shutil
from types import ModuleType

import numpy as np
import pytest

from granite_mlx.transcript import KeywordReport, Segment, Transcript


@pytest.fixture(scope="module")
def keywords(benchmarks: ModuleType, demo_recipe: ModuleType) -> ModuleType:
    """benchmarks.keywords"""
    return importlib.import_module("benchmarks.keywords")


@pytest.mark.parametrize(
    ("wanted", "got", "n_errors"),
    [
        ("ask kathryn now", "ask kathryn now", 0),
        ("ask kathryn now", "ask catherine now", 0),  # the term's own error
        ("ask kathryn now", "ask now", 0),
        ("ask kathryn now", "ask kathryn then", 1),
        ("ask kathryn now", "ask kathryn", 1),
        ("ask kathryn now", "ask kathryn now now", 1),
        ("ask kathryn now", "", 2),
        ("", "ask", 1),
    ],
)
def test_errors_of_other_words(keywords: ModuleType, wanted: str, got: str, n_errors: int) -> None:
    errors = keywords.other_errors(wanted.split(), got.split(), {"kathryn"})
    assert errors.n_errors == n_errors
    assert errors.n_wanted == sum(word != "kathryn" for word in wanted.split())


def test_scores(keywords: ModuleType) -> None:
    score = keywords.Score()
    reports = (
        KeywordReport("Kathryn", offered=True, found=True),
        KeywordReport("Erik", offered=True, found=False),
        KeywordReport("Ynne", offered=True, found=True),
        KeywordReport("Toi", offered=False, found=False),
    )
    text = "ask Kathryn and Eric Ynne"
    got = Transcript((Segment(0, 1, text),), None, None, "transcribe", 1.0, "demo", (), reports)
    score.add("ask Kathryn and Erik in", ["Kathryn", "Erik"], got)
    assert (score.precision, score.recall, score.f1) == (50.0, 50.0, 50.0)
    assert score.row() == ["50.0", "50.0", "50.0", "100.0", "3.0", "33.33"]
    assert keywords.Score().row()[:3] == ["100.0"] * 3


def test_terms_for_the_costs(keywords: ModuleType) -> None:
    found = keywords._joined(
        ["Catherine", "Oscar", "Victor", "Emily"], 300, np.random.default_rng(1)
    )
    assert len(set(found)) == len(found) == 300


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_distractors(keywords: ModuleType) -> None:
    lists = importlib.import_module("benchmarks.keyword_lists")
    corpus = importlib.import_module("demo.corpus")
    held_out = importlib.import_module("demo.held_out")
    pairs = [("Catherine", "Kathryn"), ("Eric", "Erik")]
    text = "{0} reads."
    one = corpus.Utterance("en", "espeak", [], text, text, [("Eric", "Erik")], False, "en-us")
    recording = held_out.Recording("one", "en", one, np.zeros(1, np.float32))
    pools = corpus.NamePools({"en": pairs}, {"en": []}, {"en": []})
    found = lists.Distractors("en", pools, [recording], 40, 5)
    assert len(set(found.terms)) == 40
    assert found.terms == lists.Distractors("en", pools, [recording], 40, 5).terms
    assert all(len(term) >= lists.SHORTEST for term in found.terms[1::2])
    listed = found.list_for(["Erik"], 10, np.random.default_rng(0))
    assert sorted(listed) == sorted(["Erik", *found.terms[:10]])
    assert not {"Eric", "Erik", "Erick", "Kathryn", "Reads"} & set(found.terms)
