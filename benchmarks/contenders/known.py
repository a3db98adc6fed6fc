"""Who can take part: us, the peers that are installed, and those of a configuration file.

A file for `--peers` holds a table for each:

    [[contender]]
    name = "whisper.cpp"
    kind = "command"                   # or granite-mlx, mlx-audio, transformers, server
    command = ["whisper-cli", "-m", "{model}", "-f", "{audio}"]
    models = { demo = "/models/ggml-tiny.bin" }  # whose it runs, and which it takes for it

`python` names the interpreter of the first three kinds; all other keys are the worker's options.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.blas import OPENBLAS, OWN, VARIABLE, load_fast_blas
from benchmarks.contenders.protocol import QUESTION
from benchmarks.sources import our_version
from granite_mlx.model.checkpoint import DEMO_FOLDER

WORKERS = {
    "granite-mlx": "granite_mlx_worker",
    "mlx-audio": "mlx_audio_worker",
    "transformers": "transformers_worker",
    "server": "server_worker",
    "command": "command_worker",
    "limits": "limits_worker",
}

ENVIRONMENTS = {"mlx-audio": ".venv-mlx-audio", "transformers": ".venv-reference"}
"""As the Makefile names them, beside the repository's other files."""

COMMON_KEYS = {"name", "kind", "python", "models"}


@dataclass(frozen=True)
class Contender:
    """Somebody who is measured.

    Attributes:
        worker: the module in `benchmarks.contenders` that measures it.
        python: the interpreter that runs this module.
        options: the worker's own settings.
        models: what it loads in place of a model that the harness names; None for the same ones.
        large: whether its process holds the model's weights.
    """

    name: str
    worker: str
    python: str = sys.executable
    options: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str] | None = None
    large: bool = True

    @property
    def environment(self) -> dict[str, str]:
        """torch brings a BLAS of its own."""
        return {VARIABLE: OWN} if self.worker == WORKERS["transformers"] else {}

    def model(self, name: str, path: str) -> str | None:
        """What it loads for the model `name` at `path`; None if it does not take part."""
        return path if self.models is None else self.models.get(name)


OURS = "granite-mlx"
DEMO_ONLY = {"demo": str(DEMO_FOLDER)}
LIMITS = Contender("limits", WORKERS["limits"], large=False)


def built_in(root: Path) -> list[Contender]:
    """Us, plainly and as the product is, and the peers whose environments are in `root`.

    The command lines, with all that a process costs, run the demo checkpoint alone: of a large
    model they would measure the loading.
    """
    pythons = {name: root / folder / "bin" / "python" for name, folder in ENVIRONMENTS.items()}
    found = [Contender(OURS, WORKERS[OURS])]
    found += [
        Contender(name, WORKERS[name], str(python))
        for name, python in pythons.items()
        if python.exists()
    ]
    drafts = {"speculative": "exact", "end_to_end_only": True}
    found.append(Contender(f"{OURS}, drafts", WORKERS[OURS], options=drafts, models=DEMO_ONLY))
    ours = ["{python}", "-m", "granite_mlx", "transcribe", "-m", "{model}", "{audio}"]
    found.append(_command(OURS, ours, version=our_version()))
    if pythons["mlx-audio"].exists():
        # Its --language would make a translation of it.
        theirs = [
            str(pythons["mlx-audio"]), "-m", "mlx_audio.stt.generate", "--model", "{model}",
            "--audio", "{audio}", "--output-path", "{out}", "--prompt", QUESTION,
        ]  # fmt: skip
        found.append(_command("mlx-audio", theirs, text_file="{out}.txt"))
    return found


def _command(name: str, command: Sequence[str], **more: str) -> Contender:
    environment = {"LD_PRELOAD": OPENBLAS} if load_fast_blas() else {}
    options = {"command": command, "environment": environment, **more}
    return Contender(
        f"{name}, command", WORKERS["command"], sys.executable, options, DEMO_ONLY, False
    )


def rival(name: str, names: Iterable[str]) -> str | None:
    """Which of our contenders a peer is compared with: a command line with ours, say."""
    own, _, way = name.partition(", ")
    if own == OURS:
        return None
    wanted = f"{OURS}, {way}" if way else OURS
    return next((one for one in (wanted, OURS) if one in names), None)


class PeersError(ValueError):
    """The configuration file is not as it should be."""


def configured(path: Path) -> list[Contender]:
    """The contenders of a file.

    Raises:
        PeersError: it cannot be read, or says something else than the module's docstring.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise PeersError(f"{path}: {error}") from error
    tables = content.get("contender")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise PeersError(f"{path}: it needs a [[contender]] for each contender.")
    return [_contender(table, path) for table in tables]


def _contender(table: Mapping[str, Any], path: Path) -> Contender:
    name, kind = table.get("name"), table.get("kind")
    if not isinstance(name, str) or not name:
        raise PeersError(f"{path}: a contender has no name.")
    if kind not in WORKERS or kind == "limits":
        kinds = ", ".join(known for known in WORKERS if known != "limits")
        raise PeersError(f"{path}: kind of {name!r} must be one of {kinds}, not {kind!r}.")
    models = table.get("models")
    if models is not None and not isinstance(models, dict):
        raise PeersError(f"{path}: models of {name!r} must be a table of names and paths.")
    options = {key: value for key, value in table.items() if key not in COMMON_KEYS}
    _check_options(kind, name, options, path)
    large = kind not in ("server", "command")
    python = str(table.get("python", sys.executable))
    return Contender(name, WORKERS[kind], python, options, models, large)


def _check_options(kind: str, name: str, options: Mapping[str, Any], path: Path) -> None:
    """What the worker cannot do without."""
    command = options.get("command")
    if kind == "command" and not (
        isinstance(command, list) and command and all(isinstance(part, str) for part in command)
    ):
        raise PeersError(f"{path}: {name!r} needs a command, as a list of words.")
    if kind == "server" and not isinstance(options.get("url"), str):
        raise PeersError(f"{path}: {name!r} needs a url, such as http://127.0.0.1:8000/v1.")


def chosen(contenders: Iterable[Contender], names: Sequence[str] | None) -> list[Contender]:
    """Those that are asked for, later ones in place of earlier ones of the same name.

    Raises:
        PeersError: one of the names is nobody's.
    """
    by_name = {contender.name: contender for contender in contenders}
    missing = [name for name in names or () if name not in by_name]
    if missing:
        raise PeersError(
            f"there is no contender {missing[0]!r}, or it is not installed; there are "
            f"{', '.join(by_name)}. {_how_to_install(missing[0])}".strip()
        )
    return [by_name[name] for name in names] if names else list(by_name.values())


def _how_to_install(name: str) -> str:
    folder = ENVIRONMENTS.get(name)
    return f"`make {folder}/installed` installs it." if folder else ""
