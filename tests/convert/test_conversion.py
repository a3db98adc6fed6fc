import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn

import granite_mlx
from granite_mlx.convert import (
    RECIPES,
    BeyondLimitsError,
    Limits,
    Verdict,
    convert,
    prepare,
    read_manifest,
    uniform,
)
from granite_mlx.errors import ConversionError
from granite_mlx.model.checkpoint import Checkpoint
from granite_mlx.model.quantisation import QuantFormat, dequantise
from granite_mlx.model.shards import read_headers

from ..model.tiny import published_tensors
from .small import HEAD, TABLE, TIED, files, leftovers, small_checkpoint, stored

Q8 = uniform(QuantFormat(8, 64))
ENOUGH_S = 60


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


@pytest.mark.parametrize("options", [{}, {"recipe": "q4"}, {"layout": "mlx-audio"}], ids=str)
def test_the_number_of_shards_makes_no_difference(
    tmp_path: Path, result: Path, options: dict[str, Any]
) -> None:
    one, three = (small_checkpoint(tmp_path / f"{n}", dtype="BF16", n_shards=n) for n in (1, 3))
    assert len({info.path for info in read_headers(three).values()}) == 3
    for source in (one, three):
        convert(source, result / source.name, **options)
    first, second = (stored(result / source.name) for source in (one, three))
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.dtype == second[name].dtype, name
        assert mx.array_equal(array, second[name]).item(), name


@pytest.mark.slow  # test_variants.py lets the same conversion hear, as `load("demo:q8")`
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
    assert manifest.source.model_id == source.name  # and not where it lies
    assert str(source.parent) not in (result / "README.md").read_text()
    assert manifest.family == "4.1"  # as the second head tells
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
    assert manifest.n_bytes == (result / "model.safetensors").stat().st_size
    sizes = {path.name: path.stat().st_size for path in result.iterdir()}
    assert sizes.items() >= manifest.files.items()
    assert sizes.keys() - manifest.files.keys() == {"README.md", "granite_mlx.json"}
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
    assert manifest.dequantised
    assert "# quantised, dequantised\n" in (result / "README.md").read_text()
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


# Verification


class Verifying:
    """A verifier that finds what it is told to, and remembers what it was shown."""

    limits: Limits | None = None
    prepared = False

    def __init__(self, *exceeded: str) -> None:
        self.exceeded = exceeded
        self.seen: list[Any] = []

    def prepare(self, source: Checkpoint) -> None:
        self.prepared = True

    def __call__(self, source: Checkpoint, converted: Path, limits: Limits | None) -> Verdict:
        self.limits = limits
        with granite_mlx.load(converted) as model:  # it is whole, but for the manifest
            self.seen += [source.folder, converted.parent, model.dtype]
        return Verdict({"kl_nats": 0.25}, self.exceeded)


def test_figures_go_into_the_manifest_and_the_card(source: Path, result: Path) -> None:
    verify = Verifying()
    manifest = convert(source, result, recipe="q8", verify=verify)
    assert verify.limits == RECIPES["q8"].limits
    assert verify.seen == [source, result.parent, "bfloat16"]
    assert manifest.verification == {"kl_nats": 0.25}
    assert manifest.exceeded == ()
    assert read_manifest(result) == manifest
    assert "| kl nats | 0.25 |" in (result / "README.md").read_text()


def test_a_result_beyond_the_limits_is_not_kept(source: Path, result: Path) -> None:
    verify = Verifying("KL is 0.25, and 0.01 is allowed.")
    with pytest.raises(
        ConversionError, match=r"lost more .* KL is 0\.25, and 0\.01 is allowed\..*--accept-loss"
    ):
        convert(source, result, recipe="q8", verify=verify)
    assert verify.seen
    assert leftovers(result) == []


def test_a_result_beyond_the_limits_is_kept_where_that_is_accepted(
    source: Path, result: Path
) -> None:
    verify = Verifying("KL is 0.25, and 0.01 is allowed.")
    with pytest.raises(BeyondLimitsError):
        convert(source, result, recipe="q8", verify=verify, force=True)
    manifest = convert(source, result, recipe="q8", verify=verify, accept_loss=True)
    assert manifest.exceeded == ("KL is 0.25, and 0.01 is allowed.",)
    assert read_manifest(result) == manifest


def test_nothing_is_lost_where_nothing_is_compared(source: Path, result: Path) -> None:
    with pytest.raises(ValueError, match="accept_loss is of no use without verify"):
        convert(source, result, recipe="q8", accept_loss=True)
    assert leftovers(result) == []


class Failing(Verifying):
    def prepare(self, source: Checkpoint) -> None:
        raise granite_mlx.AudioError("no recordings.")


def test_a_verifier_that_would_fail_is_asked_before_the_work(source: Path, result: Path) -> None:
    stages: list[str] = []
    with pytest.raises(granite_mlx.AudioError):
        convert(
            source,
            result,
            recipe="q8",
            verify=Failing(),
            on_progress=lambda stage, *_: stages.append(stage),
        )
    assert stages == []
    assert leftovers(result) == []


def test_a_verifier_that_fails_leaves_nothing(source: Path, result: Path) -> None:
    class FailingLate(Verifying):
        def __call__(self, *_: Any) -> Verdict:
            raise granite_mlx.AudioError("no recordings.")

    with pytest.raises(granite_mlx.AudioError):
        convert(source, result, recipe="q8", verify=FailingLate())
    assert leftovers(result) == []
