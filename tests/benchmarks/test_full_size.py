import itertools
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from tokenizers import Tokenizer

import granite_mlx
from granite_mlx.convert import convert, uniform
from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.model.shards import read_headers
from granite_mlx.selftest.random_weights import random_signal

from ..convert.small import stored
from ..model.tiny import CONFIG

VOCABULARY = 2000
SMALL = CONFIG | {
    "audio_token_index": VOCABULARY - 1,
    "text_config": CONFIG["text_config"]
    | {"vocab_size": VOCABULARY, "eos_token_id": VOCABULARY - 96},
}
"""A configuration of few weights with room for the demo's tokens."""


@pytest.fixture
def small(full_size: ModuleType, tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    full_size.write_whole(folder, lambda part: full_size.write_checkpoint(part, SMALL, 3))
    return folder


def test_its_tensors_are_those_of_the_published_checkpoint(full_size: ModuleType) -> None:
    tensors = full_size.published_tensors(full_size.real_config())
    assert Counter(dtype for dtype, _ in tensors.values()) == {"BF16": 938, "I64": 16}
    sizes = {"BF16": 2, "I64": 8}
    n_bytes = sum(sizes[dtype] * math.prod(shape) for dtype, shape in tensors.values())
    assert 100 < (4_626_527_776 - n_bytes) / 954 < 140  # what remains are the headers
    assert tensors["language_model.lm_head.weight"] == ("BF16", (100_353, 2048))
    assert tensors["encoder.layers.0.conv.up_conv.weight"] == ("BF16", (4096, 1024, 1))
    assert tensors["encoder.layers.0.conv.depth_conv.conv.weight"] == ("BF16", (2048, 1, 15))


def test_its_files_are_of_about_equal_sizes(full_size: ModuleType) -> None:
    tensors = full_size.published_tensors(full_size.real_config())
    files = full_size.shards(tensors, 3)
    assert list(files) == [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    assert list(itertools.chain.from_iterable(files.values())) == list(tensors)
    values = [sum(math.prod(tensors[name][1]) for name in names) for names in files.values()]
    assert max(values) < 1.01 * min(values)
    assert list(full_size.shards(tensors, 1)) == ["model.safetensors"]


def test_special_tokens_are_where_the_published_ones_are(full_size: ModuleType) -> None:
    config = full_size.real_config()
    tokenizer = Tokenizer.from_str(json.dumps(full_size.padded_tokenizer(100_353)))
    assert tokenizer.get_vocab_size() == 100_353
    text = config["text_config"]
    for token, key, at in (
        ("<|audio|>", config["audio_token_index"], 100_352),
        ("<|end_of_text|>", text["eos_token_id"], 100_257),
        ("<|pad|>", text["pad_token_id"], 100_256),
    ):
        assert tokenizer.token_to_id(token) == key == at


def test_text_has_the_demos_tokens(full_size: ModuleType, demo_checkpoint: Path) -> None:
    padded = Tokenizer.from_str(json.dumps(full_size.padded_tokenizer(VOCABULARY)))
    demo = Tokenizer.from_file(str(demo_checkpoint / "tokenizer.json"))
    text = "can you transcribe the speech? « déjà »"
    assert padded.encode(text).ids == demo.encode(text).ids
    assert padded.decode(padded.encode(text).ids) == text


def test_a_vocabulary_that_is_too_small(full_size: ModuleType) -> None:
    with pytest.raises(ValueError, match="1800"):
        full_size.padded_tokenizer(1800)


def test_the_whole_path_runs_on_it(small: Path) -> None:
    assert {info.path.name for info in read_headers(small).values()} == {
        f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)
    }
    with granite_mlx.load(small) as model:
        transcript = model.transcribe(random_signal(16000), sample_rate=16000, max_new_tokens=5)
        parameters = [np.array(p.astype(mx.float32)) for _, p in model.network.named_parameters()]
    assert transcript.duration_s == 1
    assert all(np.isfinite(values).all() and values.std() > 0 for values in parameters)


def test_it_is_the_same_every_time(full_size: ModuleType, small: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    full_size.write_checkpoint(again, SMALL, 3)
    files = sorted(path.name for path in small.iterdir())
    assert files == sorted(path.name for path in again.iterdir())
    for name in files:
        assert (small / name).read_bytes() == (again / name).read_bytes(), name


def test_one_file_holds_what_three_do(full_size: ModuleType, small: Path, tmp_path: Path) -> None:
    """And converts to the same."""
    one = tmp_path / "one"
    full_size.write_whole(one, lambda part: full_size.write_checkpoint(part, SMALL, 1))
    assert [path.name for path in one.glob("model*")] == ["model.safetensors"]
    for source, n_files in ((one, 1), (small, 3)):
        assert len({info.path for info in read_headers(source).values()}) == n_files
        convert(source, tmp_path / "converted" / source.name, recipe=uniform(QuantFormat(8, 32)))
    for first, second in (
        (stored(one), stored(small)),
        (stored(tmp_path / "converted" / "one"), stored(tmp_path / "converted" / "small")),
    ):
        assert first.keys() == second.keys()
        for name, array in first.items():
            assert array.dtype == second[name].dtype, name
            assert mx.array_equal(array, second[name]).item(), name


def test_tensors_are_made_in_blocks(full_size: ModuleType, monkeypatch: Any) -> None:
    name, shape = "language_model.model.embed_tokens.weight", (100_353, 2048)
    assert next(full_size.random_blocks(name, shape)).nbytes <= 8 << 20
    monkeypatch.setattr(full_size, "BLOCK_VALUES", 70)
    blocks = list(full_size.random_blocks(name, (11, 20)))
    assert [block.shape for block in blocks] == [(3, 20)] * 3 + [(2, 20)]
    rows = {row.tobytes() for block in blocks for row in block}
    assert len(rows) == 11


# Complete or absent


def test_it_is_made_once(full_size: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    made: list[Path] = []

    def write(folder: Path, config: Any, n_shards: int) -> None:
        made.append(folder)
        (folder / "config.json").write_text(str(n_shards))

    monkeypatch.setenv("GRANITE_MLX_BENCH", str(tmp_path / "cache"))
    monkeypatch.setattr(full_size, "write_checkpoint", write)
    first, second = full_size.full_size_checkpoint(), full_size.full_size_checkpoint()
    assert first == second
    assert first.parent == tmp_path / "cache"
    assert len(made) == 1
    others = {full_size.full_size_checkpoint(2), full_size.full_size_checkpoint(2, 1)}
    assert len({first, *others}) == len(made) == 3


def test_what_fails_leaves_nothing(full_size: ModuleType, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        full_size.write_whole(tmp_path / "cache" / "model", fail)
    assert list((tmp_path / "cache").iterdir()) == []


def test_who_comes_second_leaves_the_first_ones(full_size: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "model"

    def write(part: Path) -> None:
        (part / "file").write_text("second")
        folder.mkdir()  # another process, which has begun later and is faster
        (folder / "file").write_text("first")

    full_size.write_whole(folder, write)
    assert (folder / "file").read_text() == "first"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_disk_without_room(full_size: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(OSError, match="GRANITE_MLX_BENCH"):
        full_size.write_checkpoint(tmp_path, SMALL, 1)
    assert not list(tmp_path.glob("*.safetensors"))
