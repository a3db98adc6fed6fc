"""How much of the machine others took while something was measured: figures of a busy machine are
no figures. Linux tells; elsewhere it is not known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
IDLE_FIELDS = (3, 4)
"""idle and iowait among the ticks of /proc/stat (proc(5)); steal, what the host took, counts as
others' work."""

GUEST_FIELDS = 8
"""Those from here on are parts of earlier ones."""

PROCESS_FIELDS = slice(11, 15)
"""utime, stime and those of ended children, counted behind the name in /proc/PID/stat."""


@dataclass(frozen=True)
class Ticks:
    """Since the machine's start: of all cores, those that were at work, and one process's own."""

    total: int
    busy: int
    own: int


def ticks(process_id: int) -> Ticks | None:
    """Now; None where the system does not tell, or the process is gone."""
    try:
        counts = [
            int(field) for field in STAT.read_text(encoding="ascii").split("\n")[0].split()[1:]
        ]
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    total = sum(counts[:GUEST_FIELDS])
    own = sum(int(field) for field in text.rpartition(")")[2].split()[PROCESS_FIELDS])
    return Ticks(total, total - sum(counts[n] for n in IDLE_FIELDS), own)


def others_share(before: Ticks | None, after: Ticks | None) -> float | None:
    """The part of all cores that others took between two readings, from 0 to 1."""
    if before is None or after is None or after.total <= before.total:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return min(1.0, max(0.0, others / (after.total - before.total)))
