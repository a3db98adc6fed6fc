"""report.html: one page that needs nothing beside it. Everything in it is escaped."""

from __future__ import annotations

import html
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from granite_mlx.evaluate import plots
from granite_mlx.evaluate.alignment import Step
from granite_mlx.evaluate.layout import difference_lines, table
from granite_mlx.evaluate.scored import Scored, ScoredRun
from granite_mlx.evaluate.scoring import differences

REPORT = "report.html"
N_WORST = 20
CONTEXT_WORDS = 6
"""Words that are shown on either side of a difference."""

ERROR_EDGES = (0, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100)
MOST_POINTS = 2000

# A page with this policy can fetch nothing, whatever a text in it says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2430; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #dde3ea; text-align: left; }
svg { width: 100%; max-width: 760px; font: 12px system-ui, sans-serif; }
svg text { fill: #394452; } .grid { stroke: #e6eaef; } .zero { stroke: #8a94a0; }
.range { stroke: #3366aa; stroke-width: 3; opacity: .45; } .dot { fill: #24508a; }
.bar { fill: #6d94c4; } .point { fill: #24508a; opacity: .45; }
del { background: #ffe0de; color: #8f1d14; } ins { background: #d8f3dc; color: #14532d;
  text-decoration: none; } .gap, small { color: #6b7683; }
.words { margin: .2rem 0 1rem; } pre { background: #f5f7f9; padding: .8rem; overflow-x: auto; }
"""


def report(summary: Mapping[str, Any], runs: Sequence[ScoredRun]) -> str:
    """The page. `runs` are those of the summary, in the same order."""
    parts = [
        _heading(summary),
        _table(table(summary)),
        _rates(summary),
        _comparisons(summary),
        *(_of_run(run) for run in runs if run.scored),
        _repeat(summary),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_escaped(str(summary['source']['name']))} — granite-mlx eval</title>"
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def worst(run: ScoredRun, n: int = N_WORST) -> list[Scored]:
    """The utterances with the most wrong words, those with the higher rate first among equals."""
    wrong = [one for one in run.scored if one.text is not None and one.text.n_word_errors]
    return sorted(wrong, key=_badness)[:n]


def _badness(one: Scored) -> tuple[float, float, str]:
    assert one.text is not None
    n_errors = one.text.n_word_errors
    return -n_errors, -n_errors / max(1, one.text.n_words), one.row.id


def _heading(summary: Mapping[str, Any]) -> str:
    source, scoring = summary["source"], summary["scoring"]
    draws = summary["bootstrap"]
    return (
        f"<h1>{_escaped(str(source['name']))}</h1>"
        f"<p>{source['n_rows']} rows; texts compared by the normaliser "
        f"<b>{_escaped(str(scoring['normalizer']))}</b>. Intervals hold 95 of 100 figures of "
        f"{draws['samples']} sets of utterances drawn anew (seed {draws['seed']}).</p>"
        + "".join(f"<p><b>{_escaped(note)}</b></p>" for note in summary["notes"])
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [f"<tr>{''.join(f'<th>{_escaped(cell)}</th>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in row)}</tr>" for row in body]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _rates(summary: Mapping[str, Any]) -> str:
    marks = []
    for run in summary["runs"]:
        parts = run["languages"] if len(run["languages"]) > 1 else {}
        for name, figures in {**parts, "total": run["total"]}.items():
            if figures["wer"] is not None:
                label = f"{run['name']}, {name}" if parts else run["name"]
                marks.append(plots.Mark(label, figures["wer"], figures["wer_interval"]))
    if not marks:
        return ""
    return f"<h2>Word error rate</h2>{plots.intervals(marks, 'word error rate in %')}"


def _comparisons(summary: Mapping[str, Any]) -> str:
    rows = difference_lines(summary)
    if not rows:
        return ""
    marks = [
        plots.Mark(f"{comparison['run']}: {one['figure']}", one["difference"], one["interval"])
        for comparison in summary["comparisons"]
        for one in comparison["differences"]
        if one["difference"] is not None
    ]
    changed = "".join(
        f"<p>{_escaped(one['run'])}: {one['n_changed']} of {one['n_shared']} utterances have "
        "another text.</p>"
        for one in summary["comparisons"]
    )
    plot = plots.intervals(marks, "difference in points") if marks else ""
    first = _escaped(str(summary["run"]))
    return f"<h2>Compared with {first}</h2>{_table(rows)}{changed}{plot}"


def _of_run(run: ScoredRun) -> str:
    rates = [
        100 * one.text.n_word_errors / one.text.n_words
        for one in run.scored
        if one.text is not None and one.text.n_words
    ]
    points = [
        (one.answer.duration_s, one.answer.transcribe_s)
        for one in run.scored
        if one.answer.duration_s is not None
        and one.answer.transcribe_s is not None
        and one.answer.n_together == 1
    ]
    parts = [f"<h2>{_escaped(run.name)}</h2>"]
    if rates:
        parts.append("<h3>Utterances by their word error rate</h3>")
        parts.append(plots.histogram(rates, ERROR_EDGES, "word error rate in %"))
    if points:
        parts.append("<h3>Time by length</h3>")
        step = -(-len(points) // MOST_POINTS)
        parts.append(
            plots.scatter(points[::step], "length of the recording in s", "time taken in s")
        )
    chosen = worst(run)
    if chosen:
        parts.append("<h3>Worst utterances</h3><p><del>said but not written</del> ")
        parts.append("<ins>written but not said</ins>; after the normaliser.</p>")
        parts += map(_utterance, chosen)
    return "".join(parts)


def _utterance(one: Scored) -> str:
    assert one.text is not None
    rate = f"{one.text.n_word_errors} of {one.text.n_words} words"
    name = _escaped(one.row.id)
    words = " ".join(_marked(differences(one.wanted, one.got)))
    return f'<div><b>{name}</b> <small>{rate} wrong</small><p class="words">{words}</p></div>'


def _marked(steps: Sequence[Step]) -> Iterator[str]:
    """Differences with a few words around each; a gap stands for the others."""
    near = set[int]()
    for place, step in enumerate(steps):
        if step.kind != "equal":
            near.update(range(place - CONTEXT_WORDS, place + CONTEXT_WORDS + 1))
    for is_shown, some in groupby(range(len(steps)), key=lambda place: place in near):
        if not is_shown:
            yield '<span class="gap">…</span>'
            continue
        for step in (steps[place] for place in some):
            if step.kind == "equal":
                yield _escaped(step.got or "")
            else:
                yield _changed(step)


def _changed(step: Step) -> str:
    gone = "" if step.wanted is None else f"<del>{_escaped(step.wanted)}</del>"
    come = "" if step.got is None else f"<ins>{_escaped(step.got)}</ins>"
    return f"{gone}{come}"


def _repeat(summary: Mapping[str, Any]) -> str:
    facts = {name: value for name, value in summary.items() if name not in ("runs", "comparisons")}
    told = json.dumps(facts, indent=1, ensure_ascii=False)
    return f"<h2>To repeat it</h2><pre>{_escaped(told)}</pre>"


def _escaped(text: str) -> str:
    """A text for a page: what a browser would take for its own, or cannot show, is neither."""
    known = "".join(
        "\N{REPLACEMENT CHARACTER}" if _is_unshown(character) else character for character in text
    )
    return html.escape(known)


def _is_unshown(character: str) -> bool:
    return character not in "\n\t" and unicodedata.category(character) in {"Cc", "Cs"}
