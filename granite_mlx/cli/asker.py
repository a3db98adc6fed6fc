"""How an evaluation asks a model: each row in its language and with its terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from granite_mlx.cli.model import FractionProgress, RecognitionOptions, SpeechModel
from granite_mlx.decoding.speculative import Speculative
from granite_mlx.evaluate.rows import Row
from granite_mlx.options import BATCH_SIZE, Guard
from granite_mlx.transcript import Transcript


@dataclass(frozen=True)
class Asked:
    """What all rows are asked alike.

    `offers_keywords`: the model is told a row's terms, which get `keyword_boost`.
    """

    speculative: Speculative
    guard: Guard
    punctuate: bool
    offers_keywords: bool
    keyword_boost: float
    n_together: int


class ModelAsker:
    """One model, asked in one way."""

    def __init__(self, model: SpeechModel, asked: Asked, on_progress: FractionProgress) -> None:
        self._model = model
        self._asked = asked
        self._on_progress = on_progress

    def transcribe(self, row: Row, audio: str | BinaryIO) -> Transcript:
        return self._model.transcribe(
            audio,
            speculative=self._asked.speculative,
            on_progress=self._on_progress,
            **self._options(row),
        )

    def translate(self, row: Row, audio: str | BinaryIO) -> Transcript:
        return self._model.translate(
            audio,
            to=row.target_language or "",
            on_progress=self._on_progress,
            **self._options(row),
        )

    def transcribe_together(
        self, rows: Sequence[Row], audio: Sequence[str | BinaryIO]
    ) -> Sequence[Transcript | Exception]:
        """The rows are asked as the first of them."""
        return self._model.transcribe_batch(
            audio,
            speculative=self._asked.speculative,
            on_progress=self._on_progress,
            on_result=_wait_for_all,
            **self._options(rows[0]),
        )

    def _options(self, row: Row) -> RecognitionOptions:
        terms: list[str | tuple[str, tuple[str, ...]]] = []
        if self._asked.offers_keywords:
            terms += row.keywords
        return RecognitionOptions(
            keywords=terms or None,
            keyword_boost=self._asked.keyword_boost if terms else 0.0,
            language=row.language,
            punctuate=self._asked.punctuate,
            temperature=0.0,
            top_p=1.0,
            seed=None,
            max_new_tokens=None,
            guard=self._asked.guard,
            start_s=0.0,
            end_s=None,
            channels="mixed",
            ranges=(),
            batch_size=max(BATCH_SIZE, self._asked.n_together),
        )


def _wait_for_all(place: int, outcome: Transcript | Exception) -> None:
    """Results are taken together: none has a time of its own."""
