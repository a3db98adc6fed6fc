"""The demo checkpoint as transformers computes it: stages and greedy tokens of real recordings.

    python tests/parity/demo_reference.py                # compare with ours, live
    python tests/parity/demo_reference.py --write        # and write the stored values anew
    python tests/parity/demo_reference.py --corpus WORK  # on every held-out recording as well
    python tests/parity/demo_reference.py --write --corpus WORK  # first draw some of those anew

The recordings are the packaged examples, which were chosen for being written down right, and those
of tests/data/held_out, which were drawn at random.

Needs the extra `reference`. Rows are compared unpadded: the reference has no padding mask.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import held_out  # this folder's
import numpy as np
import reference  # likewise; loads the fast BLAS before mlx
import torch
from transformers import AutoTokenizer, GraniteSpeechForConditionalGeneration

import granite_mlx
from granite_mlx.audio.features import encoder_input
from granite_mlx.audio.files import load_audio
from granite_mlx.decoding.generate import generate
from granite_mlx.decoding.prompts import Task, instruction
from granite_mlx.decoding.sampling import greedy
from granite_mlx.model.cache import DecoderCache
from granite_mlx.model.checkpoint import DEMO_FOLDER
from granite_mlx.selftest import recording, stages

TOKENS = Path(__file__).parents[1] / "data" / "demo_tokens.json"
MAX_NEW_TOKENS = 60
TASKS = (
    Task(),
    Task(punctuate=True),
    Task(keywords=("Erik", "Kathryn", "Oslo")),
    Task(to="fr"),
    Task(to="en"),
)
PLAIN = instruction(Task(), "4.0")


@dataclass(frozen=True)
class Reference:
    """transformers' model and tokenizer of the demo checkpoint, in float32."""

    model: GraniteSpeechForConditionalGeneration
    tokenizer: AutoTokenizer

    @staticmethod
    def load() -> "Reference":
        model = GraniteSpeechForConditionalGeneration.from_pretrained(
            DEMO_FOLDER, dtype=torch.float32
        )
        return Reference(model.eval(), AutoTokenizer.from_pretrained(DEMO_FOLDER))

    def prompt(self, question: str, n_frames: int) -> torch.Tensor:
        """Token ids (1, n) by the checkpoint's own chat template."""
        config = self.model.config
        n_audio = -(-n_frames // config.window_size) * (
            config.window_size // config.downsample_rate
        )
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": "<|audio|>" + question}],
            tokenize=False,
            add_generation_prompt=True,
        )
        text = text.replace("<|audio|>", "<|audio|>" * n_audio)
        return self.tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids

    @torch.no_grad()
    def tokens(self, samples: np.ndarray, question: str) -> list[int]:
        """What `generate` gives, without the end token."""
        features = reference.log_mel(samples)
        ids = self.prompt(question, features.shape[1])
        out = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=features,
            do_sample=False,
            max_new_tokens=MAX_NEW_TOKENS,
        )[0, ids.shape[1] :].tolist()
        eos = self.tokenizer.eos_token_id
        return out[: out.index(eos)] if eos in out else out

    @torch.no_grad()
    def stage_outputs(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """The stages of `granite_mlx.selftest.recording`, logits at every position."""
        features = reference.log_mel(samples)
        frames = self.model.model.encoder(features).last_hidden_state
        ids = self.prompt(PLAIN, features.shape[1])
        logits = self.model(input_ids=ids, input_features=features).logits
        outputs = {
            "features": features,
            "frames": frames,
            "audio tokens": self.model.model.projector(frames),
            "logits": reference.scaled(self.model, logits),
        }
        return {name: value.numpy() for name, value in outputs.items()}


def our_outputs(
    model: granite_mlx.GraniteSpeech, samples: np.ndarray
) -> dict[str, stages.mx.array]:
    """The same of our network."""
    network = model.network
    features = encoder_input(samples, model.features, network.dtype)
    frames = network.encoder(features).frames
    audio = network.projector(frames)
    embedded = network.embed_prompt(*model.prompt_ids(PLAIN), audio[0])[None]
    states = DecoderCache(model.config.text, network.dtype, 1, embedded.shape[1])
    logits = network.language_model.logits(network.language_model(embedded, states))
    return {"features": features, "frames": frames, "audio tokens": audio, "logits": logits}


def our_tokens(model: granite_mlx.GraniteSpeech, samples: np.ndarray, question: str) -> list[int]:
    """Greedy tokens of a recording."""
    network = model.network
    features = encoder_input(samples, model.features, network.dtype)
    audio = network.projector(network.encoder(features).frames)[0]
    prompt = network.embed_prompt(*model.prompt_ids(question), audio)
    (answer,) = generate(
        network.language_model, model.config.text, [prompt], greedy, MAX_NEW_TOKENS
    )
    return list(answer.ids)


def recordings() -> dict[str, np.ndarray]:
    """The packaged examples and the held-out recordings in tests/data."""
    paths = [*DEMO_FOLDER.glob("examples/*.flac"), *held_out.DRAWN.glob("*.flac")]
    return {path.name: load_audio(path) for path in sorted(paths)}


def compare_stages(model: granite_mlx.GraniteSpeech, theirs: Reference) -> bool:
    """Print the differences of whole stages, the worst of all recordings; -> are they small?"""
    found: dict[str, list[stages.Difference]] = {}
    for samples in recordings().values():
        ours = our_outputs(model, samples)
        for name, values in theirs.stage_outputs(samples).items():
            found.setdefault(name, []).append(stages.compare_whole(ours[name], values))
    passed = True
    for name, differences in found.items():
        largest = max(d.largest for d in differences)
        relative = max(d.relative for d in differences)
        passed &= largest <= (1e-3 if name == "logits" else 1e-4)
        print(f"{name:24}{largest:12.1e}{relative:12.1e}")
    return passed


def write_self_test(theirs: Reference) -> None:
    """Store what `granite_mlx.selftest.recording` compares: of the logits the last."""
    samples = load_audio(recording.RECORDING)
    outputs = theirs.stage_outputs(samples)
    outputs["logits"] = outputs["logits"][:, -1]
    ids = theirs.tokens(samples, PLAIN)
    text = theirs.tokenizer.decode(ids, skip_special_tokens=True).strip()
    values = {name: stages.thin(value) for name, value in outputs.items()}
    np.savez_compressed(recording.STORED, text=np.array(text), **values)


class Comparison:
    """Counts the answers whose tokens are the reference's, and prints the others."""

    def __init__(self, model: granite_mlx.GraniteSpeech, theirs: Reference) -> None:
        self.model, self.theirs = model, theirs
        self.n_equal = self.n_all = 0

    def tokens(self, name: str, samples: np.ndarray, question: str) -> list[int]:
        """The reference's tokens."""
        wanted = self.theirs.tokens(samples, question)
        found = our_tokens(self.model, samples, question)
        self.n_all, self.n_equal = self.n_all + 1, self.n_equal + (found == wanted)
        if found != wanted:
            print(f"{name}, {question!r}: {found} is not {wanted}")
        return wanted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the stored values anew")
    parser.add_argument("--corpus", type=Path, help="work folder of demo.corpus")
    args = parser.parse_args()
    if args.write and args.corpus:
        held_out.draw(args.corpus)
    model, theirs = granite_mlx.load("demo", dtype="float32"), Reference.load()
    passed = compare_stages(model, theirs)
    comparison = Comparison(model, theirs)
    questions = [instruction(task, "4.0") for task in TASKS]
    stored = {
        name: {question: comparison.tokens(name, samples, question) for question in questions}
        for name, samples in recordings().items()
    }
    if args.write:
        write_self_test(theirs)
        TOKENS.write_text(json.dumps(stored, indent=1) + "\n")
    elif args.corpus:
        for one in chain.from_iterable(held_out.sets(args.corpus)):
            comparison.tokens(one.name, one.samples, PLAIN)
    print(f"{comparison.n_equal} of {comparison.n_all} answers have the reference's tokens")
    return 0 if passed and comparison.n_equal == comparison.n_all else 1


if __name__ == "__main__":
    sys.exit(main())
