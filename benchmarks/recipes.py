"""What each recipe costs on the demo checkpoint: the table in docs/quantisation.md.

    python -m benchmarks.recipes --work demo/work [--limit N] [--docs FILE] [--json FILE]

Source and conversions listen to the test sets of `demo.corpus`, which training never had; espeak-ng
must be there, since the lists of keywords go by sound. Without --docs the table is only printed.
Exits with 1 if a recipe costs more than its own limits allow.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.tables import block_writer, line, markdown
from demo import speech
from demo.corpus import read_pools
from demo.evaluate import Examination, examine_names
from demo.held_out import SETS, KeywordLists, read_set
from demo.held_out import Recording as Utterance
from demo.scores import Tally
from granite_mlx.convert import RECIPES, Recipe, convert
from granite_mlx.convert.compare import Agreement
from granite_mlx.convert.manifest import hash_files, versions
from granite_mlx.convert.recordings import Recording
from granite_mlx.convert.verification import Verification, judge
from granite_mlx.convert.verify import ask, compare_answers, open_for_comparison
from granite_mlx.engine import shared_thread
from granite_mlx.evaluate.error_rates import ErrorRate, word_errors
from granite_mlx.model.checkpoint import DEMO, Checkpoint, find_checkpoint
from granite_mlx.model.shards import read_headers
from granite_mlx.speech import GraniteSpeech

BLOCK = "recipes"

GROUPS = {"en": "English", "fr": "French", "digits": "digits"}
"""The test sets by their names in the table."""

SEED = 20261124

KeywordScore = Callable[[GraniteSpeech, Sequence[Utterance]], Tally]


@dataclass(frozen=True)
class Row:
    """The source (recipe None), or what became of it by a recipe.

    Attributes:
        n_bytes: of all weight files.
        dtype: in which it computed.
        words: by group, the word errors.
        names: those that were spelt as a list of keywords asks.
        agreement: with the source on the next token.
        exceeded: sentences about what the recipe's limits do not allow.
    """

    recipe: str | None
    n_bytes: int
    dtype: str
    words: Mapping[str, ErrorRate]
    names: Tally
    agreement: Agreement | None = None
    exceeded: tuple[str, ...] = ()


def measure(
    utterances: Sequence[Utterance], keyword_score: KeywordScore, recipes: Sequence[Recipe]
) -> Iterator[Row]:
    """The source's row, then one for each recipe, as they come."""
    thread, source = shared_thread(), find_checkpoint(DEMO)
    recordings = [_recording(utterance) for utterance in utterances]
    with thread.run(open_for_comparison, source) as model:
        answers = thread.run(ask, model, recordings, _nothing)
        words = _word_errors(utterances, [answer.text or "" for answer in answers])
        names = keyword_score(model, utterances)
        yield Row(None, weights_bytes(source.folder), model.dtype, words, names)
    for recipe in recipes:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / recipe.name
            convert(DEMO, folder, recipe=recipe)
            converted = Checkpoint(folder, source.model_id, source.revision)
            with thread.run(open_for_comparison, converted) as model:
                compared = thread.run(compare_answers, model, recordings, answers, _nothing)
                names = keyword_score(model, utterances)
                found = Verification(model.dtype, {}, compared)
            yield _converted_row(recipe, weights_bytes(folder), utterances, found, names)


def _converted_row(
    recipe: Recipe, n_bytes: int, utterances: Sequence[Utterance], found: Verification, names: Tally
) -> Row:
    return Row(
        recipe.name,
        n_bytes,
        found.dtype,
        _word_errors(utterances, [one.converted_text or "" for one in found.recordings]),
        names,
        found.agreement,
        tuple(judge(found, recipe.limits)),
    )


def _recording(utterance: Utterance) -> Recording:
    reference = utterance.plain(utterance.utterance.language)
    return Recording(utterance.name, utterance.samples, speech.SAMPLE_RATE, reference)


def _word_errors(utterances: Sequence[Utterance], texts: Sequence[str]) -> dict[str, ErrorRate]:
    found = dict.fromkeys(GROUPS, ErrorRate())
    for utterance, text in zip(utterances, texts, strict=True):
        wanted = utterance.plain(utterance.utterance.language)
        found[utterance.group] += word_errors(wanted, text)
    return found


