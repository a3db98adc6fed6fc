"""Measures the demo checkpoint on voices, speeds, sentences and takes that training never had.

    python -m demo.evaluate --work demo/work --model granite_mlx/demo_checkpoint

Every text comes from the product's public interface, so this tests the product as well. It needs
the corpus of `demo.corpus` and espeak-ng, but neither torch nor transformers. Clean recordings are
heard as they are, noisy ones through `demo.speech.roughen`. Whatever is drawn follows from the seed.
"""

import argparse
import hashlib
import json
import platform
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

import granite_mlx
from demo import names, speech, tasks
from demo.corpus import NamePools, Utterance, read_pools, spoken
from demo.scores import Scores, Tally
from demo.sentences import plain

SETS = {"en": "test_en", "fr": "test_fr", "digits": "test_digits"}
LIST_SIZES = (1, 10)
N_UNSEEN = 40  # utterances a language with names that training never saw
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

# Terms that are in no sentence of the corpus and in no list of training.
UNSPOKEN_TERMS = (
    "TensorFlow Reykjavik ibuprofen PostgreSQL Zanzibar quorum Metformin Dostoevsky Heathrow "
    "mitochondria Terraform Worcestershire Xochitl Brzezinski sarcoidosis Cupertino"
).split()


@dataclass(frozen=True)
class Recording:
    """A test utterance and float32 samples at 16 kHz."""

    name: str  # "test_en 17"
    group: str  # "en", "fr" or "digits"
    utterance: Utterance
    samples: np.ndarray

    @property
    def usual(self) -> list[str]:
        return [usual for usual, _ in self.utterance.names]

    def punctuated(self, language: str) -> str:
        """The text in a language, names in their usual spelling."""
        u = self.utterance
        return (u.en if language == "en" else u.fr).format(*self.usual)

    def plain(self, language: str, spelt: Sequence[str] = ()) -> str:
        """The same without punctuation; the first names in the spelling that is given."""
        u = self.utterance
        template = plain(u.en if language == "en" else u.fr)
        return template.format(*spelt, *self.usual[len(spelt) :])


def read_set(work: Path, group: str, limit: int | None) -> list[Recording]:
    """The first `limit` recordings of a test set."""
    path = work / SETS[group]
    pcm = np.memmap(path.with_suffix(".i16"), dtype="<i2", mode="r")
    recordings = []
    for i, line in enumerate(path.with_suffix(".jsonl").read_text().splitlines()[:limit]):
        u = Utterance(**json.loads(line))
        samples = pcm[u.start : u.start + u.n_samples].astype(np.float32) / 32767
        recordings.append(Recording(f"{path.name} {i}", group, u, samples))
    return recordings


def unseen_names(pools: NamePools, language: str, seed: int, n: int) -> Iterator[Recording]:
    """Held-out voices and patterns with made-up names that training never saw."""
    rng = np.random.default_rng([seed, zlib.crc32(language.encode())])
    pools = replace(pools, real=pools.unseen)
    while n:
        utterance, samples = spoken(rng, language, pools, held_out=True)
        if utterance.names:
            n -= 1
            yield Recording(f"unseen_{language} {n}", language, utterance, samples)


def noisy(recording: Recording, seed: int) -> Recording:
    """The same in a room, over a telephone, or through a poor microphone."""
    rng = np.random.default_rng([seed, zlib.crc32(recording.name.encode())])
    n_samples = len(recording.samples) + int(rng.integers(0, 9600))
    return replace(recording, samples=speech.roughen(rng, recording.samples, n_samples))


def nothing_said(seed: int, n: int) -> Iterator[np.ndarray]:
    """Silence, and noise of several colours and levels, of half a second to six."""
    rng = np.random.default_rng([seed, n])
    for i in range(n):
        n_samples = int(rng.uniform(0.5, 6) * speech.SAMPLE_RATE)
        level = 0.0 if i % 4 == 0 else 10 ** rng.uniform(-4, -0.7)
        yield (level * speech.coloured_noise(rng, n_samples)).astype(np.float32)


