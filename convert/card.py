"""README.md of a conversion: the model card that the hub shows.

It says what the files are and what they cost, and keeps the source's own card below that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from granite_mlx.convert.manifest import MANIFEST_NAME, Manifest

CARD_NAME = "README.md"
_NOT_OURS = ("model-index", "base_model_relation")
"""What the source's card claims of the source alone: its measured figures above all."""


def write_card(folder: Path, manifest: Manifest, source: Path) -> None:
    """Write a conversion's README.md; `source` is the folder that may hold the source's."""
    path = source / CARD_NAME
    original = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    card = model_card(manifest, original).encode("utf-8", errors="replace")
    (folder / CARD_NAME).write_bytes(card)


def model_card(manifest: Manifest, original: str) -> str:
    """The card of a conversion, from its manifest and the source's own card ("" if none)."""
    metadata, text = _split(original)
    front = _yaml(_metadata(manifest, metadata))
    sections = [
        f"---\n{front}\n---",
        _one_line(f"# {Path(manifest.source.model_id).name}, {_what(manifest)}"),
        *_body(manifest),
    ]
    if text.strip():
        sections += ["## The card of the source", text.strip()]
    return "\n\n".join(sections) + "\n"


def _metadata(manifest: Manifest, original: Mapping[str, Any]) -> dict[str, Any]:
    """The card's machine-readable part: the source's, with what is different now."""
    kept = {key: value for key, value in original.items() if key not in _NOT_OURS}
    tags = [*_tags(kept.get("tags")), "mlx", manifest.layout]
    metadata = kept | {"library_name": "mlx", "tags": list(dict.fromkeys(tags))}
    metadata.setdefault("pipeline_tag", "automatic-speech-recognition")
    if manifest.source.revision is not None:
        metadata["base_model"] = manifest.source.model_id
        if manifest.n_quantised:
            metadata["base_model_relation"] = "quantized"
    return metadata


def _tags(given: Any) -> list[str]:
    """The source's tags, as far as they are any."""
    tags = given if isinstance(given, list) else [given]
    return [tag for tag in tags if isinstance(tag, str)]


def _what(manifest: Manifest) -> str:
    if manifest.recipe is not None:
        return f"quantised with the recipe {manifest.recipe['name']}"
    kind = f"in {manifest.dtype}" if manifest.dtype else ""
    if manifest.dequantised:
        return f"dequantised {kind}".strip()
    return kind or "for MLX"


def _body(manifest: Manifest) -> Iterator[str]:
    source = manifest.source
    at = f" at the commit `{source.revision}`" if source.revision else ""
    made_with = " and ".join(f"{name} {version}" for name, version in manifest.versions.items())
    yield (
        f"`{source.model_id}`{at}, converted with {made_with} in the layout of {manifest.layout}: "
        f"{manifest.n_bytes / 1e9:.2f} GB instead of {manifest.source_bytes / 1e9:.2f} GB. "
        f"`{MANIFEST_NAME}` records the whole conversion, with the hashes of the source's files."
    )
    if manifest.dequantised:
        yield "Its matrices were quantised before, and are as exact as that left them."
    if manifest.merged_adapter:
        yield "The source's LoRA adapter is merged into the weights, and so is on for good."
    if manifest.layout == "granite-mlx":
        yield (
            "```sh\npip install granite-mlx\n"
            "granite-mlx transcribe -m FOLDER_OR_ID recording.wav\n```"
        )
    if manifest.recipe is not None:
        yield "## How it is quantised"
        if manifest.recipe["summary"]:
            yield _one_line(f"{manifest.recipe['name']}: {manifest.recipe['summary']}.")
        yield _table(("matrices", "stored as", "reason"), map(_rule_row, manifest.recipe["rules"]))
        yield "Of these the first that fits counts. Everything else is floating."
    if manifest.kept_floating:
        names = ", ".join(f"`{name}`" for name in manifest.kept_floating)
        yield f"Floating, because the width does not fit the format: {names}."
    if manifest.verification is not None:
        yield "## What it cost"
        rows = ((name, _shown(value)) for name, value in _flat(manifest.verification))
        yield _table(("against the source", ""), rows)
        yield from (f"Beyond the recipe's limit: {sentence}" for sentence in manifest.exceeded)


def _rule_row(rule: Mapping[str, Any]) -> tuple[str, str, str]:
    if rule.get("keep"):
        how = "floating"
    else:
        how = f"{rule['mode']}, {rule['bits']} bits, groups of {rule['group_size']}"
    return f"`{rule['pattern']}`", how, rule["reason"]


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


def _one_line(text: str) -> str:
    """A text without line breaks and without what acts on a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _flat(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures as (name, value): {"encoder": {"cosine": 1}} -> ("encoder cosine", 1)."""
    for key, value in figures.items():
        name = f"{before} {key.replace('_', ' ')}".strip()
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        elif value is not None and not isinstance(value, list | tuple):
            yield name, value


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _split(card: str) -> tuple[Mapping[str, Any], str]:
    """Metadata and text of a card."""
    from huggingface_hub import ModelCard

    if not card.startswith("---"):
        return {}, card
    try:
        parsed = ModelCard(card)
        return parsed.data.to_dict(), parsed.text  # type: ignore[no-untyped-call]
    except Exception:  # the YAML parser's errors: a card is too small a thing to fail for
        return {}, card


def _yaml(metadata: Mapping[str, Any]) -> str:
    from huggingface_hub import ModelCardData

    return str(ModelCardData(**metadata).to_yaml()).strip()
