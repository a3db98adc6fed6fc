"""What `granite-mlx bench` and the harness share."""

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

import granite_mlx
from granite_mlx.bench.machine import blas_of, installed, this_machine
from granite_mlx.bench.memory import peak_resident_bytes, reset_peak_resident
from granite_mlx.bench.spread import spread, spread_if_any
from granite_mlx.bench.stages import time_stages, time_whole
from granite_mlx.bench.wav import example_speech, read_wav, write_wav
from granite_mlx.engine import shared_thread


def test_a_spread_is_median_and_range() -> None:
    found = spread(iter([3.0, 1.0, 2.0, 10.0]))
    assert (found.median, found.lowest, found.highest, found.n) == (2.5, 1.0, 10.0, 4)
    assert spread_if_any([]) is None
    with pytest.raises(ValueError, match="nothing"):
        spread([])


def test_the_recording_has_any_length_and_is_speech() -> None:
    long = example_speech(60)
    assert long.dtype == np.float32
    assert len(long) == 60 * 16000
    short = example_speech(1.2345)
    assert len(short) == 19752
    assert np.array_equal(short, long[: len(short)])
    loudness = np.abs(long).reshape(60, -1).max(axis=1)
    assert loudness.min() > 0.01, "a second of it is silent"


def test_a_wav_holds_the_recording_exactly(tmp_path: Path) -> None:
    samples = example_speech(3)
    write_wav(tmp_path / "x.wav", samples)
    assert np.array_equal(read_wav(tmp_path / "x.wav"), samples)
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (16000, 1, 48000)


def test_the_machine_is_described() -> None:
    machine = this_machine()
    assert machine.chip
    assert machine.n_cores >= 1
    assert machine.memory_bytes > 1 << 30
    assert machine.system.split()[0] in ("Linux", "macOS")
    assert installed(["numpy", "no-such-package"]) == {"numpy": np.__version__}


def test_blas_libraries_are_known_by_their_names() -> None:
    names = ["libopenblasp-r0.3.21.so", "libc.so.6", "libmlx.so", "libblas-bd8a282c.so.3.10.0"]
    assert blas_of(names) == "libblas-bd8a282c.so.3.10.0, libopenblasp-r0.3.21.so"
    assert blas_of(["libc.so.6"]) == "none"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can begin anew")
def test_a_peak_counts_from_its_reset() -> None:
    size = 256 << 20
    held = bytearray(b"x") * size
    high = peak_resident_bytes()
    del held
    if not reset_peak_resident():
        pytest.skip("the system does not let a process reset it")
    assert peak_resident_bytes() < high - size / 2


def test_other_environments_can_import_what_they_need() -> None:
    """A peer's has no MLX of ours, and need not have our other requirements."""
    script = (
        "import sys\n"
        "for name in ('mlx', 'soundfile', 'av', 'tokenizers', 'huggingface_hub', 'jinja2'):\n"
        "    sys.modules[name] = None\n"
        "from granite_mlx.bench import machine, memory, spread, wav\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# Stages


@pytest.fixture(scope="module")
def model() -> granite_mlx.GraniteSpeech:
    return granite_mlx.load("demo", dtype="float32")


def test_stages_are_those_of_a_transcription(model: granite_mlx.GraniteSpeech) -> None:
    samples = example_speech(2.5)
    text = model.transcribe(samples, sample_rate=16000, speculative="off").text
    n_tokens = len(model.tokenizer.encode(" " + text))
    assert n_tokens > 2
    times = shared_thread().run(time_stages, model, samples, n_tokens)
    assert model.tokenizer.decode(times.ids).strip() == text
    assert (times.n_frames, times.n_tokens) == (125, n_tokens)
    question = "can you transcribe the speech into a written format?"
    n_text = len(model.prompt_ids(question)[0])
    assert times.n_positions == n_text + model.config.n_audio_tokens(125)
    parts = (times.features_s, times.encoder_s, times.projector_s, times.prefill_s, times.decode_s)
    assert all(part > 0 for part in parts)
    assert times.first_token_s == pytest.approx(sum(parts[:4]))
    assert times.tokens_per_s == pytest.approx((n_tokens - 1) / times.decode_s)


def test_the_length_is_forced_beyond_the_end(model: granite_mlx.GraniteSpeech) -> None:
    times = shared_thread().run(time_stages, model, example_speech(2.5), 40)
    assert times.n_tokens == len(times.ids) == 40
    assert model.config.text.eos_token_id in times.ids
    one = shared_thread().run(time_stages, model, example_speech(2.5), 1)
    assert (one.n_tokens, one.tokens_per_s) == (1, 0.0)


@pytest.mark.parametrize("speculative", ["exact", "off"])
def test_a_whole_transcription(model: granite_mlx.GraniteSpeech, speculative: str) -> None:
    samples = example_speech(2.5)
    times = time_whole(model, samples, sample_rate=16000, speculative=speculative)  # type: ignore[arg-type]
    assert times.text == model.transcribe(samples, sample_rate=16000).text
    assert times.first_token_s is not None
    assert 0 < times.first_token_s <= times.total_s


def test_a_silent_recording_has_no_first_token(model: granite_mlx.GraniteSpeech) -> None:
    times = time_whole(model, np.zeros(16000, np.float32), sample_rate=16000)
    assert (times.text, times.first_token_s) == ("", None)
