"""Compares a conversion with its source: weight by weight, and at work on recordings.

The two models are never in memory together. The source is loaded, listens and answers; what it
put out on the way is kept and its weights are let go; then the conversion hears the same, and is
led along the source's answers, so that every difference is one of the models and none of the path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

from granite_mlx.convert.compare import Agreement, Difference, kl_nats, weight_differences
from granite_mlx.convert.conversion import Verdict, Verifier
from granite_mlx.convert.listen import Heard, Listener, Predictions
from granite_mlx.convert.recipes import Limits
from granite_mlx.convert.recordings import Recording, packaged_recordings
from granite_mlx.convert.source import open_as_floating
from granite_mlx.convert.verification import Comparison, Verification, judge
from granite_mlx.engine import shared_thread
from granite_mlx.errors import CheckpointError, ConversionError
from granite_mlx.loading import open_model
from granite_mlx.model.checkpoint import Checkpoint
from granite_mlx.model.folder import read_config
from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.model.sources import SourceOf, dequantised
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.speech import GraniteSpeech

KEPT_BYTES = 512 << 20
"""Of the source's outputs. Recordings beyond that (some ten minutes of speech with IBM's
vocabulary) are compared by their texts alone."""

OnProgress = Callable[[int, int], None]
"""(recordings done, in all); each is listened to twice."""


@dataclass(frozen=True)
class Answer:
    """What the source made of a recording: always its text, and its outputs where they are kept."""

    text: str
    ids: tuple[int, ...]
    duration_s: float
    outputs: tuple[Heard, Predictions] | None


def verifier(
    recordings: Sequence[Recording] | None = None,
    limits: Limits | None = None,
    on_progress: OnProgress | None = None,
) -> Verifier:
    """What `convert` takes as `verify`.

    Args:
        recordings: what both are to listen to; None takes those that come with granite-mlx.
        limits: what the conversion may cost: a recipe's `limits`, say.
        on_progress: called on the MLX thread. What it raises ends the conversion.

    Raises:
        ValueError: there are no recordings, over which any two models would agree.
    """
    heard = packaged_recordings() if recordings is None else recordings
    if not heard:
        raise ValueError("a comparison needs at least one recording.")

    def compare(source: Checkpoint, converted: Path) -> Verdict:
        found = verify(source, converted, heard, on_progress)
        return Verdict(found.to_record(), tuple(judge(found, limits)))

    return compare


def verify(
    source: Checkpoint,
    converted: Path,
    recordings: Sequence[Recording],
    on_progress: OnProgress | None = None,
) -> Verification:
    """Compare a conversion with its source.

    Raises:
        AudioError: a recording cannot be read, or is too long for the model.
        ConversionError: one of the two cannot be loaded.
    """
    return shared_thread().run(_verify, source, converted, recordings, on_progress)


def _verify(
    source: Checkpoint,
    converted: Path,
    recordings: Sequence[Recording],
    on_progress: OnProgress | None,
) -> Verification:
    count = _counter(2 * len(recordings), on_progress)
    weights = changed_weights(source.folder, converted)
    # A name decides what a model is asked, so the conversion goes by that of its source.
    twin = Checkpoint(converted, source.model_id, source.revision)
    with open_for_comparison(source) as model:
        answers = ask(model, recordings, count)
    with open_for_comparison(twin) as model:
        compared = compare_answers(model, recordings, answers, count)
        return Verification(model.dtype, weights, compared)


def _counter(total: int, on_progress: OnProgress | None) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        shared_thread().checkpoint()
        done += 1
        if on_progress is not None:
            on_progress(done, total)

    return count


def changed_weights(source: Path, converted: Path) -> dict[str, Difference]:
    """The difference of every tensor that is not the same in the two folders, by its name."""
    tensors = (open_as_floating(folder, read_config(folder)) for folder in (source, converted))
    found: dict[str, Difference] = {}
    for name, difference in weight_differences(*tensors):
        shared_thread().checkpoint()
        if difference.error != 0:  # not a number is a change, too
            found[name] = difference
    return found


def open_for_comparison(checkpoint: Checkpoint) -> GraniteSpeech:
    """Load a checkpoint on the MLX thread, which calls this.

    On a GPU it computes as it will for its user. MLX's CPU multiplies quantised matrices and half
    precision so slowly that there all is made float32, which changes no weight.

    Raises:
        ConversionError: it cannot be loaded, be it for want of memory.
    """
    try:
        if mx.default_device().type == mx.DeviceType.cpu:
            return open_model(checkpoint, "float32", shared_thread(), as_floating)
        return open_model(checkpoint, None, shared_thread())
    except CheckpointError as error:
        raise ConversionError(
            f"the result cannot be compared with its source: {error} --no-verify (in Python "
            "verify=None) does without the comparison."
        ) from error


def as_floating(network: SpeechModel, formats: Mapping[str, QuantFormat]) -> SourceOf:
    """Quantised matrices are made floating when they are loaded."""
    return dequantised(formats)


def ask(
    model: GraniteSpeech, recordings: Sequence[Recording], on_recording: Callable[[], None]
) -> list[Answer]:
    """Have the source listen to recordings; on the MLX thread, which calls this."""
    listener, answers, n_bytes = Listener(model), [], 0
    for recording in recordings:
        heard = listener.hear(recording)
        ids = listener.answer(heard)
        outputs = (heard, listener.follow(heard, ids)) if n_bytes < KEPT_BYTES else None
        n_bytes += sum(part.n_bytes for part in outputs or ())
        answers.append(Answer(listener.text(ids), ids, heard.duration_s, outputs))
        on_recording()
    return answers


def compare_answers(
    model: GraniteSpeech,
    recordings: Sequence[Recording],
    answers: Sequence[Answer],
    on_recording: Callable[[], None],
) -> tuple[Comparison, ...]:
    """Have a conversion listen to the recordings that its source has answered; likewise."""
    listener, compared = Listener(model), []
    for recording, answer in zip(recordings, answers, strict=True):
        compared.append(_compare(listener, recording, answer))
        on_recording()
    return tuple(compared)


def _compare(listener: Listener, recording: Recording, answer: Answer) -> Comparison:
    heard = listener.hear(recording)
    text = listener.text(listener.answer(heard))
    outputs: dict[str, Difference] = {}
    agreement = Agreement()
    if answer.outputs is not None:
        outputs, agreement = _compare_outputs(
            *answer.outputs, heard, listener.follow(heard, answer.ids)
        )
    return Comparison(
        recording.name,
        answer.duration_s,
        recording.reference,
        answer.text,
        text,
        outputs,
        agreement,
    )


def _compare_outputs(
    source_heard: Heard, source: Predictions, heard: Heard, converted: Predictions
) -> tuple[dict[str, Difference], Agreement]:
    outputs = {
        "encoder": Difference.between(source_heard.frames, heard.frames),
        "projector": Difference.between(source_heard.audio_tokens, heard.audio_tokens),
        "decoder": Difference.between(source.hidden, converted.hidden),
    }
    n_same = int((source.best == converted.best).sum())
    divergence = kl_nats(source.log_probs, converted.log_probs)
    return outputs, Agreement(len(source.best), n_same, divergence)
