"""Makes the corpus: sentences spoken by espeak-ng and strings of real digits, in two files.

    python -m demo.corpus --digits ../shared/data/fsdd --out demo/work

`NAME.i16` holds all samples one after another (16 kHz, int16), `NAME.jsonl` one line an utterance:
language, pattern, both texts with ``{i}`` for names, the names as (usual, other) pairs, and where
its samples lie. Everything follows from the seed.
"""

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from demo import names as name_pairs
from demo import sentences, speech
from demo.vocabulary import french_number

SIZES = {
    "train_en": 13000, "train_fr": 9000, "train_names_en": 5000, "train_names_fr": 3500,
    "test_en": 300, "test_fr": 300,
}  # fmt: skip
SEED = 20261124
PINNED_NAMES = Path(__file__).with_name("names.json")
N_TRAIN_DIGITS, N_TEST_DIGITS, N_CANDIDATES = 4000, 150, 2500


@dataclass(frozen=True)
class Utterance:
    """One recording with its texts; `start` and `n_samples` point into the .i16 file."""

    language: str
    kind: str  # "espeak" or "digits"
    pattern: tuple[str, str, str]
    en: str
    fr: str
    names: list[tuple[str, str]]
    made_up: bool
    voice: str
    start: int = 0
    n_samples: int = 0


@dataclass(frozen=True)
class NamePools:
    real: dict[str, list[name_pairs.NamePair]]
    made_up: dict[str, list[name_pairs.NamePair]]
    unseen: dict[str, list[name_pairs.NamePair]]  # made-up names that training never sees


def name_pools(seed: int) -> NamePools:
    """Real pairs that sound alike, or nearly so, in each language, and made-up ones that do."""
    rng = np.random.default_rng(seed)
    english = [p for p in name_pairs.REAL_PAIRS if "".join(p).isascii()][:86]
    french = sorted(name_pairs.homophones(name_pairs.REAL_PAIRS, ["fr-fr"]))
    drawn = name_pairs.made_up_pairs(N_CANDIDATES, rng)
    en = sorted(name_pairs.homophones(drawn, ["en-us", "en-gb", "en-gb-scotland"]))
    fr = sorted(name_pairs.homophones(drawn, ["fr-fr"]))
    held = {p for p in sorted({*en, *fr}) if rng.random() < 0.08}
    return NamePools(
        {"en": english, "fr": french},
        {"en": [p for p in en if p not in held], "fr": [p for p in fr if p not in held]},
        {"en": [p for p in en if p in held], "fr": [p for p in fr if p in held]},
    )


def compose(
    rng: np.random.Generator, language: str, pools: NamePools, held_out: bool = False
) -> Utterance:
    """Draw a sentence and its names; nobody has said it yet."""
    pattern, en, fr, n_names = _sentence(rng, held_out)
    made_up = bool(rng.random() < 0.4) and not held_out
    pool = (pools.made_up if made_up else pools.real)[language]
    chosen = [pool[i] for i in rng.choice(len(pool), size=n_names, replace=False)]
    return Utterance(language, "espeak", pattern, en, fr, chosen, made_up, "")


def compose_for(rng: np.random.Generator, set_name: str, pools: NamePools) -> Utterance:
    """Compose a sentence of one of the `SIZES`; those of the names sets have real names in them."""
    language, held_out = set_name[-2:], set_name.startswith("test")
    while True:
        u = compose(rng, language, pools, held_out)
        if "names" not in set_name or (u.names and not u.made_up):
            return u


def spoken(rng: np.random.Generator, u: Utterance, held_out: bool) -> tuple[Utterance, np.ndarray]:
    """Have an utterance said; a real name is said in either of its spellings."""
    aloud = [pair[int(not u.made_up and rng.random() < 0.3)] for pair in u.names]
    voice = speech.draw_voice(rng, u.language, held_out)
    samples = speech.say((u.en if u.language == "en" else u.fr).format(*aloud), voice)
    return replace(u, voice=voice.name), samples


