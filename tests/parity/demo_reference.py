"""The demo checkpoint as transformers computes it: stages, and greedy tokens of every example.

    python tests/parity/demo_reference.py                # compare with ours, live
    python tests/parity/demo_reference.py --write        # and write the stored values anew
    python tests/parity/demo_reference.py --corpus WORK  # on every held-out recording of the recipe

Needs the extra `reference`. Rows are compared unpadded: the reference has no padding mask.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import reference  # this folder's; loads the fast BLAS before mlx
import torch
from transformers import AutoTokenizer, GraniteSpeechForConditionalGeneration

import granite_mlx
from granite_mlx.audio.features import encoder_input
from granite_mlx.audio.files import load_audio
from granite_mlx.decoding.generate import generate
from granite_mlx.decoding.prompts import Task, instruction
from granite_mlx.decoding.sampling import greedy
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
        """The stages of `granite_mlx.selftest.recording`."""
        features = reference.log_mel(samples)
        frames = self.model.model.encoder(features).last_hidden_state
        ids = self.prompt(instruction(Task(), "4.0"), features.shape[1])
        logits = self.model(input_ids=ids, input_features=features).logits[:, -1]
        outputs = {
            "features": features,
            "frames": frames,
            "audio tokens": self.model.model.projector(frames),
            "logits": reference.scaled(self.model, logits),
        }
        return {name: value.numpy() for name, value in outputs.items()}


def our_tokens(
    model: granite_mlx.GraniteSpeech, recordings: list[np.ndarray], question: str
) -> list[list[int]]:
    """Greedy tokens of a batch of recordings, each encoded by itself."""
    network = model.network
    prompts = []
    for samples in recordings:
        features = encoder_input(samples, model.features, network.dtype)
        audio = network.projector(network.encoder(features).frames)[0]
        prompts.append(network.embed_prompt(*model.prompt_ids(question), audio))
    answers = generate(network.language_model, model.config.text, prompts, greedy, MAX_NEW_TOKENS)
    return [list(answer.ids) for answer in answers]


def examples() -> dict[str, np.ndarray]:
    """The packaged recordings."""
    return {path.name: load_audio(path) for path in sorted(DEMO_FOLDER.glob("examples/*.flac"))}


def held_out(work: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every held-out recording of the recipe's corpus."""
    for path in sorted(work.glob("test_*.jsonl")):
        pcm = np.memmap(path.with_suffix(".i16"), dtype="<i2", mode="r")
        for number, line in enumerate(path.read_text().splitlines()):
            entry = json.loads(line)
            samples = pcm[entry["start"] : entry["start"] + entry["n_samples"]]
            yield f"{path.stem} {number}", samples.astype(np.float32) / 32767


def compare_stages(model: granite_mlx.GraniteSpeech, theirs: Reference, write: bool) -> bool:
    """Print the differences of the stages; -> whether all are within the limits."""
    samples = load_audio(recording.RECORDING)
    values = {k: stages.thin(v) for k, v in theirs.stage_outputs(samples).items()}
    passed = True
    for name, stage in recording.STAGES.items():
        difference = stages.compare(stage(model), values[name])
        passed &= difference.largest <= (1e-3 if name == "logits" else 1e-4)
        print(f"{name:24}{difference.largest:12.1e}{difference.relative:12.1e}")
    if write:
        ids = theirs.tokens(samples, instruction(Task(), "4.0"))
        text = theirs.tokenizer.decode(ids, skip_special_tokens=True).strip()
        np.savez_compressed(recording.STORED, text=np.array(text), **values)
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the stored values anew")
    parser.add_argument("--corpus", type=Path, help="work folder of demo.corpus")
    args = parser.parse_args()
    model, theirs = granite_mlx.load("demo", dtype="float32"), Reference.load()
    passed = compare_stages(model, theirs, args.write)
    stored: dict[str, dict[str, list[int]]] = {}
    n_equal = n_all = 0
    todo = [(n, s, TASKS) for n, s in examples().items()]
    if args.corpus:
        todo += [(n, s, TASKS[:1]) for n, s in held_out(args.corpus)]
    for name, samples, tasks in todo:
        for task in tasks:
            question = instruction(task, "4.0")
            wanted = theirs.tokens(samples, question)
            (found,) = our_tokens(model, [samples], question)
            n_all, n_equal = n_all + 1, n_equal + (found == wanted)
            if found != wanted:
                print(f"{name}, {question!r}: {found} is not {wanted}")
            if tasks is TASKS:
                stored.setdefault(name, {})[question] = wanted
    print(f"{n_equal} of {n_all} answers have the reference's tokens")
    if args.write:
        TOKENS.write_text(json.dumps(stored, indent=1) + "\n")
    return 0 if passed and n_equal == n_all else 1


if __name__ == "__main__":
    sys.exit(main())
