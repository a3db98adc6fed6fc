"""What peft makes of an adapter, compared with ours and with what is stored.

    python tests/convert/adapter_reference.py            # compare, live
    python tests/convert/adapter_reference.py --write    # write tests/data/adapter

Needs the extra `reference`; nothing that the package does at run time comes here.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import mlx.core as mx
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import GraniteSpeechForConditionalGeneration

from granite_mlx.convert import port
from granite_mlx.convert.adapter import merged, read_adapted_headers
from granite_mlx.model.cache import DecoderCache
from granite_mlx.model.config import parse_config
from granite_mlx.model.folder import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME, read_config
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import check_tensors, load_weights
from granite_mlx.selftest.random_weights import uniform

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.model.tiny import CONFIG, write_checkpoint

STORED = Path(__file__).parents[1] / "data" / "adapter"
MERGED_NAME = "merged.safetensors"
IDS = [[5, 17, 230, 41, 3, 299]]

CASES = {
    # As Granite Speech 3.3 has it.
    "plain": {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]},
    "patterns": {
        "r": 4,
        "lora_alpha": 6,
        "target_modules": ["q_proj", "down_proj"],
        "use_rslora": True,
        "rank_pattern": {"down_proj": 2, "layers.1.mlp.down_proj": 7},  # the first one that fits
        "alpha_pattern": {r"layers\.[01]\..*": 3, "self_attn.q_proj": 11},
    },
}


def fill(model: torch.nn.Module) -> None:
    """Give the factors of an adapter random values; peft would begin with B = 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                values = uniform(name.rpartition("layers.")[2], tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(0.3 * values))


def read_model(folder: Path) -> GraniteSpeechForConditionalGeneration:
    """transformers' model without its adapter, in float32."""
    return GraniteSpeechForConditionalGeneration.from_pretrained(folder, dtype="float32").eval()


@torch.no_grad()
def logits(model: torch.nn.Module) -> np.ndarray:
    """Of a few tokens; without `generate` an adapter is on with and without audio."""
    return model(input_ids=torch.tensor(IDS)).logits.numpy()


def save_by_peft(base: Path, folder: Path, case: str) -> np.ndarray:
    """Save an adapter, and the matrices that it changes after peft merged it; returns logits."""
    model = get_peft_model(read_model(base), LoraConfig(**CASES[case], init_lora_weights=False))
    fill(model)
    model.save_pretrained(folder)
    values = logits(model)
    adapted = {name.rpartition(".lora_A.")[0] for name, _ in model.named_parameters()}
    adapted = {name.removeprefix("base_model.model.") for name in adapted if name}
    matrices = {
        port.published_name(name): tensor.contiguous()
        for name, tensor in model.merge_and_unload().state_dict().items()
        if name.removesuffix(".weight") in adapted
    }
    save_file(matrices, folder / MERGED_NAME)
    return values


def save_by_transformers(base: Path, folder: Path, case: str) -> None:
    """Save a model with its adapter, which transformers writes to both of its files."""
    model = read_model(base)
    # transformers 5.24 asks for peft 0.22, but 0.21 does all that happens here.
    with mock.patch("transformers.integrations.peft.check_peft_version"):
        model.add_adapter(LoraConfig(**CASES[case], init_lora_weights=False))
        fill(model)
        model.save_pretrained(str(folder))


def load_ours(folder: Path) -> SpeechModel:
    """Our network in float32, with the adapter merged."""
    model = SpeechModel(parse_config(read_config(folder)))
    headers, updates = read_adapted_headers(folder)
    assert updates
    check_tensors(model, headers, merged(updates))
    load_weights(model, headers, mx.float32, merged(updates))
    return model


def our_logits(model: SpeechModel) -> np.ndarray:
    """As `logits`; transformers leaves out Granite Speech's division by `logits_scaling`."""
    decoder = model.language_model
    cache = DecoderCache(parse_config(CONFIG).text, mx.float32, 1, len(IDS[0]))
    hidden = decoder(decoder.embed(mx.array(IDS)), cache)
    return np.array(decoder.logits(hidden) * decoder.logits_scaling)


def largest(ours: Mapping[str, mx.array], theirs: Mapping[str, torch.Tensor]) -> float:
    """The largest difference of matrices."""
    assert theirs
    return max(
        float(np.abs(np.array(ours[name]) - tensor.numpy()).max())
        for name, tensor in theirs.items()
    )


def compare(case: str, folder: Path) -> float:
    """Print the differences of a case; returns the largest as a multiple of its limit."""
    base, adapter = write_checkpoint(folder / "base"), folder / "adapter"
    their_logits = save_by_peft(base, adapter, case)
    theirs = load_file(adapter / MERGED_NAME)
    for name in (ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME):
        shutil.copyfile(adapter / name, base / name)
    ours = load_ours(base)
    save_by_transformers(write_checkpoint(folder / "again"), folder / "both", case)
    stored = load_file(STORED / case / MERGED_NAME)
    differences = {
        "merged matrices": (largest(dict(ours.named_parameters()), theirs), 1e-6),
        "logits": (float(np.abs(our_logits(ours) - their_logits).max()), 1e-4),
        "saved by transformers": (
            largest(dict(load_ours(folder / "both").named_parameters()), theirs),
            1e-6,
        ),
        "stored": (max(float((stored[n] - theirs[n]).abs().max()) for n in theirs), 1e-6),
    }
    for what, (difference, _) in differences.items():
        print(f"{case:10}{what:24}{difference:12.1e}")
    return max(difference / limit for difference, limit in differences.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the stored values anew")
    args = parser.parse_args()
    worst = 0.0
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            if args.write:
                save_by_peft(write_checkpoint(Path(folder)), STORED / case, case)
                (STORED / case / "README.md").unlink()
            worst = max(worst, compare(case, Path(folder) / "live"))
    return 0 if worst <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
