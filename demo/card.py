"""Writes the demo checkpoint's model card from its template and the evaluation's counts.

python -m demo.card --model granite_mlx/demo_checkpoint --accuracy demo/accuracy.json
"""

import argparse
import hashlib
import json
from pathlib import Path
from string import Template

TEMPLATE = Path(__file__).with_name("model_card.md")
ROWS = (
    ("English, words wrong", "asr.en.words_wrong"),
    ("French, words wrong", "asr.fr.words_wrong"),
    ("digits of real people, words wrong", "asr.digits.words_wrong"),
    ("English, character head alone, words wrong", "ctc.en.words_wrong"),
    ("French, character head alone, words wrong", "ctc.fr.words_wrong"),
    ("digits, character head alone, words wrong", "ctc.digits.words_wrong"),
    ("English with punctuation, right", "punctuated.en.texts_right"),
    ("French with punctuation, right", "punctuated.fr.texts_right"),
    ("English to French, right", "translate.en-fr.texts_right"),
    ("French to English, right", "translate.fr-en.texts_right"),
    ("names in English, no list, right", "names.en.no_list.spelt_right"),
    ("names in French, no list, right", "names.fr.no_list.spelt_right"),
    ("names in English, list of 1, right", "names.en.list_of_1.spelt_right"),
    ("names in French, list of 1, right", "names.fr.list_of_1.spelt_right"),
    ("names in English, list of 10, right", "names.en.list_of_10.spelt_right"),
    ("names in French, list of 10, right", "names.fr.list_of_10.spelt_right"),
    ("English, list of 10 not spoken, texts with one of them", "unspoken.en.inserted_wrong"),
    ("French, list of 10 not spoken, texts with one of them", "unspoken.fr.inserted_wrong"),
    ("silence or noise alone, empty text", "nothing_said.texts_right"),
    ("made-up names in English, list of 10, right", "unseen_names.en.list_of_10.spelt_right"),
    ("made-up names in French, list of 10, right", "unseen_names.fr.list_of_10.spelt_right"),
)


def table(accuracy: dict) -> str:
    """A Markdown table of shares and the counts behind them."""

    def cell(tally: dict | None) -> str:
        return f"{tally['percent']:.1f} % ({tally['n']} of {tally['total']})" if tally else ""

    clean, noisy = accuracy["clean"], accuracy["noisy"]
    rows = [f"| {label} | {cell(clean[key])} | {cell(noisy.get(key))} |" for label, key in ROWS]
    return "\n".join(("| | clean | noisy |", "|---|---|---|", *rows))


def card(template: str, accuracy: dict) -> str:
    return Template(template).substitute(
        table=table(accuracy),
        dtype=accuracy["model"]["dtype"],
        sha256=accuracy["model"]["sha256"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("granite_mlx/demo_checkpoint"))
    parser.add_argument("--accuracy", type=Path, default=Path("demo/accuracy.json"))
    args = parser.parse_args()
    accuracy = json.loads(args.accuracy.read_text())
    weights = (args.model / "model.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest() != accuracy["model"]["sha256"]:
        raise SystemExit(
            f"{args.accuracy} was measured with other weights; run demo.evaluate again"
        )
    (args.model / "README.md").write_text(card(TEMPLATE.read_text(), accuracy))


if __name__ == "__main__":
    main()
