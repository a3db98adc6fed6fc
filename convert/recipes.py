"""Recipes: which matrices are quantised, how, and why.

A recipe is an ordered list of rules over module paths (`encoder.layers.0.ff1.up_proj`,
`language_model.lm_head`); the first one that fits decides, and what no rule names stays floating.
What must never be quantised no recipe can change: see `granite_mlx.convert.plan`.

A recipe of one's own is a TOML file:

    summary = "the decoder at 5 bits, the rest at 8"

    [[rules]]
    pattern = "language_model.model.layers.*"   # * stands for anything, dots included
    bits = 5
    group_size = 64                             # mode = "affine" and 64 where they are left out
    reason = "most of the bytes, and the least sensitive of them"

    [[rules]]
    pattern = "projector.*"
    keep = true                                 # stays floating
    reason = "small, and all of the audio passes through it"

    [[rules]]
    pattern = "*"
    bits = 8
    reason = "8 bits cost next to nothing"

    [limits]                                    # what verification may find; all may be left out
    max_kl_nats = 0.05
    min_top1 = 0.97
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from granite_mlx.errors import ConversionError
from granite_mlx.model.quantisation import MODES, QuantFormat

ROOMS = ("encoder", "projector", "decoder")


@dataclass(frozen=True)
class Rule:
    """What becomes of the matrices whose module path fits `pattern`.

    `pattern` is a shell pattern whose * also matches dots; `format` None keeps them floating.
    """

    pattern: str
    format: QuantFormat | None
    reason: str

    def fits(self, module: str) -> bool:
        """Whether this rule is about a module."""
        return fnmatchcase(module, self.pattern)


def _check_limit(name: str, value: Any) -> None:
    """Raise ValueError where a value is no limit; `min_top1` is a share."""
    most = 1.0 if name == "min_top1" else sys.float_info.max
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= most:
        wanted = "from 0 to 1" if most == 1 else "of 0 or more"
        raise ValueError(f"{name} must be a number {wanted}, not {value!r}.")


@dataclass(frozen=True)
class Limits:
    """What a recipe may cost, measured against its source; None is not judged.

    One other token and one more wrong word are always allowed: among a few, a single one would
    outweigh any limit.

    Attributes:
        max_kl_nats: mean Kullback-Leibler divergence of the next token's distribution.
        min_top1: share of positions where both find the same token the most probable.
        max_wer_points: rise of the word error rate in percentage points.
        max_relative_error: |converted - source| / |source| of what each room puts out, by room
            ("encoder", "projector", "decoder").
    """

    max_kl_nats: float | None = None
    min_top1: float | None = None
    max_wer_points: float | None = None
    max_relative_error: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what no figure can be held against.

        Raises:
            ValueError: a limit that is no number, or of a room that there is not.
        """
        by_room = self.max_relative_error or {}
        for room in by_room:
            if room not in ROOMS:
                raise ValueError(f"there is no room {room!r}, only {', '.join(ROOMS)}.")
        scalars = {f.name: getattr(self, f.name) for f in fields(self)}
        del scalars["max_relative_error"]
        for name, limit in {**scalars, **by_room}.items():
            if limit is not None:
                _check_limit(name, limit)


@dataclass(frozen=True)
class Recipe:
    """A way to quantise a checkpoint, with the reasons for it."""

    name: str
    summary: str
    rules: tuple[Rule, ...]
    limits: Limits | None = None

    def rule_of(self, module: str) -> Rule | None:
        """The first rule that fits a module path."""
        return next((rule for rule in self.rules if rule.fits(module)), None)

    def to_record(self) -> dict[str, Any]:
        """The whole recipe in the terms of a recipe file, for the manifest."""
        return {
            "name": self.name,
            "summary": self.summary,
            "rules": [_rule_record(rule) for rule in self.rules],
            "limits": None if self.limits is None else asdict(self.limits),
        }

    def to_rules(self) -> list[tuple[str, dict[str, Any] | None]]:
        """What the recipe does, without its words: pattern and format of each rule."""
        return [(r.pattern, None if r.format is None else asdict(r.format)) for r in self.rules]


