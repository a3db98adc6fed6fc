"""What a transcript holds, and what sampling does to it."""

from pathlib import Path

import numpy as np

from granite_mlx import GraniteSpeech, Transcript
from granite_mlx.selftest.random_weights import random_signal

from .asking import RATE, SECOND, Listen


def test_a_transcript(model: GraniteSpeech, listen: Listen) -> None:
    transcript = listen()
    assert transcript.text
    assert transcript.model == model.model_id
    assert transcript.task == "transcribe"
    assert transcript.language is None
    assert transcript.target_language is None
    assert transcript.duration_s == 1.0
    (segment,) = transcript.segments
    assert (segment.start_s, segment.end_s, segment.text) == (0.0, 1.0, transcript.text)
    assert listen() == transcript


def test_another_recording_gives_another_text(listen: Listen) -> None:
    assert listen(random_signal(RATE // 2)).text != listen().text


def test_a_translation(model: GraniteSpeech) -> None:
    transcript = model.translate(
        SECOND, sample_rate=RATE, to="French", language="en", max_new_tokens=12
    )
    assert transcript.text
    assert transcript.task == "translate"
    assert (transcript.language, transcript.target_language) == ("en", "fr")


def test_the_language_is_noted(listen: Listen) -> None:
    transcript = listen(language="Japanese")
    assert transcript.language == "ja"
    assert transcript.text == listen().text  # 4.0 is not told


def test_keywords_are_reported(tmp_path: Path, listen: Listen) -> None:
    (tmp_path / "terms.txt").write_text("# terms\nC#\n")
    for keywords in (["C#"], tmp_path / "terms.txt", (term for term in ["C#"])):
        (report,) = listen(keywords=keywords).keywords
        assert (report.term, report.offered, report.found) == ("C#", True, False)


def test_what_the_character_head_hears(model: GraniteSpeech, wav: Path) -> None:
    text = model.ctc_text(SECOND, sample_rate=RATE)
    assert text
    assert model.ctc_text(wav) == text
    assert model.ctc_text(SECOND, sample_rate=RATE, end_s=0.5) != text
    assert model.ctc_text(np.zeros(RATE), sample_rate=RATE) == ""


def test_a_json_of_it_comes_back(listen: Listen) -> None:
    transcript = listen(keywords=["C#"], language="en", start_s=0.25)
    assert Transcript.from_json(transcript.to_json()) == transcript


# Sampling


def test_a_seed_repeats_itself(listen: Listen) -> None:
    first, again, other = (listen(temperature=2.0, seed=seed).text for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_without_a_seed_each_call_differs(listen: Listen) -> None:
    texts = {listen(temperature=5.0, max_new_tokens=20, guard="off").text for _ in range(3)}
    assert len(texts) == 3


def test_without_a_temperature_seed_and_top_p_do_nothing(
    listen: Listen,
) -> None:
    assert listen(seed=5, top_p=0.5) == listen()


def test_a_small_nucleus_is_greedy(listen: Listen) -> None:
    assert listen(temperature=1.0, top_p=1e-6).text == listen().text
