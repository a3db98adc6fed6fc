"""The demo checkpoint: the reference's tokens, batches, and half precision, on real recordings.

Stored by `make fixtures` from transformers' `generate`; `make parity` compares live. The examples
were chosen for being written down right; tests/data/held_out was drawn at random.
"""

import json

import mlx.core as mx
import numpy as np
import pytest

import granite_mlx
from granite_mlx.audio.features import encoder_input
from granite_mlx.audio.files import load_audio
from granite_mlx.decoding.generate import generate
from granite_mlx.decoding.prompts import Task, instruction
from granite_mlx.decoding.sampling import greedy
from granite_mlx.doctor import stage_check
from granite_mlx.selftest import recording, stages

QUESTION = instruction(Task(), "4.0")


@pytest.fixture(scope="module")
def model():
    with granite_mlx.load("demo", dtype="float32") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def recordings(demo_checkpoint, data_dir):
    examples = sorted(demo_checkpoint.glob("examples/*.flac"))
    drawn = sorted(data_dir.glob("held_out/*.flac"))
    assert drawn
    return {path.name: load_audio(path) for path in examples + drawn}


def features_of(model, samples):
    return encoder_input(samples, model.features, model.network.dtype)


def audio_tokens(model, samples):
    """One recording by itself: (n_audio_tokens, H)."""
    return model.network.projector(model.network.encoder(features_of(model, samples)).frames)[0]


def embed(model, audio, question):
    return model.network.embed_prompt(*model.prompt_ids(question), audio)


def answer(model, embedded):
    """Greedy tokens of embedded prompts."""
    answers = generate(model.network.language_model, model.config.text, embedded, greedy, 60)
    return [list(a.ids) for a in answers]


def test_greedy_tokens_are_the_references(model, recordings, data_dir):
    stored = json.loads((data_dir / "demo_tokens.json").read_text())
    assert stored.keys() == recordings.keys()
    for name, by_question in stored.items():
        for question, wanted in by_question.items():
            embedded = embed(model, audio_tokens(model, recordings[name]), question)
            assert answer(model, [embedded]) == [wanted], (name, question)


def test_stages_equal_the_reference(model):
    stored = np.load(recording.STORED)
    for name, stage in recording.STAGES.items():
        difference = stages.compare(stage(model), stored[name])
        check = stage_check(name, "float32", difference.largest, difference.relative)
        assert check.passed, check


def test_a_padded_batch_gives_each_recording_what_it_gets_alone(model, recordings):
    network = model.network
    features = [features_of(model, samples)[0] for samples in recordings.values()]
    lengths = [len(f) for f in features]
    assert len(set(lengths)) > 1
    longest = max(lengths)
    padded = mx.stack([mx.pad(f, [(0, longest - len(f)), (0, 0)]) for f in features])
    n_frames = mx.array(lengths)
    frames = network.encoder(padded, n_frames).frames
    projected = network.projector(frames, n_frames)
    batch, alone = [], []
    for row, samples in enumerate(recordings.values()):
        single = audio_tokens(model, samples)
        both = projected[row, : len(single)]
        assert mx.abs(both - single).max().item() <= 1e-5
        batch.append(embed(model, both, QUESTION))
        alone.append(embed(model, single, QUESTION))
    assert answer(model, batch) == [answer(model, [prompt])[0] for prompt in alone]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_writes_the_examples_right(demo_checkpoint, dtype):
    with granite_mlx.load("demo", dtype=dtype) as model:
        for path in sorted(demo_checkpoint.glob("examples/*.flac")):
            expected = path.with_suffix(".txt").read_text().strip()
            assert model.transcribe(path).text == expected, path.name
