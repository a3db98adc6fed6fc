"""How an output is named after its recording: --output-template."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from string import Formatter

from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.inputs import Recording
from granite_mlx.cli.screen import shown

FIELDS = {
    "stem": "the recording's name without its suffix",
    "ext": "the format: txt, json, ...",
    "folder": "where the recording lies below FILE; of one named itself, its folder's name",
    "source_ext": "the recording's own suffix: wav, mp3, ...",
    "language": "what --to or --language says, or und (undetermined)",
}
NAMED = "{stem}.{ext}"
IN_FOLDER = "{folder}/{stem}.{ext}"
UNDETERMINED = "und"


def check_template(template: str, formats: Sequence[str]) -> None:
    """See that a template names files of these formats below the output folder.

    Raises:
        UsageError: it does not.
    """
    where = f"--output-template {template}"
    for field in _fields(template, where):
        if field not in FIELDS:
            fields = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise UsageError(f"{where}: {{{field}}} is not a field; the fields are {fields}.")
    if os.path.isabs(template) or os.pardir in template.split("/") or "\0" in template:
        raise UsageError(
            f"{where}: it leads out of the output folder; begin it with a name, and leave out `..`."
        )
    last = template.rsplit("/", 1)[-1]
    endings = {".{ext}"} | ({f".{formats[0]}"} if len(formats) == 1 else set())
    if not any(last.endswith(ending) and last != ending for ending in endings):
        raise UsageError(f"{where}: it does not end in a name and .{{ext}}, as {NAMED} does.")


@dataclass(frozen=True)
class OutputName:
    """The names of one recording's outputs, as paths below the output folder."""

    recording: Recording
    template: str | None
    """None is DIR/NAME.FORMAT, below folders like those that the recording was found in."""

    formats: Sequence[str]
    language: str | None

    def numbered(self, number: int) -> list[PurePath]:
        """One path a format; from 2 on, the number stands behind the stem, or before the suffix.

        Raises:
            UsageError: a field's value leads out of the output folder, or leaves no name.
        """
        return [self._path(number, ext) for ext in self.formats]

    def _path(self, number: int, ext: str) -> PurePath:
        recording = self.recording
        default = NAMED if recording.base is None else IN_FOLDER
        *folders, last = (self.template or default).split("/")
        values = {
            "stem": recording.stem,
            "ext": ext,
            "folder": recording.folder,
            "source_ext": PurePath(recording.name).suffix.removeprefix("."),
            "language": self.language or UNDETERMINED,
        }
        parts = [folder.format_map(values) for folder in folders]
        if number > 1 and "{stem}" in last:
            values["stem"] = f"{recording.stem}-{number}"
        elif number > 1:
            name, _, suffix = last.rpartition(".")
            last = f"{name}-{number}.{suffix}"
        path = PurePath("/".join(part for part in [*parts, last.format_map(values)] if part))
        if path.is_absolute() or os.pardir in path.parts or path.suffix != f".{ext}":
            raise UsageError(
                f"--output-template {self.template}: the output of {recording.shown_name} would "
                f"be {shown(str(path))}, which is no name of a {ext} file in the output folder."
            )
        return path


def _fields(template: str, where: str) -> list[str]:
    """The fields' names as they stand between the braces."""
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"{where}: a brace has no partner; write {{{{ for a brace.") from error
    names = []
    for _, name, spec, conversion in parsed:
        if name is not None:
            shown_conversion = f"!{conversion}" if conversion else ""
            names.append(f"{name}{shown_conversion}{f':{spec}' if spec else ''}")
    return names
