"""What transformers' `save_pretrained` writes loads here with the same weights."""

import shutil
from pathlib import Path

import mlx.core as mx
import pytest

import granite_mlx
from granite_mlx.model.shards import read_headers

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("original_format", [True, False])
def test_what_it_saves_loads_here(
    tmp_path: Path, demo_checkpoint: Path, original_format: bool
) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra `reference`")
    model = transformers.GraniteSpeechForConditionalGeneration.from_pretrained(
        demo_checkpoint, dtype="auto"
    )
    model.save_pretrained(tmp_path, save_original_format=original_format)
    published = set(read_headers(tmp_path)) <= set(read_headers(demo_checkpoint))
    assert published == original_format
    for name in ("tokenizer.json", "chat_template.jinja", "preprocessor_config.json"):
        shutil.copyfile(demo_checkpoint / name, tmp_path / name)
    with granite_mlx.load("demo") as ours, granite_mlx.load(tmp_path) as saved:
        parameters = dict(saved.network.named_parameters())
        assert saved.dtype == ours.dtype
        for name, array in ours.network.named_parameters():
            assert mx.array_equal(parameters[name], array).item(), name