def names_spelt_right(
    lists: Mapping[str, KeywordLists], model: GraniteSpeech, utterances: Sequence[Utterance]
) -> Tally:
    """Names that are spelt as a list asks, of one term or of ten, in either spelling by turns."""
    exam = Examination(model, dict(lists), SEED)
    examine_names(exam, [u for u in utterances if u.group in lists and u.utterance.names], "names")
    total = Tally()
    for key, tally in exam.scores.tallies.items():
        if key.endswith(".spelt_right"):  # and not "alike_spelt_right", which are some of them
            total = total.plus(tally.n, tally.total)
    return total


def weights_bytes(folder: Path) -> int:
    """Size of the weights' files."""
    return sum(path.stat().st_size for path in {i.path for i in read_headers(folder).values()})


def _nothing() -> None:
    pass


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    head = ["recipe", "size", *(f"WER {name}" for name in GROUPS.values())]
    head += ["names spelt as listed", "mean KL", "same top token"]
    return markdown(head, map(_cells, rows))


def _cells(row: Row) -> list[str]:
    cells = [row.recipe or "none (bfloat16)", f"{row.n_bytes / 1e6:.1f} MB"]
    cells += [_percent(row.words[group]) for group in GROUPS]
    cells.append(f"{row.names.percent:.1f} %" if row.names.total else "")
    if row.agreement is None:
        return [*cells, "", ""]
    return [*cells, f"{row.agreement.mean_kl_nats:.4f} nats", f"{100 * row.agreement.top1:.2f} %"]


def _percent(rate: ErrorRate) -> str:
    return f"{rate.percent:.2f} %" if rate.n_wanted else ""


def caption(utterances: Sequence[Utterance], facts: Mapping[str, str]) -> str:
    """What was measured, on what and with what."""
    counts = (f"{sum(u.group == g for u in utterances)} {name}" for g, name in GROUPS.items())
    of = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"Over {' + '.join(counts)} recordings that training never had; {of}."


def facts_of(source: Checkpoint, dtype: str) -> dict[str, str]:
    """What the figures depend on."""
    paths = sorted({info.path for info in read_headers(source.folder).values()})
    (weights,) = hash_files(paths, lambda n_bytes: None)
    return {"computed in": dtype, "checkpoint": weights.sha256[:12], **versions()}


def report(rows: Sequence[Row], facts: Mapping[str, str]) -> dict[str, Any]:
    """The counts behind the table."""
    return {"facts": dict(facts), "rows": [asdict(row) for row in rows]}


def main() -> int:
    """Measure, print the table, and write it where it is wanted."""
    parser = argparse.ArgumentParser(description="Measure the recipes on the demo checkpoint.")
    parser.add_argument("--work", type=Path, default=Path("demo/work"), help="of demo.corpus")
    parser.add_argument("--limit", type=int, metavar="N", help="recordings of each set")
    parser.add_argument(
        "--docs", type=Path, metavar="FILE", help="put the table into this document"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts here, too")
    args = parser.parse_args()
    write = block_writer(args.docs, BLOCK)
    utterances = [u for group in SETS for u in read_set(args.work, group, args.limit)]
    pools = read_pools(args.work / "names.json")
    lists = {language: KeywordLists(pools, language) for language in ("en", "fr")}
    rows = []
    for row in measure(utterances, partial(names_spelt_right, lists), list(RECIPES.values())):
        rows.append(row)
        print(line(_cells(row)), file=sys.stderr)
    facts = facts_of(find_checkpoint(DEMO), rows[0].dtype)
    block = f"{table(rows)}\n\n{caption(utterances, facts)}"
    print(block)
    write(block)
    if args.json is not None:
        args.json.write_text(json.dumps(report(rows, facts), indent=1) + "\n", encoding="utf-8")
    exceeded = [f"{row.recipe}: {sentence}" for row in rows for sentence in row.exceeded]
    print("".join(f"{sentence}\n" for sentence in exceeded), end="", file=sys.stderr)
    return int(bool(exceeded))


if __name__ == "__main__":
    sys.exit(main())