def _rule_record(rule: Rule) -> dict[str, Any]:
    how = {"keep": True} if rule.format is None else asdict(rule.format)
    return {"pattern": rule.pattern, **how, "reason": rule.reason}


def _affine(bits: int) -> QuantFormat:
    return QuantFormat(bits=bits, group_size=64, mode="affine")


_ENCODER_REASON = (
    "the encoder wants 8 bits: at 4 bits others measured that its output keeps a cosine of 0.93 "
    "to the original (4.1), or only 0.62 (4.1-plus)"
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "q8",
            "everything at 8 bits: half the size, the same text",
            (
                Rule(
                    "*",
                    _affine(8),
                    "8 bits, with a scale and an offset for every 64 weights, change the matrices "
                    "by 0.7 % of their size (on the demo, where rounding to bfloat16 costs 0.2 %)",
                ),
            ),
            Limits(
                max_kl_nats=0.01,
                min_top1=0.98,
                max_wer_points=0.1,
                max_relative_error=dict.fromkeys(ROOMS, 0.05),
            ),
        ),
        Recipe(
            "q6",
            "the decoder at 6 bits, the rest at 8",
            (
                Rule(
                    "language_model.*",
                    _affine(6),
                    "four fifths of all weights, and each is read for every token: speed is their "
                    "size; others measured no loss of words at 6 bits (LibriSpeech clean: 1.41 % "
                    "against 1.42 %)",
                ),
                Rule("*", _affine(8), _ENCODER_REASON),
            ),
            Limits(
                max_kl_nats=0.03,
                min_top1=0.97,
                max_wer_points=0.3,
                max_relative_error={"encoder": 0.05, "projector": 0.05, "decoder": 0.15},
            ),
        ),
        Recipe(
            "q4",
            "the decoder's layers at 4 bits, vocabulary and encoder at 8, the projector floating",
            (
                Rule(
                    "language_model.model.embed_tokens",
                    _affine(8),
                    "looked up and not multiplied, so fewer bits would bring no speed; where the "
                    "two are tied it is the head as well",
                ),
                Rule(
                    "language_model.lm_head",
                    _affine(8),
                    "no later layer evens out its errors: they are errors of the probabilities",
                ),
                Rule(
                    "language_model.*.self_attn.[kv]_proj",
                    _affine(8),
                    "several query heads share each of their rows and would share its errors; "
                    "5 % of the decoder",
                ),
                Rule(
                    "language_model.*",
                    _affine(4),
                    "most of the bytes that are read for every token",
                ),
                Rule(
                    "projector.*",
                    None,
                    "all that is heard passes through it, and 8 bits would save only 33 MB",
                ),
                Rule("*", _affine(8), _ENCODER_REASON),
            ),
            Limits(
                max_kl_nats=0.1,
                min_top1=0.93,
                max_wer_points=1.0,
                max_relative_error={"encoder": 0.05, "projector": 0.05, "decoder": 0.35},
            ),
        ),
        Recipe(
            "q4-small",
            "the smallest that is of use: the decoder at 4 bits, the encoder at 6",
            (
                Rule(
                    "language_model.*",
                    _affine(4),
                    "most of the bytes; the vocabulary's two tables too, for the sake of size",
                ),
                Rule("projector.*", _affine(8), "small, and all that is heard passes through it"),
                Rule(
                    "*",
                    _affine(6),
                    "6 bits stay clear of what 4 do to the encoder (a cosine of 0.93 or less to "
                    "the original), for 110 MB more",
                ),
            ),
            Limits(
                max_kl_nats=0.2,
                min_top1=0.9,
                max_wer_points=2.0,
                max_relative_error={"encoder": 0.15, "projector": 0.15, "decoder": 0.4},
            ),
        ),
    )
}
"""The recipes that come with the package, by name."""


def uniform(format: QuantFormat) -> Recipe:
    """One format for every matrix that may be quantised; it has no limits of its own."""
    return Recipe(
        f"{format.mode}-{format.bits}bit-g{format.group_size}",
        f"every matrix in one format: {format.describe()}",
        (Rule("*", format, "asked for by mode, bits and group size"),),
    )


