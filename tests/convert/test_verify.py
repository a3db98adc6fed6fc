"""Comparisons of real conversions with their sources, checked against the two models themselves."""

import gc
import json
import math
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import granite_mlx
from granite_mlx.convert import convert, read_manifest, uniform, verify
from granite_mlx.convert.conversion import Verdict
from granite_mlx.convert.recipes import ROOMS, Limits, Recipe, Rule
from granite_mlx.convert.recordings import Recording
from granite_mlx.convert.verification import Verification
from granite_mlx.decoding.prompts import Task, instruction
from granite_mlx.engine import Cancelled, MLXThread, shared_thread
from granite_mlx.errors import AudioError, ConversionError
from granite_mlx.loading import UnreadModel
from granite_mlx.model.cache import DecoderCache
from granite_mlx.model.checkpoint import Checkpoint
from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.speech import GraniteSpeech

from .small import small_checkpoint, stored

Q8, Q4 = (uniform(QuantFormat(bits, 32)) for bits in (8, 4))
SAMPLE_RATE = 16_000


def noise(seed: int, n_samples: int, reference: str | None = None) -> Recording:
    samples = np.random.default_rng(seed).normal(scale=0.1, size=n_samples).astype(np.float32)
    return Recording(f"noise {seed}", samples, SAMPLE_RATE, reference)


RECORDINGS = (noise(1, 6_000, "one two three"), noise(2, 3_333))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verify")


@pytest.fixture(scope="module")
def source(folders: Path) -> Checkpoint:
    folder = small_checkpoint(folders / "source")
    return Checkpoint(folder, str(folder), None)


@pytest.fixture(scope="module")
def q8(folders: Path, source: Checkpoint) -> Path:
    convert(source.folder, folders / "q8", recipe=Q8)
    return folders / "q8"


@pytest.fixture(scope="module")
def found(source: Checkpoint, q8: Path) -> Verification:
    return verify.verify(source, q8, RECORDINGS)


# What is measured


@pytest.mark.parametrize("layout", ["granite-mlx", "mlx-audio"])
def test_nothing_changes_without_a_recipe(source: Checkpoint, tmp_path: Path, layout: str) -> None:
    convert(source.folder, tmp_path / "copy", layout=layout)
    same = verify.verify(source, tmp_path / "copy", RECORDINGS)
    assert same.weights == {}
    assert {same.outputs_of(room).error for room in ROOMS} == {0}
    assert min(same.outputs_of(room).source for room in ROOMS) > 0
    assert same.agreement.n_positions > 10
    assert (same.agreement.top1, same.agreement.kl_nats) == (1, 0)
    assert same.n_same_texts == len(RECORDINGS)


def test_weights_are_those_that_were_quantised(
    source: Checkpoint, q8: Path, found: Verification
) -> None:
    packed = {name.removesuffix(".scales") for name in stored(q8) if name.endswith(".scales")}
    assert {name.removesuffix(".weight") for name in found.weights} == packed
    original, parts = stored(source.folder)["projector.linear.weight"], stored(q8)
    matrix = mx.dequantize(
        *(parts[f"projector.linear.{part}"] for part in ("weight", "scales", "biases")),
        group_size=32,
        bits=8,
    )
    difference = found.weights["projector.linear.weight"]
    expected = mx.linalg.norm(matrix - original) / mx.linalg.norm(original)
    assert difference.relative_error == pytest.approx(expected.item(), rel=1e-4)
    assert 0.9999 < difference.cosine < 1


def test_fewer_bits_cost_more_in_every_room(
    source: Checkpoint, found: Verification, tmp_path: Path
) -> None:
    convert(source.folder, tmp_path / "q4", recipe=Q4)
    worse = verify.verify(source, tmp_path / "q4", RECORDINGS)
    for room in ROOMS:
        assert worse.weights_of(room).relative_error > 5 * found.weights_of(room).relative_error
        assert worse.outputs_of(room).relative_error > 5 * found.outputs_of(room).relative_error
        assert worse.outputs_of(room).cosine < found.outputs_of(room).cosine < 1
    assert worse.agreement.mean_kl_nats > 5 * found.agreement.mean_kl_nats > 0


