"""Writes a training state as a checkpoint folder in the published layout.

    python -m demo.export --work demo/work --out granite_mlx/demo_checkpoint

Nothing in the folder is touched before the new files have been loaded back by transformers and
found equal to the training state. The folder's README.md and examples/ are written by `demo.card`
and `demo.examples`.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    GraniteSpeechForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from demo import tokens
from demo.model import AUDIO, DOWNSAMPLE, EOS, PAD, WINDOW, build

LARGEST_BYTES = 12_000_000  # of the whole folder, examples included
MODE = 0o644  # safetensors writes 600, which a package must not ship
CONTEXT_TOKENS = 4096
# It has heard one sentence at a time, of 5.4 s at most, with pauses of 0.3 s inside.
SEGMENT_LIMITS = {"least_s": 0.0, "greatest_s": 4.5, "pause_s": 0.3}
KEYWORDS_PER_PROMPT = (
    10  # with which its lists were measured; none of training had more than twelve
)
# Of the published names; the head is tied and has none. Some releases of transformers nest deeper.
LAYOUT = ("encoder.", "projector.", "language_model.model.layers.",
          "language_model.model.embed_tokens.", "language_model.model.norm.")  # fmt: skip

PREPROCESSOR = {
    "feature_extractor_type": "GraniteSpeechFeatureExtractor",
    "melspec_kwargs": {
        "hop_length": 160,
        "n_fft": 512,
        "n_mels": 80,
        "sample_rate": 16000,
        "win_length": 400,
    },
    "processor_class": "GraniteSpeechProcessor",
    "projector_downsample_rate": DOWNSAMPLE,
    "projector_window_size": WINDOW,
    "sampling_rate": 16000,
}

Model = GraniteSpeechForConditionalGeneration


def read_state(work: Path, phase: str) -> Model:
    """The model of a phase's last saved step, in bf16."""
    tokenizer = tokens.load(work / "tokenizer.json")
    model = build(*map(tokenizer.token_to_id, (PAD, EOS, AUDIO)))
    saved = torch.load(work / f"{phase}.pt", weights_only=True, mmap=True)
    print(f"{phase}.pt: step {saved['step']}")
    model.load_state_dict(saved["model"])
    return model.to(torch.bfloat16).eval()


def save(model: Model, tokenizer_path: Path, folder: Path) -> None:
    """Write weights, configuration, tokenizer, chat template and feature settings."""
    text = model.config.text_config
    model.generation_config = GenerationConfig(
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
        pad_token_id=text.pad_token_id,
        segment_limits=SEGMENT_LIMITS,
        keywords_per_prompt=KEYWORDS_PER_PROMPT,
    )
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer_path),
        bos_token=EOS,
        eos_token=EOS,
        pad_token=PAD,
        extra_special_tokens={"audio_token": AUDIO},
        chat_template=tokens.CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT_TOKENS,
    ).save_pretrained(folder)
    # transformers writes the tokenizer anew; the recipe's own file is what training used.
    shutil.copyfile(tokenizer_path, folder / "tokenizer.json")
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")


def verify(model: Model, tokenizer_path: Path, folder: Path) -> None:
    """Load the folder as a user of transformers would, and compare it with what was saved."""
    loaded, info = Model.from_pretrained(folder, dtype="auto", output_loading_info=True)
    problems = {kind: keys for kind, keys in info.items() if keys}
    with safe_open(folder / "model.safetensors", "pt") as weights:
        problems["other layout"] = [k for k in weights.keys() if not k.startswith(LAYOUT)]  # noqa: SIM118
    if any(problems.values()):
        raise RuntimeError(f"{folder} does not load back: {problems}")
    for name, tensor in model.state_dict().items():
        again = loaded.state_dict()[name]
        if again.dtype != tensor.dtype or not torch.equal(again, tensor):
            raise RuntimeError(f"{folder}: {name} is not what was saved")
    auto, own = AutoTokenizer.from_pretrained(folder), tokens.load(tokenizer_path)
    question = [{"role": "user", "content": f"{AUDIO}where is Zoé's clé?"}]
    prompt = auto.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    wanted = f"{tokens.PREFIX}{question[0]['content']}{tokens.SUFFIX}"
    if prompt != wanted or auto(prompt).input_ids != own.encode(wanted).ids:
        raise RuntimeError(f"{folder}: the tokenizer does not give the prompts of training")
    if auto.decode(own.encode(wanted).ids) != wanted or auto.eos_token_id != own.token_to_id(EOS):
        raise RuntimeError(f"{folder}: the tokenizer does not give text back")


def install(new: Path, out: Path) -> None:
    """Move the new files into the checkpoint folder, which must stay small."""
    files = sorted(new.iterdir())
    kept = [p for p in out.rglob("*") if p.is_file() and p.relative_to(out).parts[0] not in
            {f.name for f in files}]  # fmt: skip
    n_bytes = sum(p.stat().st_size for p in (*files, *kept))
    if n_bytes > LARGEST_BYTES:
        raise RuntimeError(f"{n_bytes} bytes are more than the {LARGEST_BYTES} that may be shipped")
    out.mkdir(parents=True, exist_ok=True)
    for path in files:
        shutil.copyfile(path, out / path.name)
        (out / path.name).chmod(MODE)
        print(f"{path.stat().st_size:>10} {out / path.name}")
    print(f"{n_bytes:>10} in all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("demo/work"))
    parser.add_argument(
        "--phase", default="answers", choices=("encoder", "decoder", "joint", "answers")
    )
    parser.add_argument("--out", type=Path, default=Path("granite_mlx/demo_checkpoint"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = read_state(args.work, args.phase)
    with tempfile.TemporaryDirectory() as folder:
        save(model, args.work / "tokenizer.json", Path(folder))
        verify(model, args.work / "tokenizer.json", Path(folder))
        install(Path(folder), args.out)


if __name__ == "__main__":
    main()
