"""Compares a conversion with its source: weight by weight, and at work on recordings.

The two models are never in memory together. The source listens and answers; what it put out on the
way is kept and its weights are let go; then the conversion hears the same, and is led along the
source's answers, so that every difference is one of the models and none of the path.

Where one of the two does not fit into memory, both run layer by layer. So nothing can be written
token after token; both are led along what is said in the recordings, as far as that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

from granite_mlx.convert.compare import Agreement, Difference, kl_nats, weight_differences
from granite_mlx.convert.conversion import Verdict, Verifier
from granite_mlx.convert.listen import Heard, Listener, Predictions, read_samples
from granite_mlx.convert.recipes import Limits
from granite_mlx.convert.recordings import Recording, packaged_recordings
from granite_mlx.convert.source import open_as_floating
from granite_mlx.convert.verification import (
    LAYER_BY_LAYER,
    WHOLE,
    Comparison,
    Verification,
    judge,
)
from granite_mlx.engine import shared_thread
from granite_mlx.errors import CheckpointError, ConversionError
from granite_mlx.loading import Hold, UnreadModel, as_stored, hold_all, open_unread
from granite_mlx.model.checkpoint import Checkpoint
from granite_mlx.model.folder import read_config
from granite_mlx.model.layerwise import hold_no_layers
from granite_mlx.model.memory import check_memory, has_room
from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.model.sources import SourceOf, dequantised
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.speech import GraniteSpeech

KEPT_BYTES = 512 << 20
"""Of the source's outputs. Recordings beyond that (some ten minutes of speech with IBM's
vocabulary) are compared by their texts alone."""

_WITHOUT = "--no-verify (in Python verify=None) does without the comparison."

OnRecording = Callable[[int, int], None]
"""(recordings done, in all); each is listened to twice."""

Said = tuple[tuple[int, ...], str | None]
"""Token ids of an answer, and its text where the model wrote it by itself."""

Say = Callable[[Listener, Recording, Heard], Said]


@dataclass(frozen=True)
class Answer:
    """What the source made of a recording: its text, and its outputs where they are kept."""

    text: str | None
    ids: tuple[int, ...]
    duration_s: float
    outputs: tuple[Heard, Predictions] | None


def writes(listener: Listener, recording: Recording, heard: Heard) -> Said:
    """The model's own answer."""
    ids = listener.answer(heard)
    return ids, listener.text(ids)


def is_told(listener: Listener, recording: Recording, heard: Heard) -> Said:
    """What is said in the recording takes the place of an answer."""
    return listener.reference(recording), None


@dataclass(frozen=True)
class Way:
    """How two models are run: what they hold of their weights, and what they are led along."""

    name: str
    hold: Hold
    say: Say


IN_MEMORY = Way(WHOLE, hold_all, writes)
IN_LAYERS = Way(LAYER_BY_LAYER, hold_no_layers, is_told)


def verifier(
    recordings: Sequence[Recording] | None = None, on_progress: OnRecording | None = None
) -> Verifier:
    """What `convert` takes as `verify`.

    Args:
        recordings: what both are to listen to; None takes those that come with granite-mlx.
        on_progress: called on the MLX thread. What it raises ends the conversion.

    Raises:
        ValueError: there are no recordings, over which any two models would agree.
    """
    heard = packaged_recordings() if recordings is None else recordings
    if not heard:
        raise ValueError("a comparison needs at least one recording.")
    return _Verifier(heard, on_progress)


@dataclass(frozen=True)
class _Verifier:
    recordings: Sequence[Recording]
    on_progress: OnRecording | None

    def prepare(self, source: Checkpoint) -> None:
        shared_thread().run(check_comparable, source, self.recordings)

    def __call__(self, source: Checkpoint, converted: Path, limits: Limits | None) -> Verdict:
        found = verify(source, converted, self.recordings, self.on_progress)
        return Verdict(found.to_record(), tuple(judge(found, limits)))


def check_comparable(source: Checkpoint, recordings: Sequence[Recording]) -> None:
    """Find out what would end a comparison, before there is anything to compare with.

    On the MLX thread, which calls this.

    Raises:
        AudioError: a recording cannot be read, or is too long for the model.
        ConversionError: the source cannot be loaded even layer by layer, or can be only so and
            it is not known what is said in any recording.
    """
    with _explained():
        way = choose_way(source)
        unread = _open_unread(source, way.hold)
        check_memory(unread.n_bytes, source.model_id)
    _check_told(way, source, recordings)
    for recording in recordings:
        read_samples(recording, unread.speech.max_duration_s)