class Inside:
    """A model as it is loaded for use, with its quantised modules; a token at a time."""

    def __init__(self, folder: Path) -> None:
        self.model = granite_mlx.load(folder, dtype="float32")

    def outputs(self, recording: Recording, ids: tuple[int, ...]) -> dict[str, np.ndarray]:
        return shared_thread().run(self._outputs, recording, ids)

    def _outputs(self, recording: Recording, ids: tuple[int, ...]) -> dict[str, np.ndarray]:
        from granite_mlx.audio.features import log_mel

        network, config = self.model.network, self.model.config
        features = log_mel(mx.array(recording.audio), self.model.features)[None]
        frames = network.encoder(features).frames
        audio = network.projector(frames)[0]
        prompt, at = self.model.prompt_ids(instruction(Task(), self.model.family))
        embedded = network.embed_prompt(prompt, at, audio)
        decoder = network.language_model
        cache = DecoderCache(config.text, mx.float32, 1, len(embedded) + len(ids))
        hidden = [decoder(embedded[None], cache)[:, -1]]
        hidden += [decoder(decoder.embed(mx.array([[i]])), cache)[:, -1] for i in ids[:-1]]
        rows = mx.concatenate(hidden)
        logits = np.array(decoder.logits(rows)).astype(np.float64)
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        arrays = {"encoder": frames, "projector": audio, "decoder": rows}
        return {room: np.array(array) for room, array in arrays.items()} | {"log_probs": log_probs}


def test_outputs_are_those_of_the_models_in_use(
    source: Checkpoint, q8: Path, found: Verification
) -> None:
    before, after = Inside(source.folder), Inside(q8)
    recording, comparison = RECORDINGS[0], found.recordings[0]
    with verify.open_for_comparison(source) as model:
        (answer,) = shared_thread().run(verify.ask, model, [recording], lambda: None)
    one, other = (inside.outputs(recording, answer.ids) for inside in (before, after))
    for room in ROOMS:
        expected = np.linalg.norm(other[room] - one[room]) / np.linalg.norm(one[room])
        assert comparison.outputs[room].relative_error == pytest.approx(expected, rel=0.02), room
    p, q = one["log_probs"], other["log_probs"]
    expected_kl = (np.exp(p) * (p - q)).sum()
    assert comparison.agreement.kl_nats == pytest.approx(expected_kl, rel=0.1)
    assert comparison.agreement.n_positions == len(answer.ids)
    assert comparison.agreement.n_same == (p.argmax(axis=1) == q.argmax(axis=1)).sum()


def test_texts_are_those_that_each_writes_by_itself(
    source: Checkpoint, q8: Path, found: Verification, unguarded: None
) -> None:
    for folder, kind in ((source.folder, "source_text"), (q8, "converted_text")):
        with granite_mlx.load(folder, dtype="float32") as model:
            texts = [model.transcribe(r.audio, sample_rate=SAMPLE_RATE).text for r in RECORDINGS]
        assert [getattr(comparison, kind) for comparison in found.recordings] == texts
    assert [comparison.reference for comparison in found.recordings] == ["one two three", None]
    assert [rate.n_wanted for rate in found.word_errors] == [3, 3]


def test_a_dequantised_result_is_its_source(q8: Path, tmp_path: Path) -> None:
    convert(q8, tmp_path / "floating", dequantise=True)
    same = verify.verify(Checkpoint(q8, "q8", None), tmp_path / "floating", RECORDINGS[:1])
    assert same.weights == {}
    assert same.agreement.kl_nats == 0


