"""Each member of the family, small and with random weights, against transformers.

transformers makes the model and saves it; the folder that it writes is loaded as a user would.
"""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import granite_mlx
from granite_mlx import GraniteSpeech
from granite_mlx.audio.features import encoder_input
from granite_mlx.decoding.generate import generate
from granite_mlx.decoding.prompts import Task, instruction
from granite_mlx.decoding.sampling import greedy
from granite_mlx.engine import shared_thread
from granite_mlx.model.cache import DecoderCache
from granite_mlx.selftest.random_weights import random_signal

from ..model.tiny import changed, write_checkpoint

pytestmark = pytest.mark.slow

N_TOKENS = 8

YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "original_max_position_embeddings": 64,
}
BASE = changed("window_size", 6)  # transformers wants a multiple of `downsample_rate`
YARN_CONFIG = changed("text_config.rope_parameters", YARN, BASE)


def plus(config: dict[str, Any]) -> dict[str, Any]:
    """The first block is the middle one, whose feedback is in what the projector reads."""
    wide = changed("projector_config.encoder_hidden_size", 3 * 26, config)
    return changed("encoder_config.cat_hidden_layers", [1, 2], wide) | {
        "model_type": "granite_speech_plus"
    }


MEMBERS = {
    "granite-4.0-1b-speech": BASE,
    "granite-speech-4.1-2b": BASE,
    "granite-speech-4.1-2b-plus": plus(BASE),
    "granite-speech-4.1-2b-plus, as since October 2026": plus(YARN_CONFIG),
    "granite-speech-5.0-2b": YARN_CONFIG,
}
FAMILIES = ("4.0", "4.1", "4.1-plus", "4.1-plus", "5.0")


@pytest.mark.parametrize(("member", "family"), list(zip(MEMBERS, FAMILIES, strict=True)))
def test_a_member_computes_what_transformers_does(tmp_path: Path, member: str, family: str) -> None:
    pytest.importorskip("transformers", reason="needs the extra `reference`")
    from . import reference

    theirs = reference.build(MEMBERS[member])
    folder = write_checkpoint(tmp_path / member, config=MEMBERS[member])
    (folder / "model.safetensors").unlink()
    theirs.save_pretrained(folder)
    if family != "4.0":
        mx.save_safetensors(str(folder / "out_llm.safetensors"), {"weight": mx.ones((307, 26))})
    samples = random_signal(12_000)
    with granite_mlx.load(folder) as model:
        assert model.family == family
        ids, logits, tokens = shared_thread().run(computed, model, samples)
    wanted, wanted_tokens = expected(reference, theirs, samples, ids)
    assert np.abs(logits - wanted).max() < 1e-3 * np.abs(wanted).max()
    assert wanted_tokens
    assert tokens[: len(wanted_tokens)] == wanted_tokens


def computed(model: GraniteSpeech, samples: np.ndarray) -> tuple[list[int], np.ndarray, list[int]]:
    """The prompt's ids, logits behind each of them (n, vocabulary), and what is written then."""
    network, config = model.network, model.config
    features = encoder_input(samples, model.features, network.dtype)
    audio = network.projector(network.encoder(features).frames)[0]
    ids, at = model.prompt_ids(instruction(Task(), model.family))
    prompt = network.embed_prompt(ids, at, audio)
    decoder = network.language_model
    cache = DecoderCache(config.text, prompt.dtype, 1, len(prompt))
    logits = np.array(decoder.logits(decoder(prompt[None], cache))[0])
    (answer,) = generate(decoder, config.text, [prompt], greedy, N_TOKENS)
    places = [config.audio_token_index] * len(audio)
    return ids[:at] + places + ids[at:], logits, list(answer.ids)


def expected(
    reference: Any, theirs: Any, samples: np.ndarray, prompt: list[int]
) -> tuple[np.ndarray, list[int]]:
    """transformers' logits and tokens for the same.

    A random model may write the token that stands for audio, which cannot be read again.
    """
    features, tokens = reference.log_mel(samples), []
    last = (theirs.config.text_config.eos_token_id, theirs.config.audio_token_index)

    def logits(ids: list[int]) -> np.ndarray:
        with reference.torch.no_grad():
            batch = reference.torch.tensor([ids])
            found = theirs(input_ids=batch, input_features=features).logits[0]
            return reference.scaled(theirs, found).numpy()

    first = logits(prompt)
    token = int(first[-1].argmax())
    while token not in last and len(tokens) < N_TOKENS:
        tokens.append(token)
        token = int(logits([*prompt, *tokens])[-1].argmax())
    return first, tokens