class KeywordLists:
    """Draws the lists of a language: terms that nobody says, by espeak-ng's ear."""

    def __init__(self, pools: NamePools, language: str) -> None:
        pairs = pools.real[language] + pools.unseen[language]
        self._terms = sorted({*UNSPOKEN_TERMS, *(name for pair in pairs for name in pair)})
        voice = "en-us" if language == "en" else "fr-fr"
        self._sounds = dict(zip(self._terms, names.phonemes(self._terms, voice), strict=True))

    def alike(self, pair: tuple[str, str]) -> bool:
        """Whether the two spellings are said alike."""
        return self._sounds[pair[0]] == self._sounds[pair[1]]

    def draw(
        self, rng: np.random.Generator, u: Utterance, wanted: list[str], size: int
    ) -> list[str]:
        """`size` terms in random order: those `wanted`, as far as they fit, and unspoken ones."""
        said = {self._sounds[name] for pair in u.names for name in pair}
        unspoken = [term for term in self._terms if self._sounds[term] not in said]
        listed = wanted[:size]
        listed += [str(t) for t in rng.choice(unspoken, size - len(listed), replace=False)]
        return [listed[i] for i in rng.permutation(size)]


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

    def spelling(self, r: Recording, measure: str) -> None:
        """Both spellings of the names, asked for by short and by long lists.

        A name that a short list has no room for keeps its usual spelling.
        """
        u, lists = r.utterance, self.lists[r.group]
        for size in LIST_SIZES:
            for which in (0, 1):
                pairs = u.names[:size]
                spelt = [pair[which] for pair in pairs]
                listed = lists.draw(self._rng(r, size, which), u, spelt, size)
                got, key = self.hear(r, keywords=listed), f"{measure}.{r.group}.list_of_{size}"
                asked = f"{r.name}, {', '.join(listed)}"
                self.scores.text(key, asked, r.plain(u.language, spelt), got)
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


def examine(exam: Examination, recordings: Iterable[Recording]) -> None:
    """All questions about the recordings of the test sets."""
    for r in recordings:
        exam.transcription(r)
        if r.group == "digits":
            continue
        exam.punctuation(r)
        exam.translation(r)
        exam.unspoken_keywords(r)
        if r.utterance.names:
            exam.spelling(r, "names")


def missed_floors(tallies: dict[str, Tally]) -> list[str]:
    """Sentences about what is worse than it has to be."""
    missed = []
    for key, floor in FLOORS.items():
        percent = tallies[key].percent
        if percent > floor if key.endswith("wrong") else percent < floor:
            missed.append(f"{key} is {percent:.1f} %, its floor is {floor:g} %")
    for group in SETS:
        behind = (tallies[f"ctc.{group}.words_wrong"].percent
                  - tallies[f"asr.{group}.words_wrong"].percent)  # fmt: skip
        if behind > CTC_BEHIND:
            missed.append(f"ctc.{group} is {behind:.1f} points behind the decoder")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("demo/work"))
    parser.add_argument("--model", type=Path, default=Path("granite_mlx/demo_checkpoint"))
    parser.add_argument(
        "--dtype", help="float32, float16 or bfloat16; the checkpoint's if not given"
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
    pools = read_pools(args.work / "names.json")
    lists = {language: KeywordLists(pools, language) for language in ("en", "fr")}
    recordings = [r for group in SETS for r in read_set(args.work, group, args.limit)]

    clean = Examination(model, lists, args.seed)
    examine(clean, recordings)
    for language in ("en", "fr"):
        for r in unseen_names(pools, language, args.seed, args.limit or N_UNSEEN):
            clean.spelling(r, "unseen_names")
    for i, samples in enumerate(nothing_said(args.seed, N_NOTHING)):
        clean.nothing(samples, f"nothing {i}")
    rough = Examination(model, lists, args.seed)
    examine(rough, map(partial(noisy, seed=args.seed), recordings))

    print(table(clean.scores.tallies, rough.scores.tallies))
    weights = (args.model / "model.safetensors").read_bytes()
    result = {
        "model": {"sha256": hashlib.sha256(weights).hexdigest(), "dtype": model.dtype},
        "seed": args.seed,
        "recordings": {group: sum(r.group == group for r in recordings) for group in SETS},
        "versions": versions(),
        "seconds": round(time.monotonic() - began),
        "clean": as_json(clean.scores.tallies),
        "noisy": as_json(rough.scores.tallies),
    }
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    if args.mistakes:
        found = [{"noisy": exam is rough, **asdict(m)} for exam in (clean, rough)
                 for m in exam.scores.mistakes]  # fmt: skip
        lines = [json.dumps(m, ensure_ascii=False) + "\n" for m in found]
        args.mistakes.write_text("".join(lines))
    missed = missed_floors(clean.scores.tallies)
    sys.exit("\n".join(missed) if missed else 0)


if __name__ == "__main__":
    main()
