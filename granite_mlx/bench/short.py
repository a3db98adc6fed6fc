"""The short form: a few figures of a model that a user has, on the machine that the user has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granite_mlx.bench.machine import Machine
from granite_mlx.bench.spread import Spread, spread, spread_if_any

if TYPE_CHECKING:
    from granite_mlx.speech import GraniteSpeech

N_TOKENS = 64
"""Written to see how fast the decoder is; a text may be too short for that."""


@dataclass(frozen=True)
class Figures:
    """Of one model at one length of audio.

    Attributes:
        load_s: from files that the system has read before.
        total_s: of `transcribe` as the product has it, drafts and all.
        first_token_s: from the samples to the first token.
        tokens_per_s: of the decoder without drafts.
        peak_bytes: that MLX held, weights included.
    """

    model: str
    dtype: str
    seconds: float
    load_s: float
    total_s: Spread
    first_token_s: Spread | None
    tokens_per_s: Spread
    peak_bytes: int

    @property
    def rtfx(self) -> float:
        """Seconds of audio heard in a second."""
        return self.seconds / self.total_s.median


def timed_load(load: Callable[[], GraniteSpeech]) -> tuple[GraniteSpeech, float]:
    """A model and the seconds of loading it. It is loaded once before, so that neither a download
    nor a disk is part of them."""
    load().close()
    start_s = time.perf_counter()
    return load(), time.perf_counter() - start_s


def measure(
    speech: GraniteSpeech,
    load_s: float,
    lengths_s: Sequence[float],
    n_runs: int,
    on_step: Callable[[str], None],
) -> Iterator[Figures]:
    """Figures at each length of audio, one warm-up before `n_runs` runs."""
    from granite_mlx.engine import shared_thread

    for seconds in lengths_s:
        yield shared_thread().run(_measure_one, speech, load_s, seconds, n_runs, on_step)


def _measure_one(
    speech: GraniteSpeech,
    load_s: float,
    seconds: float,
    n_runs: int,
    on_step: Callable[[str], None],
) -> Figures:
    """On the MLX thread."""
    import mlx.core as mx

    from granite_mlx.bench.stages import time_stages, time_whole
    from granite_mlx.bench.wav import SAMPLE_RATE, example_speech

    samples = example_speech(seconds)
    mx.reset_peak_memory()
    wholes, stages = [], []
    for run in range(n_runs + 1):
        on_step(f"{seconds:g} s, " + (f"run {run} of {n_runs}" if run else "warm-up"))
        wholes.append(time_whole(speech, samples, sample_rate=SAMPLE_RATE))
        stages.append(time_stages(speech, samples, N_TOKENS))
    first_s = [t.first_token_s for t in wholes[1:] if t.first_token_s is not None]
    return Figures(
        model=speech.model_id,
        dtype=speech.dtype,
        seconds=seconds,
        load_s=load_s,
        total_s=spread(times.total_s for times in wholes[1:]),
        first_token_s=spread_if_any(first_s),
        tokens_per_s=spread(times.tokens_per_s for times in stages[1:]),
        peak_bytes=mx.get_peak_memory(),
    )


HEAD = (
    "| model | type | audio | load | RTFx | first token | tokens/s | peak memory |\n"
    "|---|---|---|---|---|---|---|---|"
)


def facts(machine: Machine, versions: dict[str, str], blas: str, n_runs: int) -> str:
    """The line above the table."""
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    on_cpu = f"; BLAS {blas}" if blas else ""
    return (
        f"{machine.chip}, {machine.cores} cores, {machine.memory_bytes / 1e9:.0f} GB, "
        f"{machine.system}; {named}{on_cpu}; medians of {n_runs} warm "
        f"{'runs' if n_runs > 1 else 'run'}"
    )


def row(figures: Figures) -> str:
    """One line of the table."""
    first_s = figures.first_token_s
    cells = [
        figures.model,
        figures.dtype,
        f"{figures.seconds:g} s",
        f"{figures.load_s:.2f} s",
        f"{figures.rtfx:.1f}",
        "" if first_s is None else f"{first_s.median:.3f} s",
        f"{figures.tokens_per_s.median:.1f}",
        size(figures.peak_bytes),
    ]
    return f"| {' | '.join(cells)} |"


def size(n_bytes: int) -> str:
    """In GB, or in MB where that is less than one."""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"