def _sentence(rng: np.random.Generator, held_out: bool):
    if not held_out and rng.random() < 0.05:
        said = [int(d) for d in rng.integers(0, 10, size=int(rng.integers(1, 8)))]
        return ("digits", "-", "-"), *digit_texts(said), 0
    s = sentences.draw(rng, held_out)
    return s.pattern, s.en, s.fr, s.n_names


def digit_texts(said: list[int]) -> tuple[str, str]:
    """The two punctuated texts of a string of digits."""
    en = " ".join(speech.DIGITS[d] for d in said) + "."
    fr = " ".join(french_number(d) for d in said) + "."
    return en[0].upper() + en[1:], fr[0].upper() + fr[1:]


def real_digits(rng: np.random.Generator, digits) -> tuple[Utterance, np.ndarray]:
    samples, said = speech.digit_string(rng, digits)
    en, fr = digit_texts(said)
    return Utterance("en", "digits", ("digits", "-", "-"), en, fr, [], False, "fsdd"), samples


def read_pools(path: Path) -> NamePools:
    """Read names.json."""
    raw = json.loads(path.read_text())
    return NamePools(
        **{
            k: {lang: [(a, b) for a, b in pairs] for lang, pairs in v.items()}
            for k, v in raw.items()
        }
    )


def pinned_or_new_pools(path: Path, seed: int) -> NamePools:
    """The names of this work folder; a new one takes the default seed's from beside this file.

    Which names sound alike depends on espeak-ng's version, and the tokenizer on the names.
    """
    if not path.exists():
        text = PINNED_NAMES.read_text() if seed == SEED else _to_json(name_pools(seed))
        path.write_text(text)
    return read_pools(path)


def _to_json(pools: NamePools) -> str:
    return json.dumps(asdict(pools), ensure_ascii=False, indent=1)


def write(path: Path, items: Iterator[tuple[Utterance, np.ndarray]]) -> None:
    """Write utterances to `path`.i16 and `path`.jsonl, the latter last, as the sign of completion."""
    start, lines = 0, []
    with open(path.with_suffix(".i16"), "wb") as sound:
        for utterance, samples in items:
            pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2")
            sound.write(pcm.tobytes())
            lines.append({**asdict(utterance), "start": start, "n_samples": len(pcm)})
            start += len(pcm)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.with_suffix(".jsonl").write_text(text)
    print(f"{path.name}: {len(lines)} utterances, {start / speech.SAMPLE_RATE / 3600:.2f} h")


def make(out: Path, digits_folder: Path, seed: int, workers: int) -> None:
    """Make every set that is not there yet."""
    out.mkdir(parents=True, exist_ok=True)
    pools = pinned_or_new_pools(out / "names.json", seed)

    def one(spec: tuple[str, int]) -> tuple[Utterance, np.ndarray]:
        name, i = spec
        rng = np.random.default_rng([seed, sum(map(ord, name)), i])
        return spoken(rng, compose_for(rng, name, pools), held_out=name.startswith("test"))

    with ThreadPoolExecutor(workers) as pool:
        for name, n in SIZES.items():
            if not (out / f"{name}.jsonl").exists():
                write(out / name, pool.map(one, ((name, i) for i in range(n))))
    for name, n, held_out in (("train_digits", N_TRAIN_DIGITS, False),
                              ("test_digits", N_TEST_DIGITS, True)):  # fmt: skip
        if not (out / f"{name}.jsonl").exists():
            rng = np.random.default_rng([seed, n])
            digits = speech.load_digits(digits_folder, held_out)
            write(out / name, (real_digits(rng, digits) for _ in range(n)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", type=Path, required=True, help="folder of the FSDD wavs")
    parser.add_argument("--out", type=Path, default=Path("demo/work"))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    make(args.out, args.digits, args.seed, args.workers)


if __name__ == "__main__":
    main()
