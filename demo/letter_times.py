"""Where each letter of the training utterances is said, by the aligner of the product.

    python -m demo.letter_times --work demo/work [--checkpoint FOLDER]

`train_NAME.letters.jsonl` holds one line an utterance of the first ones of each training set: which
one it is, and for each word the times of its letters, as the character head of a trained checkpoint
hears them. `demo.joins` cuts by them.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import GraniteSpeechForConditionalGeneration as Model

from demo import features
from demo.batches import Corpus
from demo.model import encode
from demo.tasks import heard
from granite_mlx.ctc.alignment import AlignedWord, align
from granite_mlx.ctc.spelling import fold, spell

SIZES = {"digits": 4000, "en": 4000, "fr": 4000, "names_en": 1500, "names_fr": 1500}
BATCH = 32
FRAME_S = 0.02

LEAST_LOG_PROBABILITY = -1.0
"""Of an utterance's letters, the mean: where they are less sure, so are their places."""


def letter_times(word: AlignedWord) -> list[float]:
    """When each character of a word begins to sound, in seconds; what is not heard, with the next."""
    times, place = [], 0
    for character in word.text:
        times.append(float(word.frames[min(place, len(word.frames) - 1), 0]) * FRAME_S)
        place += len(fold(character) or "")
    return [round(t, 2) for t in times]


def lines(
    model: Model, corpus: Corpus, n_utterances: int
) -> Iterator[tuple[int, list[list[float]]]]:
    """(which utterance, the times of its letters by word), for those that align well."""
    order = sorted(
        range(min(n_utterances, len(corpus.utterances))),
        key=lambda i: corpus.utterances[i].n_samples,
    )
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        sounds = [corpus.audio(corpus.utterances[i]) for i in chosen]
        padded = np.zeros((len(sounds), max(map(len, sounds)) + 1600), np.float32)
        for row, sound in zip(padded, sounds, strict=True):
            row[: len(sound)] = sound
        with torch.inference_mode():
            hidden, _ = encode(model.model.encoder, features.log_mel(torch.from_numpy(padded)))
            log_probs = model.model.encoder.out(hidden).log_softmax(-1).numpy()
        for i, own in zip(chosen, log_probs, strict=True):
            words = spell(heard(corpus.utterances[i]))
            if words is None or not all(word.letters for word in words):
                continue
            aligned = align(words, own[: corpus.utterances[i].n_samples // 320 + 2])
            if aligned is None:
                continue
            sure = np.concatenate([word.log_probs for word in aligned])
            if sure.mean() >= LEAST_LOG_PROBABILITY:
                yield i, [letter_times(word) for word in aligned]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("demo/work"))
    parser.add_argument("--checkpoint", type=Path, default=Path("granite_mlx/demo_checkpoint"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = Model.from_pretrained(args.checkpoint, dtype=torch.float32).eval()
    for name, size in SIZES.items():
        path = args.work / f"train_{name}.letters.jsonl"
        if path.exists():
            continue
        found = [
            json.dumps(line)
            for line in lines(model, Corpus.open(args.work / f"train_{name}"), size)
        ]
        path.write_text("\n".join(found) + "\n")
        print(f"{path.name}: {len(found)} of {size} utterances", flush=True)


if __name__ == "__main__":
    main()
