"""Measures the demo checkpoint on voices, speeds, sentences and takes that training never had.

    python -m demo.evaluate --work demo/work --model granite_mlx/demo_checkpoint

Every text comes from the product's public interface, so this tests the product as well. It needs
the corpus of `demo.corpus` and espeak-ng, but neither torch nor transformers. Everything follows
from the seed.
"""

import argparse
import hashlib
import json
import platform
import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

import granite_mlx
from demo import speech, tasks
from demo.corpus import read_pools
from demo.held_out import (
    SETS,
    KeywordLists,
    Recording,
    noisy,
    nothing_said,
    read_set,
    unseen_names,
)
from demo.scores import Scores, Tally

LIST_SIZES = (1, 10)
N_UNSEEN = 60  # utterances a language with names that training never saw
N_NOTHING = 40  # recordings without words

# In per cent, on clean recordings: at most for what is wrong, at least for what is right.
FLOORS = {
    "asr.en.words_wrong": 2.0,
    "asr.fr.words_wrong": 4.0,
    "asr.digits.words_wrong": 5.0,
    "translate.en-fr.texts_right": 85.0,
    "translate.fr-en.texts_right": 85.0,
    **{f"names.{language}.{how}.spelt_right": 95.0 for language in ("en", "fr")
       for how in ("no_list", "list_of_1", "list_of_10")},
}  # fmt: skip
CTC_BEHIND = 3.0  # points of word error that the character head may lie behind the decoder


class Examination:
    """Asks a loaded model all questions about recordings, and keeps the scores."""

    def __init__(self, model, lists: dict[str, KeywordLists], seed: int) -> None:
        self.model, self.lists, self.seed = model, lists, seed
        self.scores = Scores()

    def hear(self, recording: Recording, **options) -> str:
        return self.model.transcribe(
            recording.samples, sample_rate=speech.SAMPLE_RATE, **options
        ).text

    def transcription(self, r: Recording) -> None:
        key, wanted, got = f"asr.{r.group}", r.plain(r.utterance.language), self.hear(r)
        self.scores.words(key, wanted, got)
        self.scores.text(key, r.name, wanted, got)
        self.scores.spellings(f"names.{r.group}.no_list.spelt", r.usual, got)
        letters = self.model.ctc_text(r.samples, sample_rate=speech.SAMPLE_RATE)
        self.scores.words(f"ctc.{r.group}", wanted, letters)

    def punctuation(self, r: Recording) -> None:
        got = self.hear(r, punctuate=True)
        self.scores.text(f"punctuated.{r.group}", r.name, r.punctuated(r.utterance.language), got)

    def translation(self, r: Recording) -> None:
        to = tasks.OTHER[r.utterance.language]
        got = self.model.translate(r.samples, sample_rate=speech.SAMPLE_RATE, to=to).text
        key, wanted = f"translate.{r.utterance.language}-{to}", r.plain(to)
        self.scores.words(key, wanted, got)
        self.scores.text(key, r.name, wanted, got)

    def spelling(self, r: Recording, measure: str, size: int, which: int) -> None:
        """A list of `size` terms asks for the first or second spelling of the names.

        A name that a short list has no room for keeps its usual spelling.
        """
        u, lists = r.utterance, self.lists[r.group]
        pairs = u.names[:size]
        spelt = [pair[which] for pair in pairs]
        listed = lists.draw(self._rng(r, size, which), u, spelt, size)
        got, key = self.hear(r, keywords=listed), f"{measure}.{r.group}.list_of_{size}"
        self.scores.text(key, f"{r.name}, {', '.join(listed)}", r.plain(u.language, spelt), got)
        self.scores.spellings(f"{key}.spelt", spelt, got)
        alike = [pair[which] for pair in pairs if lists.alike(pair)]
        self.scores.spellings(f"{key}.alike_spelt", alike, got)

    def unspoken_keywords(self, r: Recording) -> None:
        """A list of which nothing is said has to change nothing."""
        u, size = r.utterance, LIST_SIZES[-1]
        listed = self.lists[r.group].draw(self._rng(r, size, 2), u, [], size)
        got, key, wanted = self.hear(r, keywords=listed), f"unspoken.{r.group}", r.plain(u.language)
        self.scores.words(key, wanted, got)
        self.scores.text(key, f"{r.name}, {', '.join(listed)}", wanted, got)
        self.scores.add(f"{key}.inserted_wrong", int(bool(set(listed) & set(got.split()))), 1)

    def nothing(self, samples: np.ndarray, name: str) -> None:
        got = self.model.transcribe(samples, sample_rate=speech.SAMPLE_RATE).text
        self.scores.text("nothing_said", name, "", got)

    def _rng(self, r: Recording, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(r.name.encode()), *numbers])


def examine(exam: Examination, recordings: Sequence[Recording]) -> None:
    """All questions; those that take long are asked about a half or a quarter of the sentences."""
    for r in recordings:
        exam.transcription(r)
    sentences = [r for r in recordings if r.group != "digits"]
    for r in sentences[::2]:
        exam.translation(r)
    for r in sentences[1::2]:
        exam.punctuation(r)
    for r in sentences[::4]:
        exam.unspoken_keywords(r)
    examine_names(exam, [r for r in sentences if r.utterance.names], "names")


