"""adapter_config.json of a LoRA adapter, as peft writes it, parsed and checked once.

LoRA (Hu et al., arXiv 2106.09685) adds the product of two narrow matrices to a wide one:
W + scale * B A. peft knows many variants; what changes the arithmetic beyond that formula is
refused by name. Every such setting is null, false or empty where it is not used, so that one which
a later peft brings is refused as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from granite_mlx.errors import CheckpointError, UnsupportedModelError

N = TypeVar("N", int, float)

_READ = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")

_WITHOUT_EFFECT = (
    # How the adapter was trained, and on what.
    "lora_dropout", "inference_mode", "task_type", "auto_mapping", "base_model_name_or_path",
    "revision", "peft_version", "runtime_config", "megatron_config", "megatron_core",
    # Which modules it was made for: the names of its tensors tell.
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
    # Details of ways to begin, and of variants, which are switched on by other settings.
    "loftq_config", "eva_config", "corda_config", "lora_ga_config", "qalora_group_size",
)  # fmt: skip

_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    # The other ways to begin (PiSSA, OLoRA, CorDA, LoftQ) also change the matrix they begin from.
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),
}
"""Setting -> the values that mean plain LoRA; for all others they are null, false and empty."""


@dataclass(frozen=True)
class LoraConfig:
    """How much of B A is added to each matrix.

    `rank_pattern` and `alpha_pattern` have regular expressions over the ends of module paths; the
    first that fits replaces `rank` or `alpha`. Paths are those that the adapter was saved with.
    """

    rank: int
    alpha: float
    rank_stabilised: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]

    def rank_of(self, module: str) -> int:
        """Rows of A and columns of B."""
        return _first_fit(self.rank_pattern, module, self.rank)

    def scale_of(self, module: str) -> float:
        """What B A is multiplied by: alpha / rank, or alpha / sqrt(rank) (arXiv 2312.03732)."""
        alpha, rank = _first_fit(self.alpha_pattern, module, self.alpha), self.rank_of(module)
        return alpha / math.sqrt(rank) if self.rank_stabilised else alpha / rank


def parse_adapter_config(raw: Mapping[str, Any]) -> LoraConfig:
    """Parse the content of adapter_config.json.

    Raises:
        UnsupportedModelError: another kind of adapter, or a variant of LoRA that is not computed.
        CheckpointError: a key is missing or ill-typed.
    """
    for key in ("peft_type", "r", "lora_alpha"):
        if raw.get(key) is None:
            raise CheckpointError(f"adapter_config.json: {key} is missing.")
    for key, value in raw.items():
        if key not in _READ and key not in _WITHOUT_EFFECT:
            _check_plain(key, value)
    rank_stabilised = raw.get("use_rslora") or False
    if not isinstance(rank_stabilised, bool):
        raise CheckpointError(
            f"adapter_config.json: use_rslora must be true or false, not {rank_stabilised!r}."
        )
    return LoraConfig(
        rank=_rank(raw["r"], "r"),
        alpha=_alpha(raw["lora_alpha"], "lora_alpha"),
        rank_stabilised=rank_stabilised,
        rank_pattern={key: _rank(*item) for key, item in _pattern(raw, "rank_pattern").items()},
        alpha_pattern={key: _alpha(*item) for key, item in _pattern(raw, "alpha_pattern").items()},
    )


def _check_plain(key: str, value: Any) -> None:
    plain = _PLAIN.get(key, (False,))
    if value in plain or (not value and key not in _PLAIN):
        return
    raise UnsupportedModelError(
        f"adapter_config.json: {key} is {value!r}, and such an adapter cannot be merged, only one "
        f"with {' or '.join(map(repr, plain))}; merge it with peft first."
    )


def _pattern(raw: Mapping[str, Any], key: str) -> dict[str, tuple[Any, str]]:
    """The regular expressions of a setting, each with its value and where it stands."""
    section = raw.get(key) or {}
    if not isinstance(section, Mapping):
        raise CheckpointError(f"adapter_config.json: {key} must be an object, not {section!r}.")
    for pattern in section:
        try:
            _at_the_end(pattern)
        except re.error as error:
            raise CheckpointError(
                f"adapter_config.json: {key} has {pattern!r}, which is no regular expression "
                f"({error})."
            ) from error
    return {pattern: (value, f"{key}[{pattern!r}]") for pattern, value in section.items()}


def _rank(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(
            f"adapter_config.json: {where} must be an integer of 1 or more, not {value!r}."
        )
    return value


def _alpha(value: Any, where: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise CheckpointError(f"adapter_config.json: {where} must be a number, not {value!r}.")
    return float(value)


def _first_fit(pattern: Mapping[str, N], module: str, otherwise: N) -> N:
    """As peft looks them up: whole parts of the path, at its end."""
    for end, value in pattern.items():
        if _at_the_end(end).match(module):
            return value
    return otherwise


def _at_the_end(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(.*\.)?({pattern})$")
