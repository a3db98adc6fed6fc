"""The public API, from a checkpoint folder to a transcript, on a tiny model of random weights."""

import gc
import io
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import soundfile

import granite_mlx
from granite_mlx import (
    AudioError,
    AudioTooLongError,
    CheckpointError,
    GraniteSpeech,
    LanguageError,
    Transcript,
)
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.selftest.random_weights import random_signal

from .model.tiny import changed, write_checkpoint

RATE = 16_000
SECOND = random_signal(RATE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny"), dtype="BF16", n_shards=2)


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[GraniteSpeech]:
    with granite_mlx.load(folder, dtype="float32") as model:
        yield model


@pytest.fixture(scope="module")
def listen(model: GraniteSpeech) -> Callable[..., Transcript]:
    """Transcribe an array with a budget that keeps the tests short."""

    def listen(samples: np.ndarray = SECOND, **options: Any) -> Transcript:
        return model.transcribe(samples, sample_rate=RATE, **{"max_new_tokens": 12} | options)

    return listen


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "signal.wav"
    soundfile.write(path, SECOND, RATE, subtype="FLOAT")
    return path


def codes(transcript: Transcript) -> list[str]:
    return [warning.code for warning in transcript.warnings]


# A transcript


def test_a_transcript(model: GraniteSpeech, listen: Callable[..., Transcript]) -> None:
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


def test_another_recording_gives_another_text(listen: Callable[..., Transcript]) -> None:
    assert listen(random_signal(RATE // 2)).text != listen().text


def test_a_translation(model: GraniteSpeech) -> None:
    transcript = model.translate(
        SECOND, sample_rate=RATE, to="French", language="en", max_new_tokens=12
    )
    assert transcript.text
    assert transcript.task == "translate"
    assert (transcript.language, transcript.target_language) == ("en", "fr")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The instructions that any model is asked, in order."""
    instructions: list[str] = []
    prompt = SpeechTokenizer.prompt

    def remember(self: SpeechTokenizer, instruction: str, system: str | None = None) -> str:
        instructions.append(instruction)
        return prompt(self, instruction, system)

    monkeypatch.setattr(SpeechTokenizer, "prompt", remember)
    return instructions


def test_what_the_model_is_asked(
    model: GraniteSpeech, listen: Callable[..., Transcript], asked: list[str]
) -> None:
    listen(keywords=["Ada", "C#"], language="fr")
    plain = "can you transcribe the speech into a written format? Keywords: Ada, C#"
    assert set(asked) == {plain}
    asked.clear()
    listen(punctuate=True)
    assert set(asked) == {"transcribe the speech with proper punctuation and capitalization."}
    asked.clear()
    model.translate(SECOND, sample_rate=RATE, to="zh", keywords=["Ada"], max_new_tokens=1)
    assert set(asked) == {"translate the speech to Mandarin. Keywords: Ada"}


@pytest.mark.parametrize(
    ("name", "is_later"),
    [("granite-4.0-tiny", False), ("granite-4.1-tiny", True), ("granite-speech-5.0", True)],
)
@pytest.mark.parametrize("ending", ["", "/"])
def test_later_models_are_told_the_language(
    tmp_path: Path, asked: list[str], name: str, is_later: bool, ending: str
) -> None:
    with granite_mlx.load(str(write_checkpoint(tmp_path / name)) + ending) as model:
        options: dict[str, Any] = {"punctuate": True, "language": "fr", "max_new_tokens": 1}
        model.transcribe(SECOND, sample_rate=RATE, **options)
    told = "transcribe the French speech with proper punctuation and capitalization."
    assert (told in asked) == is_later


def test_the_second_head_tells_a_later_model(tmp_path: Path, asked: list[str]) -> None:
    (write_checkpoint(tmp_path) / "out_llm.safetensors").write_bytes(b"")
    with granite_mlx.load(tmp_path) as model:
        model.transcribe(SECOND, sample_rate=RATE, keywords=["Ada"], max_new_tokens=1)
    assert "transcribe the speech to text. Keywords: Ada" in asked


def test_the_language_is_noted(listen: Callable[..., Transcript]) -> None:
    transcript = listen(language="Japanese")
    assert transcript.language == "ja"
    assert transcript.text == listen().text  # 4.0 is not told


def test_keywords_are_reported(tmp_path: Path, listen: Callable[..., Transcript]) -> None:
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


def test_a_json_of_it_comes_back(listen: Callable[..., Transcript]) -> None:
    transcript = listen(keywords=["C#"], language="en", start_s=0.25)
    assert Transcript.from_json(transcript.to_json()) == transcript


# Sources


def test_every_kind_of_source(wav: Path, model: GraniteSpeech) -> None:
    sources: list[Any] = [wav, str(wav), wav.read_bytes(), io.BytesIO(wav.read_bytes())]
    with open(wav, "rb") as file:
        texts = {model.transcribe(s, max_new_tokens=12).text for s in [*sources, file]}
    assert texts == {model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=12).text}


@pytest.mark.parametrize(
    "samples",
    [
        SECOND.astype(np.float64),
        SECOND.tolist(),
        np.stack([SECOND, SECOND], axis=1),
        np.stack([SECOND, SECOND]),
        SECOND[::-1][::-1],
    ],
    ids=["float64", "list", "stereo", "channels first", "reversed"],
)
def test_every_kind_of_array(samples: Any, listen: Callable[..., Transcript]) -> None:
    assert listen(samples).text == listen().text


def test_arrays_of_mlx(listen: Callable[..., Transcript]) -> None:
    """Also those that are not computed yet: only the caller's thread can do that."""
    computed = mx.array(SECOND)
    mx.eval(computed)
    assert listen(computed).text == listen().text
    assert listen(mx.array(SECOND / 2) * 2).text == listen().text
    assert listen((computed * 1).astype(mx.bfloat16)).text


def test_other_sample_rates(model: GraniteSpeech) -> None:
    transcript = model.transcribe(random_signal(8000), sample_rate=8000, max_new_tokens=3)
    assert transcript.duration_s == 1.0


# Parts of a recording


def test_times_count_from_the_start_of_the_recording(
    wav: Path, model: GraniteSpeech, listen: Callable[..., Transcript]
) -> None:
    transcript = model.transcribe(wav, start_s=0.25, end_s=0.75, max_new_tokens=12)
    (segment,) = transcript.segments
    assert (segment.start_s, segment.end_s) == (0.25, 0.75)
    assert transcript.duration_s == 0.5
    assert transcript.text == listen(SECOND[RATE // 4 : 3 * RATE // 4]).text


def test_an_end_beyond_the_recording(wav: Path, model: GraniteSpeech) -> None:
    transcript = model.transcribe(wav, start_s=0.5, end_s=100.0, max_new_tokens=3)
    assert (transcript.segments[0].start_s, transcript.segments[0].end_s) == (0.5, 1.0)


def test_whole_seconds_may_be_integers(wav: Path, model: GraniteSpeech) -> None:
    transcript = model.transcribe(wav, start_s=0, end_s=1, max_new_tokens=3)
    assert Transcript.from_json(transcript.to_json()) == transcript


# Nothing to hear


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.full(RATE, 1e-5), np.zeros((RATE, 8))])
def test_silence(samples: np.ndarray, listen: Callable[..., Transcript]) -> None:
    fractions: list[float] = []
    transcript = listen(samples, on_progress=fractions.append, keywords=["Ada"], language="en")
    assert transcript.text == ""
    assert transcript.segments == ()
    assert transcript.duration_s == 1.0
    assert codes(transcript) == ["silence"]
    assert not transcript.keywords[0].found
    assert transcript.language == "en"
    assert fractions[-1:] == [1.0]  # or a progress bar would stand still


def test_a_whisper_is_no_silence(listen: Callable[..., Transcript]) -> None:
    assert listen(SECOND * 0.001).text


@pytest.mark.parametrize("n_samples", [1, 16, 160, 639])
def test_too_short_for_a_word(n_samples: int, listen: Callable[..., Transcript]) -> None:
    transcript = listen(SECOND[:n_samples])
    assert transcript.text == ""
    assert codes(transcript) == ["too_short"]
    assert f"{-(-n_samples // 16)} ms" in transcript.warnings[0].message


@pytest.mark.parametrize("n_samples", [640, 641, 700, 959, 960, 1280])
def test_the_shortest_recordings_that_are_heard(
    n_samples: int, listen: Callable[..., Transcript]
) -> None:
    assert len(listen(SECOND[:n_samples]).segments) == 1


# Limits


def test_a_recording_of_the_longest_duration(model: GraniteSpeech) -> None:
    n_samples = int(model.max_duration_s * RATE)
    assert 15 * RATE < n_samples < 30 * RATE
    transcript = model.transcribe(random_signal(n_samples), sample_rate=RATE)
    assert transcript.duration_s == n_samples / RATE


def test_too_long(model: GraniteSpeech) -> None:
    samples = random_signal(int((model.max_duration_s + 1) * RATE))
    with pytest.raises(AudioTooLongError) as caught:
        model.transcribe(samples, sample_rate=RATE)
    assert f"{model.max_duration_s:g} s" in str(caught.value)
    assert model.transcribe(samples, sample_rate=RATE, end_s=0.5, max_new_tokens=1).text


def test_an_error_may_be_dropped_on_the_caller_s_thread(model: GraniteSpeech) -> None:
    """With all that it holds of the work, which ran on another one."""
    late_nan = np.where(np.arange(10 * RATE) < 9 * RATE, 0.1, np.nan)
    with pytest.raises(AudioError, match="nan"):
        model.transcribe(late_nan, sample_rate=RATE)
    gc.collect()  # a complaint from there fails the test


def test_keywords_and_a_budget_take_room_from_the_audio(
    model: GraniteSpeech, listen: Callable[..., Transcript]
) -> None:
    samples = random_signal(int((model.max_duration_s - 0.1) * RATE))
    for options in (
        {"keywords": ["Llanfairpwllgwyngyll"] * 2 + ["x" * 90]},
        {"max_new_tokens": 300},
    ):
        with pytest.raises(AudioTooLongError):
            listen(samples, **{"max_new_tokens": None} | options)


@pytest.mark.parametrize(
    "options",
    [{"keywords": [f"term number {n}" for n in range(99)]}, {"max_new_tokens": 511}],
    ids=["keywords", "max_new_tokens"],
)
def test_no_room_for_audio_at_all(
    options: dict[str, Any], listen: Callable[..., Transcript]
) -> None:
    with pytest.raises(ValueError, match="keywords") as caught:
        listen(**{"max_new_tokens": None} | options)
    assert "max_new_tokens" in str(caught.value)
    assert "max_duration_s" not in str(caught.value)  # nothing that the caller gave


@pytest.fixture
def written(model: GraniteSpeech, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The token ids of each answer of the model, as they come."""
    answers: list[tuple[int, ...]] = []
    decode = model.tokenizer.decode

    def remember(ids: Any) -> str:
        answers.append(tuple(ids))
        return decode(ids)

    monkeypatch.setattr(model.tokenizer, "decode", remember)
    return answers


def test_max_new_tokens(written: list[tuple[int, ...]], listen: Callable[..., Transcript]) -> None:
    transcripts = [listen(max_new_tokens=n) for n in (1, 2, 7, 12)]
    assert [len(ids) for ids in written] == [1, 2, 7, 12]
    assert [ids == written[-1][: len(ids)] for ids in written] == [True] * 4
    for n, transcript in zip((1, 2, 7, 12), transcripts, strict=True):
        assert codes(transcript) == ["cut_off"]
        assert f"{n} tokens" in transcript.warnings[0].message


def test_a_text_that_ends_by_itself(
    tmp_path: Path, model: GraniteSpeech, written: list[tuple[int, ...]]
) -> None:
    model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=12)
    ids = written[-1]
    at = next(n for n in range(3, 12) if ids[n] not in ids[:n])
    config = changed("text_config.eos_token_id", ids[at])  # so that it ends there
    folder = write_checkpoint(tmp_path, config=config, dtype="BF16")
    with granite_mlx.load(folder, dtype="float32") as ending:
        transcript = ending.transcribe(SECOND, sample_rate=RATE)
        assert transcript.text == ending.tokenizer.decode(ids[:at]).strip()
    assert transcript.warnings == ()


# Sampling


def test_a_seed_repeats_itself(listen: Callable[..., Transcript]) -> None:
    first, again, other = (listen(temperature=2.0, seed=seed).text for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_without_a_seed_each_call_differs(listen: Callable[..., Transcript]) -> None:
    texts = {listen(temperature=5.0, max_new_tokens=20).text for _ in range(3)}
    assert len(texts) == 3


def test_without_a_temperature_seed_and_top_p_do_nothing(
    listen: Callable[..., Transcript],
) -> None:
    assert listen(seed=5, top_p=0.5) == listen()


def test_a_small_nucleus_is_greedy(listen: Callable[..., Transcript]) -> None:
    assert listen(temperature=1.0, top_p=1e-6).text == listen().text


# Arguments, which are looked at before any work


class Untouched(io.BytesIO):
    """Audio that nobody may look at."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the audio was read")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"keywords": "Siobhan"}, TypeError, "list of terms"),
        ({"keywords": [""]}, ValueError, "keyword 1 is empty"),
        ({"keywords": ["a", 5]}, TypeError, "keyword 2"),
        ({"keywords": ["<|audio|>"]}, ValueError, r"<\|"),
        ({"keywords": Path("/nowhere/terms.txt")}, ValueError, "terms.txt"),
        ({"language": "klingon"}, LanguageError, "klingon"),
        ({"language": "it"}, LanguageError, "Italian"),
        ({"language": 5}, TypeError, "language"),
        ({"temperature": -1.0}, ValueError, "temperature"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({"temperature": "hot"}, TypeError, "temperature"),
        ({"top_p": 0.0}, ValueError, "top_p"),
        ({"top_p": 1.5}, ValueError, "top_p"),
        ({"seed": 1.5}, TypeError, "seed"),
        ({"temperature": 1.0, "seed": -1}, ValueError, "seed"),
        ({"max_new_tokens": 0}, ValueError, "max_new_tokens"),
        ({"max_new_tokens": 512}, ValueError, "max_new_tokens must be from 1 to 511"),
        ({"max_new_tokens": 1.5}, TypeError, "max_new_tokens"),
        ({"max_new_tokens": True}, TypeError, "max_new_tokens"),
        ({"start_s": -1.0}, ValueError, "start_s"),
        ({"start_s": "0"}, TypeError, "start_s"),
        ({"start_s": 2.0, "end_s": 1.0}, ValueError, "end_s"),
        ({"sample_rate": 0}, ValueError, "sample_rate"),
        ({"sample_rate": "16000"}, TypeError, "sample_rate"),
    ],
)
def test_wrong_options(
    model: GraniteSpeech, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    fractions: list[float] = []
    with pytest.raises(error, match=message):
        model.transcribe(Untouched(), on_progress=fractions.append, **options)
    with pytest.raises(error, match=message):
        model.translate(Untouched(), to="en", on_progress=fractions.append, **options)
    assert fractions == []


@pytest.mark.parametrize(
    ("to", "language", "error"),
    [
        ("klingon", None, LanguageError),
        ("fr", "fr", LanguageError),
        ("de", "fr", LanguageError),
        ("en", "it", LanguageError),
        (None, "en", TypeError),
    ],
)
def test_wrong_pairs(
    model: GraniteSpeech, to: Any, language: str | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        model.translate(Untouched(), to=to, language=language)


@pytest.mark.parametrize(
    ("audio", "options", "error"),
    [
        (SECOND, {}, ValueError),  # without a sample_rate
        (5, {"sample_rate": RATE}, TypeError),
        (None, {}, TypeError),
        ("/nowhere/a.wav", {}, AudioError),
        (b"", {}, AudioError),
        (b"text", {}, AudioError),
        (np.zeros(0), {"sample_rate": RATE}, AudioError),
        (np.full(RATE, np.nan), {"sample_rate": RATE}, AudioError),
        (SECOND, {"sample_rate": RATE, "start_s": 1.5}, AudioError),
    ],
    ids=["no rate", "number", "none", "no file", "empty", "text", "no samples", "nan", "late"],
)
def test_audio_that_is_none(
    model: GraniteSpeech, audio: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        model.transcribe(audio, **options)


# Progress


def test_progress_grows_to_one(listen: Callable[..., Transcript]) -> None:
    for n_tokens in (1, 2, 12):
        fractions: list[float] = []
        listen(on_progress=fractions.append, max_new_tokens=n_tokens)
        assert fractions == sorted(fractions)
        assert fractions[0] > 0
        assert fractions[-1] == 1.0
        assert len(fractions) >= n_tokens


@pytest.mark.parametrize("at", [0, 3, -1])
@pytest.mark.parametrize("error", [KeyError, SystemExit, KeyboardInterrupt])
def test_what_on_progress_raises(
    at: int, error: type[BaseException], listen: Callable[..., Transcript]
) -> None:
    wanted = listen()
    fractions: list[float] = []
    listen(on_progress=fractions.append)
    last = fractions[at]

    def on_progress(fraction: float) -> None:
        if fraction >= last:
            raise error("from on_progress")

    with pytest.raises(error, match="from on_progress"):
        listen(on_progress=on_progress)
    assert listen() == wanted


def test_on_progress_may_use_the_model(
    model: GraniteSpeech, listen: Callable[..., Transcript]
) -> None:
    texts: list[str] = []

    def on_progress(fraction: float) -> None:
        if not texts:
            texts.append(listen(random_signal(RATE // 2)).text)

    wanted = listen()
    assert listen(on_progress=on_progress) == wanted
    assert texts == [listen(random_signal(RATE // 2)).text]


# Threads and Ctrl-C


def test_several_threads_at_once(listen: Callable[..., Transcript]) -> None:
    requests = [(random_signal(n), {"seed": n, "temperature": 1.0}) for n in (4000, 9000, 16000)]
    requests += [(random_signal(n), {}) for n in (5000, 12000)]
    one_by_one = [listen(samples, **options) for samples, options in requests]
    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(listen, samples, **options) for samples, options in requests * 2]
    assert [job.result() for job in jobs] == one_by_one * 2


@pytest.fixture
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell starts background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_stops_the_work(listen: Callable[..., Transcript]) -> None:
    wanted = listen()
    steps: list[float] = []

    def on_progress(fraction: float) -> None:
        steps.append(fraction)
        if len(steps) == 3:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        elif len(steps) > 3:
            time.sleep(0.05)  # in which the caller wakes up

    with pytest.raises(KeyboardInterrupt):
        listen(on_progress=on_progress, max_new_tokens=400)
    n_steps = len(steps)
    assert 3 <= n_steps < 300
    assert listen() == wanted
    assert len(steps) == n_steps


# Models


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_type_of_the_weights(folder: Path, dtype: str) -> None:
    with granite_mlx.load(folder, dtype=dtype) as model:
        assert model.dtype == dtype
        assert model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=4).text


def test_the_checkpoint_s_own_type(folder: Path) -> None:
    with granite_mlx.load(str(folder)) as model:
        assert model.dtype == "bfloat16"
        assert model.model_id == str(folder)


@pytest.mark.parametrize("dtype", ["int8", "f32", "", "bf16"])
def test_types_that_there_are_not(folder: Path, dtype: str) -> None:
    with pytest.raises(ValueError, match="float32, float16, bfloat16"):
        granite_mlx.load(folder, dtype=dtype)


def test_two_models_side_by_side(
    folder: Path, model: GraniteSpeech, listen: Callable[..., Transcript]
) -> None:
    wanted = listen()
    with granite_mlx.load(folder, dtype="float32") as other:
        again = other.transcribe(SECOND, sample_rate=RATE, max_new_tokens=12)
        assert listen() == again == wanted
    assert listen() == wanted


def test_a_closed_model(folder: Path) -> None:
    model = granite_mlx.load(folder)
    model.close()
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.transcribe(SECOND, sample_rate=RATE)
    with pytest.raises(RuntimeError, match="closed"):
        model.ctc_text(SECOND, sample_rate=RATE)


def test_tied_embeddings(tmp_path: Path) -> None:
    config = changed("tie_word_embeddings", True)
    with granite_mlx.load(write_checkpoint(tmp_path, config=config)) as model:
        assert model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=4).text


# Folders that are refused, before their weights are read


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{}", "model_type"),
        ("config.json", "{", "config.json is not valid JSON"),
        ("preprocessor_config.json", '{"n_mels": 64}', "n_mels is 64.*input_dim is 160"),
        ("preprocessor_config.json", '{"n_mels": "80"}', "n_mels must be"),
        ("preprocessor_config.json", '{"sampling_rate": 8000}', "8000"),
        ("tokenizer.json", "{}", "tokenizer.json"),
        ("chat_template.jinja", "{{ oops", "chat template"),
        ("chat_template.jinja", "hello", "audio placeholders"),
        ("model.safetensors", "text", "truncated"),
    ],
)
def test_what_is_wrong_shows_before_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, message: str
) -> None:
    def load_weights(*args: Any) -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr("granite_mlx.loading.load_weights", load_weights)
    (write_checkpoint(tmp_path) / name).write_text(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        granite_mlx.load(tmp_path)
    assert name in str(caught.value) or str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_missing_files_are_named(tmp_path: Path, name: str) -> None:
    (write_checkpoint(tmp_path) / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        granite_mlx.load(tmp_path)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    (write_checkpoint(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights found"):
        granite_mlx.load(tmp_path)


def test_a_preprocessor_config_is_not_needed(folder: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, dtype="BF16")
    (tmp_path / "preprocessor_config.json").unlink()
    with granite_mlx.load(tmp_path) as without, granite_mlx.load(folder) as model:
        options: dict[str, Any] = {"sample_rate": RATE, "max_new_tokens": 8}
        assert (
            without.transcribe(SECOND, **options).text == model.transcribe(SECOND, **options).text
        )