def test_quantised_modules_compute_what_was_dequantised(
    source: Checkpoint, q8: Path, found: Verification, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the conversion is compared as it is stored."""
    monkeypatch.setattr(verify.mx, "default_device", lambda: mx.Device(mx.gpu, 0))
    stored_as_is = verify.verify(source, q8, RECORDINGS)
    for room in ROOMS:
        error = stored_as_is.outputs_of(room).relative_error
        assert error == pytest.approx(found.outputs_of(room).relative_error, rel=0.02)
    expected = found.agreement.mean_kl_nats
    assert stored_as_is.agreement.mean_kl_nats == pytest.approx(expected, rel=0.1)


# How it is measured


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """The networks that were opened. None may live when the next one is."""
    networks: list[weakref.ref[Any]] = []
    read = UnreadModel.read

    def read_alone(unread: UnreadModel, thread: MLXThread) -> GraniteSpeech:
        gc.collect()
        assert [network() for network in networks] == [None] * len(networks)
        model = read(unread, thread)
        networks.append(weakref.ref(model.network))
        return model

    monkeypatch.setattr(UnreadModel, "read", read_alone)
    return networks


def test_the_two_models_are_never_in_memory_together(
    source: Checkpoint, q8: Path, opened: list[weakref.ref[Any]]
) -> None:
    verify.verify(source, q8, RECORDINGS[:1])
    gc.collect()
    assert [network() for network in opened] == [None, None]


def test_texts_are_compared_where_outputs_are_too_much_to_keep(
    source: Checkpoint, q8: Path, found: Verification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "KEPT_BYTES", 1)
    partly = verify.verify(source, q8, RECORDINGS)
    assert partly.recordings[0] == found.recordings[0]
    assert partly.recordings[1].agreement.n_positions == 0
    assert partly.recordings[1].converted_text == found.recordings[1].converted_text
    assert partly.outputs_of("encoder") == found.recordings[0].outputs["encoder"]


def test_progress(source: Checkpoint, q8: Path) -> None:
    seen: list[tuple[int, int]] = []
    verify.verify(source, q8, RECORDINGS, lambda *done: seen.append(done))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_progress_raises_ends_it(source: Checkpoint, q8: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        verify.verify(source, q8, RECORDINGS, stop)


def test_a_recording_that_does_not_fit(source: Checkpoint, q8: Path) -> None:
    with pytest.raises(AudioError, match="long"):
        verify.verify(source, q8, [noise(3, 60 * SAMPLE_RATE)])


def test_a_model_that_does_not_fit(
    source: Checkpoint, q8: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("granite_mlx.model.memory.WORKING_BYTES", 1 << 60)
    complaint = r"cannot be compared.*memory.*--no-verify"
    with pytest.raises(ConversionError, match=complaint):
        verify.verify(source, q8, RECORDINGS)
    with pytest.raises(ConversionError, match=complaint):
        verify.verifier(RECORDINGS).prepare(source)


# Layer by layer


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "has_room", lambda n_bytes: False)


@pytest.mark.usefixtures("short_of_memory")
def test_in_layers_the_figures_are_those_of_whole_models(
    source: Checkpoint, q8: Path, found: Verification
) -> None:
    """Led along the same tokens, the two ways agree."""
    in_layers = verify.verify(source, q8, RECORDINGS)
    told = replace(verify.IN_MEMORY, say=verify.is_told)
    whole = verify.verify(source, q8, RECORDINGS, way=told)
    for one, other in zip(in_layers.recordings, whole.recordings, strict=True):
        assert one.outputs == other.outputs
        assert one.agreement == other.agreement
        assert (one.source_text, one.converted_text) == (None, None)
    assert in_layers.recordings[0].agreement.n_positions > 10
    assert in_layers.recordings[1].agreement.n_positions == 0  # it has no text
    assert in_layers.outputs_of("encoder") == found.outputs_of("encoder")
    record = in_layers.to_record()
    assert (record["run"], record["n_same_texts"]) == ("layer by layer", None)
    assert record["word_errors"] is None


@pytest.mark.usefixtures("short_of_memory")
def test_in_layers_a_text_is_needed(source: Checkpoint, q8: Path) -> None:
    verifier = verify.verifier(RECORDINGS[1:])
    complaint = r"fit into memory whole.*NAME\.txt.*--no-verify"
    with pytest.raises(ConversionError, match=complaint):
        verifier.prepare(source)
    with pytest.raises(ConversionError, match=complaint):  # there may have been room before
        verify.verify(source, q8, RECORDINGS[1:])
    verify.verifier(RECORDINGS).prepare(source)


# With a conversion


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The recordings that come along, which are longer than the small model's context likes."""
    monkeypatch.setattr(verify, "packaged_recordings", lambda: list(RECORDINGS))


@pytest.mark.usefixtures("packaged")
def test_figures_reach_the_manifest(source: Checkpoint, tmp_path: Path) -> None:
    manifest = convert(
        source.folder,
        tmp_path / "result",
        recipe=Q8,
        verify=verify.verifier(),
    )
    assert manifest.exceeded == ()
    assert manifest.verification is not None
    assert manifest.verification["n_recordings"] == 2
    recordings = manifest.verification["recordings"]
    assert [(r["name"], r["has_reference"]) for r in recordings] == [
        ("noise 1", True),
        ("noise 2", False),
    ]
    assert len(manifest.verification["tensors"]) == manifest.n_quantised
    written = read_manifest(tmp_path / "result")
    assert written == manifest


def test_a_comparison_needs_recordings() -> None:
    with pytest.raises(ValueError, match="at least one recording"):
        verify.verifier([])


def test_the_recipes_limits_decide(source: Checkpoint, tmp_path: Path) -> None:
    strict = replace(Q8, limits=Limits(max_relative_error={"encoder": 1e-6}))
    hearing = verify.verifier(RECORDINGS)
    with pytest.raises(ConversionError, match=r"what the encoder puts out is off by"):
        convert(source.folder, tmp_path / "result", recipe=strict, verify=hearing)
    assert not (tmp_path / "result").exists()
    manifest = convert(
        source.folder, tmp_path / "result", recipe=strict, verify=hearing, accept_loss=True
    )
    assert len(manifest.exceeded) == 1


@pytest.mark.parametrize(
    "recording",
    [
        noise(3, 60 * SAMPLE_RATE),
        Recording("broken.wav", b"no sound"),
        Recording("click.wav", np.ones(256, np.float32), SAMPLE_RATE),
    ],
    ids=["too long", "unreadable", "too short"],
)
def test_a_bad_recording_is_found_before_anything_is_written(
    source: Checkpoint, tmp_path: Path, recording: Recording
) -> None:
    stages: list[str] = []
    with pytest.raises(AudioError):
        convert(
            source.folder,
            tmp_path / "result",
            recipe=Q8,
            verify=verify.verifier([recording]),
            on_progress=lambda stage, *_: stages.append(stage),
        )
    assert stages == []


def test_a_result_that_computes_no_numbers(source: Checkpoint, folders: Path) -> None:
    """As float16 may, where it overflows."""
    broken = folders / "broken"
    convert(source.folder, broken, recipe=Recipe("none", "", (Rule("*", None, ""),)))
    tensors = stored(broken)
    tensors["projector.linear.bias"] = tensors["projector.linear.bias"] * math.nan
    mx.save_safetensors(str(broken / "model.safetensors"), tensors)
    verdict: Verdict = verify.verifier(RECORDINGS)(source, broken, None)
    assert [sentence.split(" is ")[0] for sentence in verdict.exceeded] == [
        "what the projector puts out",
        "what the decoder puts out",
    ]
    json.dumps(verdict.figures, allow_nan=False)
    assert verdict.figures["outputs"]["decoder"]["relative_error"] is None
    assert verdict.figures["mean_kl_nats"] is None
    assert verdict.figures["outputs"]["encoder"] == {"relative_error": 0, "cosine": 1}


def test_the_source_with_another_type(source: Checkpoint, tmp_path: Path) -> None:
    convert(source.folder, tmp_path / "result", dtype="bfloat16")
    rounded = verify.verify(source, tmp_path / "result", RECORDINGS[:1])
    assert rounded.dtype == "float32"  # on the CPU
    assert 1e-4 < rounded.weights_of("decoder").relative_error < 4e-3
    assert rounded.agreement.mean_kl_nats > 0


def test_figures_of_a_part(found: Verification) -> None:
    part = replace(found, recordings=found.recordings[1:])
    assert part.outputs_of("decoder") == found.recordings[1].outputs["decoder"]
    assert part.to_record()["word_errors"] is None
