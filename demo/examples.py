"""Makes the example recordings beside the demo checkpoint, with what is said in them.

    python -m demo.examples --work demo/work --digits ../shared/data/fsdd

Voices, sentences and takes are held out from training. Still the examples say nothing about
accuracy: each is the first of those drawn that the model writes down right in every dtype.
"""

import argparse
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr

import granite_mlx
from demo import speech
from demo.corpus import NamePools, Utterance, compose, read_pools
from demo.names import NamePair
from demo.sentences import plain

DTYPES = ("float32", "float16", "bfloat16")
N_DIGITS = 6
PAUSE_S = (0.12, 0.3)
LONGEST_S = 3.6
MOST_TRIES = 100
LARGEST_BYTES = 300_000
REQUIRED = ("digits", "digits_nicolas")  # the README's and the tests' recordings

README = """# Example recordings

16 kHz, mono. Beside each recording lies a file with what the demo checkpoint writes without a
keyword list. All of it is held out from its training, but the examples were chosen: each is the
first of those drawn that the model writes down right. Its accuracy is in the folder above.

| recording | text | source |
|---|---|---|
{rows}

## Sources and licences

- Digits: takes of the [Free Spoken Digit Dataset](https://github.com/Jakobovski/free-spoken-digit-dataset)
  by Zohar Jackson, César Souza, Jason Flaks, Yuxin Pan, Hereman Nicolas, Adhish Thite and its
  speakers, [CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/). Changes: takes of one
  speaker were brought to one level, joined with silence between, and resampled from 8 to 16 kHz.
  The results are under CC BY-SA 4.0 as well.
- Sentences: spoken by [espeak-ng](https://github.com/espeak-ng/espeak-ng) for this project,
  Apache-2.0.

Made by `demo/examples.py`.
"""


@dataclass(frozen=True)
class Example:
    """A recording, the texts that the model has to give for it, and where it comes from."""

    samples: np.ndarray  # float32 at 16 kHz
    text: str
    source: str
    keyword: str | None = None
    text_with_keyword: str | None = None

    def flac(self) -> bytes:
        out = io.BytesIO()
        soundfile.write(out, self.samples, speech.SAMPLE_RATE, format="FLAC", compression_level=1.0)
        return out.getvalue()


def digits(rng: np.random.Generator, folder: Path, speaker: str) -> Example:
    """Six different digits by one real speaker."""
    parts, said, takes = [], [], []
    for digit in map(int, rng.permutation(10)[:N_DIGITS]):
        take = f"{digit}_{speaker}_{rng.choice(speech.HELD_OUT_DIGIT_INDICES)}.wav"
        samples, rate = soundfile.read(folder / take, dtype="float32")
        parts += [
            samples * 0.3 / np.abs(samples).max(),
            np.zeros(int(rng.uniform(*PAUSE_S) * rate)),
        ]
        said.append(speech.DIGITS[digit])
        takes.append(take.removesuffix(".wav"))
    joined = soxr.resample(np.concatenate(parts[:-1]), rate, speech.SAMPLE_RATE)
    return Example(joined.astype(np.float32), " ".join(said), f"FSDD: {', '.join(takes)}")


def sentence(
    rng: np.random.Generator, pools: NamePools, language: str, names: list[NamePair]
) -> Example:
    """A short sentence that contains just these names; the second spelling is a keyword's."""
    while True:
        u = compose(rng, language, pools, held_out=True)
        if u.names != names:
            continue
        voice = speech.draw_voice(rng, language, held_out=True)
        usual = [usual for usual, _ in names]
        samples = speech.say(_text(u).format(*usual), voice)
        if len(samples) <= LONGEST_S * speech.SAMPLE_RATE:
            break
    source = f"espeak-ng: {voice.name}, {voice.words_per_minute} words a minute"
    example = Example(samples, plain(_text(u)).format(*usual), source)
    if not names:
        return example
    other = names[0][1]
    return replace(example, keyword=other, text_with_keyword=plain(_text(u)).format(other))


def _text(u: Utterance) -> str:
    return u.en if u.language == "en" else u.fr


def is_right(model: granite_mlx.GraniteSpeech, example: Example) -> bool:
    """Whether the model writes the example down right, with its keyword and without."""
    recording = example.flac()
    if model.transcribe(recording).text != example.text:
        return False
    if example.keyword is None:
        return True
    with_keyword = model.transcribe(recording, keywords=[example.keyword])
    return with_keyword.text == example.text_with_keyword


def first_right(
    draw: Callable[[], Example], models: list[granite_mlx.GraniteSpeech]
) -> Example | None:
    """The first example drawn that every model writes down right, if there is one."""
    for n_tries in range(1, MOST_TRIES + 1):
        example = draw()
        if all(is_right(model, example) for model in models):
            print(f"{example.text} (number {n_tries} of those drawn)")
            return example
    return None


def drawn(folder: Path, pools: NamePools, seed: int) -> Iterator[tuple[str, Callable[[], Example]]]:
    """The name of each example, and what draws candidates for it."""

    def rng(name: str) -> np.random.Generator:
        return np.random.default_rng([seed, *name.encode()])

    for name, speaker in (("digits", "jackson"), ("digits_nicolas", "nicolas")):
        yield name, partial(digits, rng(name), folder, speaker)
    for name, language, names in (
        ("english", "en", []),
        ("french", "fr", []),
        ("english_name", "en", [("Eric", "Erik")]),
    ):
        yield name, partial(sentence, rng(name), pools, language, names)


def row(name: str, example: Example) -> str:
    text = example.text
    if example.keyword is not None:
        text += f" (with the keyword {example.keyword}: {example.text_with_keyword})"
    return f"| {name}.flac | {text} | {example.source} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("demo/work"))
    parser.add_argument("--digits", type=Path, required=True, help="folder of the FSDD wavs")
    parser.add_argument("--model", type=Path, default=Path("granite_mlx/demo_checkpoint"))
    parser.add_argument("--seed", type=int, default=20261124)
    args = parser.parse_args()

    pools = read_pools(args.work / "names.json")
    models = [granite_mlx.load(args.model, dtype=dtype) for dtype in DTYPES]
    examples: dict[str, Example] = {}
    for name, draw in drawn(args.digits, pools, args.seed):
        example = first_right(draw, models)
        if example is not None:
            examples[name] = example
        elif name in REQUIRED:
            raise RuntimeError(f"{name}: the model writes none of {MOST_TRIES} down right")
        else:
            print(f"{name}: left out, the model writes none of {MOST_TRIES} down right")
    files = {f"{name}.flac": example.flac() for name, example in examples.items()}
    n_bytes = sum(map(len, files.values()))
    if n_bytes > LARGEST_BYTES:
        raise RuntimeError(f"the examples take {n_bytes} bytes, more than {LARGEST_BYTES}")
    files |= {f"{name}.txt": f"{example.text}\n".encode() for name, example in examples.items()}
    rows = "\n".join(row(name, example) for name, example in examples.items())
    files["README.md"] = README.format(rows=rows).encode()
    folder = args.model / "examples"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        print(f"{len(content):>7} {folder / name}")


if __name__ == "__main__":
    main()
