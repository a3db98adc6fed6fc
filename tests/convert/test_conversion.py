import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import mlx.core as mx
import pytest
from huggingface_hub import constants
from mlx import nn

import granite_mlx
from granite_mlx.convert import RECIPES, Verdict, convert, prepare, read_manifest, stream, uniform
from granite_mlx.convert.conversion import OnProgress
from granite_mlx.errors import CheckpointError, ConversionError
from granite_mlx.model.checkpoint import Checkpoint
from granite_mlx.model.quantisation import QuantFormat, dequantise
from granite_mlx.model.shards import read_headers

from ..model.fake_hub import MODEL_ID, FakeHub
from ..model.tiny import edit_header, published_tensors
from .small import CONFIG, HEAD, TABLE, TIED, files, small_checkpoint, stored

Q8 = uniform(QuantFormat(8, 64))
ENOUGH_S = 60


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint of a folder, in bfloat16 and three shards, with a card and the draft head."""
    folder = small_checkpoint(
        tmp_path / "source", config=CONFIG | {"dtype": "bfloat16"}, dtype="BF16", n_shards=3
    )
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nIt listens.\n")
    (folder / "out_llm.safetensors").write_bytes(b"as it is")
    return folder


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """Where conversions go; a folder of its own shows what they leave behind."""
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "converted"


def leftovers(result: Path) -> list[str]:
    return [path.name for path in result.parent.iterdir()]


# What comes of it


def test_a_quantised_result_is_a_whole_checkpoint(source: Path, result: Path) -> None:
    convert(source, result, recipe="q8")
    assert {path.name for path in result.iterdir()} == {
        "README.md", "chat_template.jinja", "config.json", "granite_mlx.json", "model.safetensors",
        "out_llm.safetensors", "preprocessor_config.json", "tokenizer.json",
    }  # fmt: skip
    for name in ("chat_template.jinja", "out_llm.safetensors", "tokenizer.json"):
        assert (result / name).read_bytes() == (source / name).read_bytes()
    assert "It listens." in (result / "README.md").read_text()


def test_a_quantised_result_loads_and_computes_with_quantised_matrices(
    source: Path, result: Path
) -> None:
    convert(source, result, recipe="q4")
    with granite_mlx.load(result) as model:
        modules = dict(model.network.named_modules())
        weights = dict(model.network.named_parameters())
    tensors = stored(result)
    layer = modules["language_model.model.layers.1.mlp.up_proj"]
    assert isinstance(layer, nn.QuantizedLinear)
    assert (layer.bits, layer.group_size) == (4, 64)
    assert isinstance(modules["language_model.model.embed_tokens"], nn.QuantizedEmbedding)
    assert type(modules["projector.linear"]) is nn.Linear
    for name in ("language_model.lm_head.scales", "encoder.layers.1.conv.down_conv.weight"):
        assert mx.array_equal(weights[name], tensors[name]).item()


def test_a_floating_result_loads_as_its_source_does(source: Path, result: Path) -> None:
    manifest = convert(source, result)
    assert manifest.n_quantised == 0
    with granite_mlx.load(source) as before, granite_mlx.load(result) as after:
        weights = dict(after.network.named_parameters())
        for name, array in before.network.named_parameters():
            assert weights[name].dtype == array.dtype
            assert mx.array_equal(weights[name], array).item(), name


def test_the_demo_says_the_same_at_eight_bits(demo_checkpoint: Path, result: Path) -> None:
    convert("demo", result, recipe="q8")
    recording = demo_checkpoint / "examples" / "digits.flac"
    with granite_mlx.load("demo") as before, granite_mlx.load(result) as after:
        assert after.transcribe(recording).text == before.transcribe(recording).text != ""


def test_another_type(source: Path, result: Path) -> None:
    convert(source, result, dtype="float16")
    assert json.loads((result / "config.json").read_text())["dtype"] == "float16"
    with granite_mlx.load(result) as model:
        assert model.dtype == "float16"


def test_a_tied_head_is_not_written_twice(tmp_path: Path, result: Path) -> None:
    tensors = published_tensors(TIED)
    tensors[HEAD] = tensors[TABLE]
    source = small_checkpoint(tmp_path / "source", config=TIED, tensors=tensors)
    convert(source, result, recipe=Q8)
    assert not any("lm_head" in name for name in stored(result))
    with granite_mlx.load(result) as model:
        assert "lm_head" not in model.network.language_model


def test_the_manifest_tells_all(source: Path, result: Path) -> None:
    manifest = convert(source, result, recipe="q8")
    assert read_manifest(result) == manifest
    assert manifest.source.model_id == str(source)
    assert manifest.source.revision is None
    assert [file.name for file in manifest.source.weights] == [
        f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)
    ]
    assert manifest.recipe == json.loads(json.dumps(RECIPES["q8"].to_record()))
    assert set(manifest.kept_floating) == {
        "encoder.input_linear",
        "projector.qformer.encoder.layer.0.output_query.dense",
    }
    assert manifest.source_bytes == sum(file.n_bytes for file in manifest.source.weights)
    weights = (result / "model.safetensors").stat().st_size
    assert 0 < weights - manifest.n_bytes < 50_000  # the header
    assert manifest.verification is None


def test_the_source_is_left_as_it_is(source: Path, result: Path) -> None:
    before = files(source)
    convert(source, result, recipe="q4-small", dtype="float32")
    assert files(source) == before


def test_a_recipe_of_ones_own(source: Path, result: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        '[[rules]]\npattern = "encoder.*"\nbits = 8\ngroup_size = 32\n'
        '[[rules]]\npattern = "encodr.*"\nbits = 8\n'
    )
    manifest = convert(source, result, recipe=recipe)
    assert manifest.unused_patterns == ("encodr.*",)
    assert manifest.recipe is not None
    assert manifest.recipe["name"] == "mine"
    assert manifest.kept_floating == {}


def test_progress(source: Path, result: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    convert(source, result, recipe="q8", on_progress=lambda *call: calls.append(call))
    assert list(dict.fromkeys(stage for stage, _, _ in calls)) == ["hash", "write"]
    for stage in ("hash", "write"):
        done = [done_bytes for name, done_bytes, _ in calls if name == stage]
        (total,) = {total_bytes for name, _, total_bytes in calls if name == stage}
        assert done == sorted(set(done))
        assert 0.99 * total < done[-1] <= total  # the counters of training are not read


def test_a_plan_alone_writes_nothing(source: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    job = prepare(source, recipe="q8")
    assert len(job.plan.quantised) > 20
    assert files(tmp_path) == before


# Dequantising


def test_a_quantised_checkpoint_is_made_floating(
    source: Path, result: Path, tmp_path: Path
) -> None:
    quantised = tmp_path / "quantised"
    convert(source, quantised, recipe="q4")
    manifest = convert(quantised, result, dequantise=True)
    assert manifest.recipe is None
    config = json.loads((result / "config.json").read_text())
    assert not config.keys() & {"quantization", "quantization_config"}
    packed, floating, original = stored(quantised), stored(result), stored(source)
    assert {name for name, info in read_headers(result).items() if info.dtype != "BF16"} == set()
    for module, format in {
        "language_model.model.layers.0.mlp.up_proj": QuantFormat(4, 64),
        "encoder.layers.0.conv.up_conv": QuantFormat(8, 64),
    }.items():
        parts = {part: packed[f"{module}.{part}"] for part in ("weight", "scales", "biases")}
        wanted = dequantise(parts, format, mx.bfloat16)
        assert mx.array_equal(floating[f"{module}.weight"].reshape(wanted.shape), wanted).item()
    assert set(floating) == {name for name in original if "num_batches" not in name}


def test_dequantised_it_computes_the_same(source: Path, result: Path, tmp_path: Path) -> None:
    quantised = tmp_path / "quantised"
    convert(source, quantised, recipe="q8", dtype="float32")
    convert(quantised, result, dequantise=True)
    features = mx.random.normal((1, 21, 160), key=mx.random.key(1))
    with granite_mlx.load(quantised) as a, granite_mlx.load(result) as b:
        outputs = [model.network.encoder(features).frames for model in (a, b)]
        assert mx.allclose(*outputs, atol=1e-4).item()


def test_a_quantised_source_is_refused(source: Path, result: Path, tmp_path: Path) -> None:
    quantised = tmp_path / "quantised"
    convert(source, quantised, recipe="q8")
    with pytest.raises(ConversionError, match=r"quantised already .*affine 8 bits.*-d"):
        convert(quantised, result, recipe="q4")
    assert leftovers(result) == []


def test_a_floating_source_is_not_dequantised(source: Path, result: Path) -> None:
    with pytest.raises(ConversionError, match="is not quantised"):
        convert(source, result, dequantise=True)
    with pytest.raises(ConversionError, match="not both"):
        convert(source, result, dequantise=True, recipe="q8")
    assert leftovers(result) == []


# Refusals


@pytest.mark.parametrize("option", [{"dtype": "int8"}, {"layout": "whisper"}])
def test_wrong_arguments(source: Path, result: Path, option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        convert(source, result, **option)


def test_a_recipe_that_does_not_exist(source: Path, result: Path) -> None:
    with pytest.raises(ConversionError, match="there is no recipe 'q5'"):
        convert(source, result, recipe="q5")


def test_a_pickle_is_never_opened(source: Path, result: Path) -> None:
    for path in source.glob("model*"):
        path.unlink()
    (source / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    with pytest.raises(CheckpointError, match="never opened, use safetensors"):
        convert(source, result, recipe="q8")
    assert leftovers(result) == []


def test_a_corrupt_header(source: Path, result: Path) -> None:
    path = source / "model-00002-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model-00002.*fetch it again"):
        convert(source, result, recipe="q8")
    assert leftovers(result) == []


def test_a_wrong_shape(source: Path, result: Path) -> None:
    def transposed(header: dict[str, Any]) -> None:
        header[HEAD]["shape"].reverse()

    edit_header(read_headers(source)[HEAD].path, transposed)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight has the shape \[128, 307\]"):
        convert(source, result, recipe="q8")
    assert leftovers(result) == []


def test_a_source_without_a_tokenizer(source: Path, result: Path) -> None:
    (source / "tokenizer.json").unlink()
    with pytest.raises(ConversionError, match=r"has no tokenizer\.json"):
        convert(source, result)


def test_a_tied_head_that_differs(tmp_path: Path, result: Path) -> None:
    tensors = published_tensors(TIED)
    tensors[HEAD] = tensors[TABLE] + 1
    source = small_checkpoint(tmp_path / "source", config=TIED, tensors=tensors)
    with pytest.raises(CheckpointError, match=r"lm_head.*tie_word_embeddings"):
        convert(source, result, recipe=Q8)
    assert leftovers(result) == []


def test_the_source_is_no_destination(source: Path) -> None:
    before = files(source)
    with pytest.raises(ConversionError, match="leaves its source as it is"):
        convert(source, source, recipe="q8", force=True)
    assert files(source) == before


def test_a_destination_that_is_taken_is_seen_before_the_source(result: Path) -> None:
    result.mkdir()
    with pytest.raises(ConversionError, match="exists already"):
        convert("owner/does-not-exist", result)


def test_force_replaces_an_earlier_conversion(source: Path, result: Path) -> None:
    convert(source, result, recipe="q8")
    with pytest.raises(ConversionError, match="exists already"):
        convert(source, result, recipe="q4")
    manifest = convert(source, result, recipe="q4", force=True)
    assert read_manifest(result) == manifest
    assert leftovers(result) == [result.name]


# Never half a result


class FullDisk(io.FileIO):
    """A file on a disk that has room for so many bytes more."""

    room_bytes = 300_000

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if size > FullDisk.room_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        FullDisk.room_bytes -= size
        written = super().write(data)
        assert written is not None
        return written


@pytest.mark.parametrize("force", [False, True])
def test_a_disk_that_fills_leaves_everything_as_it_was(
    source: Path, result: Path, force: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if force:
        convert(source, result, recipe="q8")
    before = files(source.parent)
    monkeypatch.setattr(FullDisk, "room_bytes", 300_000)
    monkeypatch.setattr(stream, "open_new", lambda path: FullDisk(path, "xb"))
    with pytest.raises(ConversionError, match="the disk is full: nothing was kept"):
        convert(source, result, force=force)
    assert FullDisk.room_bytes < 290_000  # something had been written
    assert files(source.parent) == before


def test_a_disk_that_is_too_small_is_not_written_to(
    source: Path, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = prepare(source).plan.n_bytes
    usage = shutil._ntuple_diskusage(10**9, 10**9, needed)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    monkeypatch.setattr(stream, "open_new", pytest.fail)
    with pytest.raises(ConversionError, match=r"needs .* GB, but the disk has .* GB free"):
        convert(source, result)
    assert leftovers(result) == []


@pytest.mark.parametrize("stage", ["hash", "write"])
def test_an_exception_of_the_callback_ends_the_conversion(
    source: Path, result: Path, stage: str
) -> None:
    with pytest.raises(RuntimeError, match="enough"):
        convert(source, result, recipe="q8", on_progress=stopping_at(stage))
    assert leftovers(result) == []


def stopping_at(stage: str) -> OnProgress:
    def stop(at: str, done_bytes: int, total_bytes: int) -> None:
        if at == stage and done_bytes > total_bytes / 2:
            raise RuntimeError("enough")

    return stop


SLOW = """
import sys, time
from granite_mlx.convert import convert