def read_recipe(name_or_path: str | os.PathLike[str]) -> Recipe:
    """A recipe of `RECIPES` by its name, or one from a TOML file.

    Raises:
        ConversionError: there is neither a recipe nor a file of this name, or the file is wrong;
            the message names the rule and the key.
    """
    name = os.fspath(name_or_path)
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if not path.is_file():
        raise ConversionError(
            f"there is no recipe {name!r}; choose one of {', '.join(RECIPES)}, or name a TOML file."
        )
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConversionError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or too deep
        raise ConversionError(f"{path} is not a TOML file ({error}).") from error
    return _parse(raw, path)


def _parse(raw: Mapping[str, Any], path: Path) -> Recipe:
    _refuse_unknown(raw, ("name", "summary", "rules", "limits"), str(path))
    rules = raw.get("rules")
    if not isinstance(rules, list) or not rules:
        raise ConversionError(f"{path} has no [[rules]].")
    return Recipe(
        _typed(raw, "name", str, str(path), default=path.stem),
        _typed(raw, "summary", str, str(path), default=""),
        tuple(_parse_rule(rule, f"{path}: rule {n}") for n, rule in enumerate(rules, start=1)),
        _parse_limits(raw["limits"], f"{path}: limits") if "limits" in raw else None,
    )


def _parse_rule(raw: Any, where: str) -> Rule:
    _refuse_unknown(raw, ("pattern", "reason", "keep", "bits", "group_size", "mode"), where)
    pattern = _typed(raw, "pattern", str, where)
    reason = _typed(raw, "reason", str, where, default="")
    how = raw.keys() & {"bits", "group_size", "mode"}
    if _typed(raw, "keep", bool, where, default=False):
        if how:
            raise ConversionError(f"{where} has keep = true, which leaves no use for {min(how)}.")
        return Rule(pattern, None, reason)
    if not how:
        raise ConversionError(f"{where} needs bits or a mode, or keep = true.")
    mode = _typed(raw, "mode", str, where, default="affine")
    if mode not in MODES:
        raise ConversionError(f"{where}: there is no mode {mode!r}, only {', '.join(MODES)}.")
    bits = _typed(raw, "bits", int, where, default=MODES[mode].bits)
    group_size = _typed(raw, "group_size", int, where, default=MODES[mode].group_size)
    try:
        return Rule(pattern, QuantFormat(bits, group_size, mode), reason)
    except ValueError as error:
        raise ConversionError(f"{where}: {error}") from error


def _parse_limits(raw: Any, where: str) -> Limits:
    names = [field.name for field in fields(Limits)]
    _refuse_unknown(raw, names, where)
    *scalars, by_room = names
    values: dict[str, Any] = {name: _limit(raw, name, where) for name in scalars if name in raw}
    if by_room not in raw:
        return Limits(**values)
    _refuse_unknown(raw[by_room], ROOMS, f"{where}.{by_room}")
    rooms = {room: _limit(raw[by_room], room, f"{where}.{by_room}") for room in raw[by_room]}
    return Limits(**values, max_relative_error=rooms)


def _limit(raw: Mapping[str, Any], key: str, where: str) -> float:
    try:
        _check_limit(key, raw[key])
    except ValueError as error:
        raise ConversionError(f"{where}: {error}") from error
    return float(raw[key])


def _typed(raw: Mapping[str, Any], key: str, kind: type, where: str, *, default: Any = None) -> Any:
    value = raw.get(key, default)
    if value is None:
        raise ConversionError(f"{where} has no {key}.")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConversionError(f"{where}: {key} must be of type {kind.__name__}, not {value!r}.")
    return value


def _refuse_unknown(raw: Any, known: Any, where: str) -> None:
    """A misspelt key must not pass for one that was left out."""
    if not isinstance(raw, Mapping):
        raise ConversionError(f"{where} must be a table, not {raw!r}.")
    for key in raw:
        if key not in known:
            raise ConversionError(f"{where}: unknown key {key!r}; known are {', '.join(known)}.")