def _check_told(way: Way, source: Checkpoint, recordings: Sequence[Recording]) -> None:
    """Refuse to run layer by layer along recordings of which no text is known."""
    if way is IN_LAYERS and all(recording.reference is None for recording in recordings):
        raise ConversionError(
            f"{source.model_id} does not fit into memory whole, so that it can only be compared "
            "along the text of recordings, and none has one: put NAME.txt beside NAME.wav. "
            f"{_WITHOUT}"
        )


def choose_way(*checkpoints: Checkpoint) -> Way:
    """In memory if there is room for each of them, one after the other."""
    needed = (_open_unread(checkpoint, hold_all).n_bytes for checkpoint in checkpoints)
    return IN_MEMORY if all(map(has_room, needed)) else IN_LAYERS


def verify(
    source: Checkpoint,
    converted: Path,
    recordings: Sequence[Recording],
    on_progress: OnRecording | None = None,
    way: Way | None = None,
) -> Verification:
    """Compare a conversion with its source.

    `way` is `IN_MEMORY` or `IN_LAYERS`; None takes the first where there is room for it.

    Raises:
        AudioError: a recording cannot be read, or is too long for the model.
        ConversionError: one of the two cannot be loaded, or they can be run only layer by layer
            and it is not known what is said in any recording.
    """
    return shared_thread().run(_verify, source, converted, recordings, on_progress, way)


def _verify(
    source: Checkpoint,
    converted: Path,
    recordings: Sequence[Recording],
    on_progress: OnRecording | None,
    way: Way | None,
) -> Verification:
    count = _counter(2 * len(recordings), on_progress)
    twin = Checkpoint(converted, source.model_id, source.revision)
    with _explained():
        way = way or choose_way(source, twin)
    _check_told(way, source, recordings)  # room that there was before may have gone
    weights = changed_weights(source.folder, converted)
    with open_for_comparison(source, way.hold) as model:
        answers = ask(model, recordings, count, way.say)
    with open_for_comparison(twin, way.hold) as model:
        compared = compare_answers(model, recordings, answers, count)
        return Verification(model.dtype, weights, compared, way.name)


def _counter(total: int, on_progress: OnRecording | None) -> Callable[[], None]:
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


def open_for_comparison(checkpoint: Checkpoint, hold: Hold = hold_all) -> GraniteSpeech:
    """Load a checkpoint on the MLX thread, which calls this.

    On a GPU it computes as it will for its user. MLX's CPU multiplies quantised matrices and half
    precision so slowly that there all is made float32, which changes no weight.

    Raises:
        ConversionError: it cannot be loaded, be it for want of memory.
    """
    with _explained():
        return _open_unread(checkpoint, hold).read(shared_thread())


def _open_unread(checkpoint: Checkpoint, hold: Hold) -> UnreadModel:
    on_cpu = mx.default_device().type == mx.DeviceType.cpu
    dtype, arrange = ("float32", as_floating) if on_cpu else (None, as_stored)
    return open_unread(checkpoint, dtype, shared_thread(), arrange, hold)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise ConversionError(
            f"the result cannot be compared with its source: {error} {_WITHOUT}"
        ) from error


def as_floating(network: SpeechModel, formats: Mapping[str, QuantFormat]) -> SourceOf:
    """Quantised matrices are made floating when they are loaded."""
    return dequantised(formats)


def ask(
    model: GraniteSpeech,
    recordings: Sequence[Recording],
    on_recording: Callable[[], None],
    say: Say = writes,
) -> list[Answer]:
    """Have the source listen to recordings; on the MLX thread, which calls this."""
    listener, answers, n_bytes = Listener(model), [], 0
    for recording in recordings:
        heard = listener.hear(recording)
        ids, text = say(listener, recording, heard)
        outputs = (heard, listener.follow(heard, ids)) if n_bytes < KEPT_BYTES else None
        n_bytes += sum(part.n_bytes for part in outputs or ())
        answers.append(Answer(text, ids, heard.duration_s, outputs))
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
    # Where the source has written nothing, running in layers, neither does the conversion.
    text = None if answer.text is None else listener.text(listener.answer(heard))
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
