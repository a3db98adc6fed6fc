"""Writes the held-out recordings as manifests for `granite-mlx eval`.

    python -m demo.manifests --work demo/work --out demo/work/eval
    granite-mlx eval demo/work/eval/speech.jsonl -m demo -o demo/work/eval/speech

`speech.jsonl` has all of them with what is said, `translations.jsonl` every second sentence with its
translation, `names.jsonl` those in which a name is said, each with ten keywords: the name in one of
its two spellings, the usual one and the other in turn, and terms that nobody says. It needs the
corpus of `demo.corpus`, and espeak-ng for the lists.
"""

import argparse
import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from demo import speech, tasks
from demo.corpus import read_pools
from demo.held_out import SETS, KeywordLists, Recording, read_set

N_KEYWORDS = 10
SEED = 20261124


def row(recording: Recording) -> dict[str, Any]:
    """Where the recording lies, beside the manifests, and its language."""
    name = recording.name.replace(" ", "_")
    return {"id": name, "audio": f"audio/{name}.flac", "language": recording.utterance.language}


def spoken(recordings: Iterable[Recording]) -> list[dict[str, Any]]:
    return [row(r) | {"text": r.plain(r.utterance.language)} for r in recordings]


def translated(recordings: Iterable[Recording]) -> list[dict[str, Any]]:
    rows = []
    for r in recordings:
        to = tasks.OTHER[r.utterance.language]
        rows.append(row(r) | {"target": r.plain(to), "target_language": to})
    return rows


def named(
    recordings: Sequence[Recording], lists: dict[str, KeywordLists], seed: int
) -> list[dict[str, Any]]:
    rows = []
    for n, r in enumerate(recordings):
        u = r.utterance
        spelt = [pair[n % 2] for pair in u.names[:N_KEYWORDS]]
        rng = np.random.default_rng([seed, zlib.crc32(r.name.encode())])
        listed = lists[u.language].draw(rng, u, spelt, N_KEYWORDS)
        rows.append(row(r) | {"text": r.plain(u.language, spelt), "keywords": listed})
    return rows


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("demo/work"))
    parser.add_argument("--out", type=Path, default=Path("demo/work/eval"))
    parser.add_argument("--limit", type=int, help="recordings of each set, for a quick look")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()

    pools = read_pools(args.work / "names.json")
    recordings = [r for group in SETS for r in read_set(args.work, group, args.limit)]
    sentences = [r for r in recordings if r.group != "digits"]
    with_names = [r for r in sentences if r.utterance.names]
    lists = {language: KeywordLists(pools, language) for language in ("en", "fr")}

    (args.out / "audio").mkdir(parents=True, exist_ok=True)
    for r in recordings:
        pcm = np.round(r.samples * 32767).astype(np.int16)
        soundfile.write(args.out / row(r)["audio"], pcm, speech.SAMPLE_RATE)
    write(args.out / "speech.jsonl", spoken(recordings))
    write(args.out / "translations.jsonl", translated(sentences[::2]))
    write(args.out / "names.jsonl", named(with_names, lists, args.seed))


if __name__ == "__main__":
    main()