def examine_names(exam: Examination, recordings: Sequence[Recording], measure: str) -> None:
    """Every list size for each recording, with one spelling and the other in turn."""
    for i, r in enumerate(recordings):
        for n, size in enumerate(LIST_SIZES):
            exam.spelling(r, measure, size, which=(i + n) % 2)


def missed_floors(tallies: dict[str, Tally]) -> list[str]:
    """Sentences about what was measured and is worse than it has to be."""
    missed = []
    for key, floor in FLOORS.items():
        tally = tallies.get(key)
        if tally and (tally.percent > floor if key.endswith("wrong") else tally.percent < floor):
            missed.append(f"{key} is {tally.percent:.1f} %, its floor is {floor:g} %")
    for group in SETS:
        letters, words = (tallies[f"{who}.{group}.words_wrong"] for who in ("ctc", "asr"))
        if letters.percent - words.percent > CTC_BEHIND:
            missed.append(f"ctc.{group} is more than {CTC_BEHIND:g} points behind the decoder")
    return missed


def table(clean: dict[str, Tally], noisy: dict[str, Tally]) -> str:
    def cell(tally: Tally | None) -> str:
        return f"{tally.percent:6.1f} % {f'{tally.n}/{tally.total}':>11}" if tally else ""

    lines = [f"{'':44} {'clean':^20} {'noisy':^20} floor"]
    for key, tally in clean.items():
        lines.append(f"{key:44} {cell(tally):20} {cell(noisy.get(key)):20} {FLOORS.get(key, '')}")
    return "\n".join(lines)


def versions() -> dict[str, str]:
    espeak = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True)
    return {
        "python": platform.python_version(),
        "granite-mlx": granite_mlx.__version__,
        **{name: version(name) for name in ("mlx", "numpy", "soxr", "tokenizers")},
        "espeak-ng": espeak.stdout.partition(": ")[2].split()[0],
        "machine": f"{platform.system()} {platform.machine()}",
    }


def as_json(tallies: dict[str, Tally]) -> dict[str, dict[str, float]]:
    return {k: {**asdict(t), "percent": round(t.percent, 2)} for k, t in tallies.items()}


def measure(model, work: Path, seed: int, limit: int | None) -> dict[str, Scores]:
    """The scores on clean and on noisy recordings."""
    pools = read_pools(work / "names.json")
    lists = {language: KeywordLists(pools, language) for language in ("en", "fr")}
    recordings = _recordings(work, limit)
    clean, rough = Examination(model, lists, seed), Examination(model, lists, seed)
    examine(clean, recordings)
    for language in ("en", "fr"):
        unseen = list(unseen_names(pools, language, seed, limit or N_UNSEEN))
        examine_names(clean, unseen, "unseen_names")
    for i, samples in enumerate(nothing_said(seed, N_NOTHING)):
        clean.nothing(samples, f"nothing {i}")
    examine(rough, [noisy(r, seed) for r in recordings[::2]])
    return {"clean": clean.scores, "noisy": rough.scores}


def word_errors_only(model, work: Path, limit: int | None) -> Scores:
    """The scores of clean speech to text, and of nothing else. Nothing is drawn for them."""
    exam = Examination(model, lists={}, seed=0)
    for r in _recordings(work, limit):
        exam.transcription(r)
    return exam.scores


def _recordings(work: Path, limit: int | None) -> list[Recording]:
    return [r for group in SETS for r in read_set(work, group, limit)]


def write_mistakes(path: Path, scores: dict[str, Scores]) -> None:
    mistakes = [{"audio": audio, **asdict(mistake)} for audio, of_audio in scores.items()
                for mistake in of_audio.mistakes]  # fmt: skip
    path.write_text("".join(json.dumps(m, ensure_ascii=False) + "\n" for m in mistakes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("demo/work"))
    parser.add_argument("--model", type=Path, default=Path("granite_mlx/demo_checkpoint"))
    parser.add_argument("--dtype", default="float32", help="float32 (default), float16 or bfloat16")
    parser.add_argument(
        "--only-wer", action="store_true", help="clean speech to text, nothing else"
    )
    parser.add_argument("--limit", type=int, help="recordings of each set, for a quick look")
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--out", type=Path, help="write the counts as JSON")
    parser.add_argument(
        "--mistakes", type=Path, help="write every wrong text, one JSON object a line"
    )
    args = parser.parse_args()

    began = time.monotonic()
    model = granite_mlx.load(args.model, dtype=args.dtype)
    if args.only_wer:
        scores = {"clean": word_errors_only(model, args.work, args.limit), "noisy": Scores()}
    else:
        scores = measure(model, args.work, args.seed, args.limit)
    tallies = {audio: of_audio.tallies for audio, of_audio in scores.items()}
    print(table(**tallies))
    if args.out:
        weights = (args.model / "model.safetensors").read_bytes()
        result = {
            "model": {"sha256": hashlib.sha256(weights).hexdigest(), "dtype": model.dtype},
            "seed": args.seed,
            "limit": args.limit,
            "versions": versions(),
            "seconds": round(time.monotonic() - began),
            **{audio: as_json(of_audio) for audio, of_audio in tallies.items()},
        }
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    if args.mistakes:
        write_mistakes(args.mistakes, scores)
    sys.exit("\n".join(missed_floors(tallies["clean"])) or 0)


if __name__ == "__main__":
    main()
