"""How soon live text is there, how often it changes, and whether the final text is as right.

    python -m benchmarks.live --work demo/work [--model FOLDER] [--sets en fr digits]
        [--limit N] [--played N] [--clock wall|cpu] [--sessions N ...] [--json FILE]

The test sets of `demo.corpus`, which training never had, are joined with natural pauses. The first
`--played` utterances of each are played at real speed into `--sessions` sessions at once. Where
others are at work on the machine, `--clock cpu` tells what a core of one's own would do: sound
comes as ever, but work takes the time that its threads were given. When a word is said is what the
offline transcript of its utterance tells (docs/word-times.md). The final text of `--limit`
utterances, which does not depend on when sound comes, is compared with the offline one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

import granite_mlx
from benchmarks.long_recordings import RATE, Array, facts, joined, natural_pause
from benchmarks.quiet import others_share, ticks
from benchmarks.tables import markdown
from demo.held_out import SETS, read_set
from demo.held_out import Recording as Utterance
from granite_mlx.evaluate.error_rates import ErrorRate, word_errors
from granite_mlx.live.events import Draft, Event, Final
from granite_mlx.live.session import DRAFT_EVERY_S, DRAFT_REST
from granite_mlx.transcript import Transcript, Word

CHUNK_S = 0.1
WALL, CPU = "wall", "cpu"
MATCHED_S = 1.0
"""A word that is shown belongs to the spoken one only if the turn it is in was then near."""


@dataclass(frozen=True)
class Told:
    """An event, and when it came: seconds from the moment at which the first sample was said."""

    at_s: float
    event: Event


@dataclass
class Shown:
    """What became of the words of drafts: a turn's drafts and finals, one after the other."""

    n_shown: int = 0
    n_changed: int = 0
    _drafts: dict[int, list[str]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Count the words that are new in a draft, and those that are not there any more."""
        if isinstance(event, Draft):
            before, now = self._drafts.get(event.turn, []), event.text.split()
            self._compare(before, now, is_draft=True)
            self._drafts[event.turn] = now
        elif isinstance(event, Final):
            self._compare(self._drafts.pop(event.turn, []), event.text.split(), is_draft=False)

    def _compare(self, before: Sequence[str], now: Sequence[str], is_draft: bool) -> None:
        old, new = ([word.casefold() for word in one] for one in (before, now))
        for kind, first, last, start, end in SequenceMatcher(None, old, new, False).get_opcodes():
            if kind != "equal":
                self.n_changed += last - first
                self.n_shown += (end - start) if is_draft else 0


def first_shown_s(spoken: Sequence[Word], told: Iterable[Told]) -> list[float | None]:
    """When each spoken word is first there, in a draft or final; None where it never is.

    A turn's text is laid along the words that are said in it.
    """
    shown_s: list[float | None] = [None] * len(spoken)
    spans = turn_spans([*told])
    for one in told:
        if not isinstance(one.event, (Draft, Final)) or one.event.turn not in spans:
            continue
        start_s, end_s = spans[one.event.turn]
        inside = [n for n, word in enumerate(spoken) if start_s <= _middle(word) <= end_s]
        wanted = [spoken[n].text.casefold() for n in inside]
        got = one.event.text.casefold().split()
        for block in SequenceMatcher(None, wanted, got, False).get_matching_blocks():
            for n in inside[block.a : block.a + block.size]:
                shown_s[n] = one.at_s if shown_s[n] is None else shown_s[n]
    return shown_s


def turn_spans(told: Sequence[Told]) -> dict[int, tuple[float, float]]:
    """From when to when each turn was said."""
    return {
        one.event.turn: (one.event.start_s - MATCHED_S / 4, one.event.end_s + MATCHED_S / 4)
        for one in told
        if isinstance(one.event, Final)
    }


def _middle(word: Word) -> float:
    return (word.start_s + word.end_s) / 2


def final_lags_s(told: Iterable[Told]) -> list[float]:
    """How long after the last word of a turn its text was final: the pause has to be noticed."""
    return [
        one.at_s - one.event.segments[-1].words[-1].end_s
        for one in told
        if isinstance(one.event, Final) and one.event.segments and one.event.segments[-1].words
    ]


def played(model: granite_mlx.GraniteSpeech, samples: Array, n_sessions: int) -> list[list[Told]]:
    """What as many sessions tell at once of sound that is said at real speed."""
    everything: list[list[Told]] = [[] for _ in range(n_sessions)]
    threads = [
        threading.Thread(target=_play, args=(model, samples, told, place / n_sessions * CHUNK_S))
        for place, told in enumerate(everything)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return everything


def played_by_cpu(model: granite_mlx.GraniteSpeech, samples: Array) -> list[Told]:
    """What a session on a core of its own would tell: its rules, with a clock that others' work
    does not move."""
    told: list[Told] = []
    size, now_s, n_fed = int(CHUNK_S * RATE), 0.0, 0
    drafted_s, next_draft_s = 0.0, 0.0

    def work(events: Iterable[Event]) -> None:
        nonlocal now_s
        begun_s, cpu_s = now_s, time.process_time()
        for event in events:
            told.append(Told(begun_s + time.process_time() - cpu_s, event))
        now_s = begun_s + time.process_time() - cpu_s

    with model.live(drafts=False) as session:
        turns = session._turns
        while n_fed < len(samples):
            now_s = max(now_s, min(n_fed + size, len(samples)) / RATE)
            while n_fed < len(samples) and min(n_fed + size, len(samples)) / RATE <= now_s:
                work(turns.push(samples[n_fed : n_fed + size]))
                n_fed += size
            if turns.now_s - drafted_s >= DRAFT_EVERY_S and now_s >= next_draft_s:
                begun_s, drafted_s = now_s, turns.now_s
                work(turns.draft())
                next_draft_s = now_s + DRAFT_REST * (now_s - begun_s)
        work(turns.commit())
    return told


def _play(
    model: granite_mlx.GraniteSpeech, samples: Array, told: list[Told], delay_s: float
) -> None:
    begun_s = time.monotonic() + delay_s

    def on_event(event: Event) -> None:
        told.append(Told(time.monotonic() - begun_s, event))

    size = int(CHUNK_S * RATE)
    with model.live(on_event=on_event) as session:
        for start in range(0, len(samples), size):
            chunk = samples[start : start + size]
            due_s = begun_s + (start + len(chunk)) / RATE  # its last sample has been said
            time.sleep(max(0.0, due_s - time.monotonic()))
            session.feed(chunk)
        session.finish()


def at_once(model: granite_mlx.GraniteSpeech, samples: Array) -> Transcript:
    """The final text of the same, without waiting for the sound."""
    with model.live(drafts=False) as session:
        for start in range(0, len(samples), RATE):
            session.feed(samples[start : start + RATE])
        return session.finish()


@dataclass(frozen=True)
class Lags:
    """Of one set that was played.

    Attributes:
        first_s: median, 95th percentile and most, of words, from their end to when they are there.
        final_s: of turns, from the end of the last word to when the text is final.
        n_never: words of the offline text that the live one never had.
        others: the part of all cores that others took meanwhile, 0 to 1.
    """

    group: str
    clock: str
    n_sessions: int
    duration_s: float
    n_words: int
    first_s: tuple[float, float, float]
    final_s: tuple[float, float, float]
    n_shown: int
    n_changed: int
    n_never: int
    others: float | None


def lags(
    model: granite_mlx.GraniteSpeech,
    group: str,
    utterances: Sequence[Utterance],
    n_sessions: int,
    clock: str = WALL,
) -> Lags:
    """Play a set."""
    samples, spans = joined(utterances, natural_pause)
    spoken = _spoken(model, utterances, spans)
    before = ticks(os.getpid())
    if clock == WALL:
        everything = played(model, samples, n_sessions)
    else:
        everything = [played_by_cpu(model, samples)]
    others = others_share(before, ticks(os.getpid()))
    shown, firsts, finals = Shown(), [], []
    n_never = 0
    for place, told in enumerate(everything):
        found = first_shown_s(spoken, told)
        firsts += [at_s - w.end_s for at_s, w in zip(found, spoken, strict=True) if at_s]
        n_never += found.count(None)
        finals += final_lags_s(told)
        counted = Shown() if place else shown
        for one in told:
            counted.take(one.event)
    return Lags(
        group, clock, len(everything), len(samples) / RATE, len(spoken), _spread(firsts),
        _spread(finals),
        shown.n_shown, shown.n_changed, n_never, others,
    )  # fmt: skip


def _spoken(
    model: granite_mlx.GraniteSpeech,
    utterances: Sequence[Utterance],
    spans: Sequence[tuple[float, float]],
) -> list[Word]:
    """The words of each utterance alone, where they are in the joined recording."""
    found = []
    results = model.transcribe_batch([one.samples for one in utterances], sample_rate=RATE)
    for result, (start_s, _) in zip(results, spans, strict=True):
        if not isinstance(result, Transcript):
            raise result
        found += [
            Word(start_s + word.start_s, start_s + word.end_s, word.text, word.confidence)
            for word in result.words
        ]
    return found


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    median, high = np.percentile(values, [50, 95])
    return float(median), float(high), max(values)


@dataclass(frozen=True)
class Rightness:
    """Word errors of one set: of the whole offline, and of the live finals."""

    group: str
    duration_s: float
    offline: ErrorRate
    live: ErrorRate
    n_turns: int


def rightness(
    model: granite_mlx.GraniteSpeech, group: str, utterances: Sequence[Utterance]
) -> Rightness:
    """Compare the texts of a set."""
    samples, _ = joined(utterances, natural_pause)
    wanted = " ".join(one.plain(one.utterance.language) for one in utterances)
    offline = model.transcribe(samples, sample_rate=RATE)
    live = at_once(model, samples)
    return Rightness(
        group, len(samples) / RATE, word_errors(wanted, offline.text),
        word_errors(wanted, live.text), len(live.segments),
    )  # fmt: skip


def lag_table(rows: Sequence[Lags]) -> str:
    """What was measured, in Markdown."""
    head = ["set", "clock", "sessions", "length", "words", "first there: median, 95 %, most"]
    head += ["final after the pause began", "draft words changed", "never there", "others' load"]
    return markdown(head, map(_lag_cells, rows))


def _lag_cells(row: Lags) -> list[str]:
    share = row.n_changed / max(1, row.n_shown)
    return [
        row.group,
        row.clock,
        str(row.n_sessions),
        f"{row.duration_s / 60:.1f} min",
        str(row.n_words),
        _seconds(row.first_s),
        _seconds(row.final_s),
        f"{share:.1%} ({row.n_changed} of {row.n_shown})".replace("%", " %"),
        str(row.n_never),
        "not known" if row.others is None else f"{row.others:.0%}".replace("%", " %"),
    ]


def _seconds(spread: tuple[float, float, float]) -> str:
    return ", ".join(f"{value:.2f}" for value in spread) + " s"


def rightness_table(rows: Sequence[Rightness]) -> str:
    """Likewise."""
    return markdown(
        ["set", "length", "turns", "WER offline", "WER live"],
        (
            [
                one.group, f"{one.duration_s / 60:.1f} min", str(one.n_turns),
                *(f"{rate.percent:.2f} % ({rate.n_errors} of {rate.n_wanted})"
                  for rate in (one.offline, one.live)),
            ]
            for one in rows
        ),
    )  # fmt: skip


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description="Measure live sessions on the demo checkpoint.")
    parser.add_argument("--work", type=Path, default=Path("demo/work"), help="of demo.corpus")
    parser.add_argument("--model", default="demo", help="as granite_mlx.load takes it")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=[*SETS], help="of the corpus")
    parser.add_argument("--limit", type=int, metavar="N", help="utterances whose text is compared")
    parser.add_argument("--played", type=int, metavar="N", default=40, help="at real speed")
    parser.add_argument("--clock", choices=[WALL, CPU], default=WALL)
    parser.add_argument("--sessions", type=int, metavar="N", nargs="*", default=[1])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts here, too")
    args = parser.parse_args()
    texts, times = [], []
    with granite_mlx.load(args.model) as model:
        for group in args.sets:
            if args.limit != 0:
                texts.append(rightness(model, group, read_set(args.work, group, args.limit)))
                print(texts[-1], file=sys.stderr, flush=True)
            for n_sessions in args.sessions if args.played else ():
                utterances = read_set(args.work, group, args.played)
                times.append(lags(model, group, utterances, n_sessions, args.clock))
                print(times[-1], file=sys.stderr, flush=True)
    print("\n\n".join([lag_table(times), rightness_table(texts)]))
    if args.json is not None:
        found = {
            "facts": facts(),
            "lags": [asdict(one) for one in times],
            "rightness": [asdict(one) for one in texts],
        }
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