def slow(stage, done_bytes, total_bytes):
    print(stage, flush=True)
    time.sleep(0.05)

convert(sys.argv[1], sys.argv[2], recipe="q8", on_progress=slow)
"""


def test_ctrl_c_leaves_nothing_behind(source: Path, result: Path) -> None:
    before = files(source.parent)
    command = [sys.executable, "-c", SLOW, str(source), str(result)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "write\n":
                    assert leftovers(result) != []
                    process.send_signal(signal.SIGINT)
                    break
            _, err = process.communicate(timeout=ENOUGH_S)
        finally:
            process.kill()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    assert leftovers(result) == []
    assert files(source.parent) == before


# Verification


class Verifying:
    """A verifier that finds what it is told to, and remembers what it was shown."""

    def __init__(self, *exceeded: str) -> None:
        self.exceeded = exceeded
        self.seen: list[Any] = []

    def __call__(self, source: Checkpoint, converted: Path) -> Verdict:
        with granite_mlx.load(converted) as model:  # it is whole, but for the manifest
            self.seen += [source.folder, converted.parent, model.dtype]
        return Verdict({"kl_nats": 0.25}, self.exceeded)


def test_figures_go_into_the_manifest_and_the_card(source: Path, result: Path) -> None:
    verify = Verifying()
    manifest = convert(source, result, recipe="q8", verify=verify)
    assert verify.seen == [source, result.parent, "bfloat16"]
    assert manifest.verification == {"kl_nats": 0.25}
    assert manifest.exceeded == ()
    assert read_manifest(result) == manifest
    assert "| kl nats | 0.25 |" in (result / "README.md").read_text()


def test_a_result_beyond_the_limits_is_not_kept(source: Path, result: Path) -> None:
    verify = Verifying("KL is 0.25, and 0.01 is allowed.")
    with pytest.raises(
        ConversionError, match=r"lost more .* KL is 0\.25, and 0\.01 is allowed\..*--force"
    ):
        convert(source, result, recipe="q8", verify=verify)
    assert verify.seen
    assert leftovers(result) == []


def test_a_result_beyond_the_limits_is_kept_by_force(source: Path, result: Path) -> None:
    verify = Verifying("KL is 0.25, and 0.01 is allowed.")
    manifest = convert(source, result, recipe="q8", verify=verify, force=True)
    assert manifest.exceeded == ("KL is 0.25, and 0.01 is allowed.",)
    assert read_manifest(result) == manifest


def test_a_verifier_that_fails_leaves_nothing(source: Path, result: Path) -> None:
    def failing(source: Checkpoint, converted: Path) -> Verdict:
        raise granite_mlx.AudioError("no recordings.")

    with pytest.raises(granite_mlx.AudioError):
        convert(source, result, recipe="q8", verify=failing)
    assert leftovers(result) == []


# Sources of the hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The hub that huggingface_hub talks to, and an empty cache."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with FakeHub() as hub:
        address = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub
    huggingface_hub.close_session()


def test_a_model_of_the_hub(hub: FakeHub, source: Path, result: Path) -> None:
    content = files(source)
    commit = hub.commit(content | {"LICENSE": b"Apache", "pytorch_model.bin": b"p"})
    stages: list[str] = []
    manifest = convert(
        MODEL_ID, result, recipe="q8", on_progress=lambda stage, *_: stages.append(stage)
    )
    assert (manifest.source.model_id, manifest.source.revision) == (MODEL_ID, commit)
    assert stages[0] == "download"
    for name in ("tokenizer.json", "out_llm.safetensors"):
        assert (result / name).read_bytes() == content[name]
    assert not (result / name).is_symlink()
    assert (result / "LICENSE").read_bytes() == b"Apache"
    assert f"base_model: {MODEL_ID}" in (result / "README.md").read_text()
    assert "pytorch_model.bin" not in hub.fetched()


def test_what_is_in_the_cache_is_converted_without_the_network(
    hub: FakeHub, source: Path, result: Path
) -> None:
    commit = hub.commit(files(source))
    convert(MODEL_ID, result, recipe="q8")
    hub.close()
    again = result.with_name("again")
    assert convert(MODEL_ID, again, recipe="q8").source.revision == commit
    assert stored(again).keys() == stored(result).keys()


def test_what_only_conversion_wants_is_left_out_without_the_network(
    hub: FakeHub, source: Path, result: Path
) -> None:
    hub.commit(files(source))
    granite_mlx.load(MODEL_ID).close()
    assert "README.md" not in hub.fetched()
    hub.close()
    convert(MODEL_ID, result, recipe="q8")
    assert not (result / "out_llm.safetensors").exists()


def test_a_model_that_does_not_exist(hub: FakeHub, result: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a folder nor a model of the hub"):
        convert("owner/nobody", result, recipe="q8")
    assert leftovers(result) == []


def test_no_network(hub: FakeHub, result: Path) -> None:
    hub.close()
    with pytest.raises(CheckpointError, match="out of reach"):
        convert(MODEL_ID, result, recipe="q8")
    assert leftovers(result) == []
