"""How the model is asked: all that the server knows of the engine, and of what goes wrong there."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol, Unpack

from granite_mlx.asynchronous import awaited
from granite_mlx.cancelling import CancelToken, TimeLimitReached
from granite_mlx.engine import Cancelled
from granite_mlx.errors import (
    AudioError,
    AudioTooLongError,
    BusyError,
    GraniteError,
    LanguageError,
)
from granite_mlx.serve.errors import ApiError, bad_field
from granite_mlx.serve.fields import Asked, Options
from granite_mlx.serve.lengths import check_length, last_s, too_long
from granite_mlx.serve.limits import ServerLimits
from granite_mlx.serve.places import RETRY_AFTER_S, busy
from granite_mlx.serve.realtime import LiveModel
from granite_mlx.serve.stopping import Stop, stopping
from granite_mlx.transcript import Segment, Transcript

LOG = logging.getLogger("granite_mlx.serve")

Fields = list[tuple[str, str]]
OnSegment = Callable[[Segment], None]


class ServedModel(LiveModel, Protocol):
    """The part of `GraniteSpeech` that the server uses."""

    def limit_requests(self, most: int | None) -> None: ...

    def stream(
        self, audio: bytes, *, to: str | None, **options: Unpack[Options]
    ) -> Iterator[Segment]: ...

    async def transcribe_async(
        self, audio: BinaryIO, *, cancel: CancelToken | None, **options: Any
    ) -> Transcript: ...

    async def translate_async(
        self, audio: BinaryIO, *, to: str, cancel: CancelToken | None, **options: Any
    ) -> Transcript: ...


class Work:
    """One model for all requests."""

    def __init__(self, model: ServedModel, limits: ServerLimits, stop: Stop) -> None:
        self._model, self._limits, self._stop = model, limits, stop
        model.limit_requests(limits.n_requests)

    async def asked(self, read: Callable[[Fields], Asked], fields: Fields) -> Asked:
        """What a request wants. ApiError names a field that is wrong, or not for this model.

        Long lists of keywords take a while, so another thread reads them.
        """

        def checked(_: CancelToken) -> Asked:
            asked = read(fields)
            try:
                # Options are checked at once, and an iterator that is not asked does nothing.
                self._model.stream(b"", to=asked.to, **asked.options)
            except LanguageError as error:
                raise bad_field("language", str(error)) from error
            except (TypeError, ValueError) as error:
                raise ApiError(400, str(error), code="invalid_value") from error
            return asked

        return await awaited(checked, None)

    async def transcript(
        self, file: BinaryIO, asked: Asked, on_segment: OnSegment | None = None
    ) -> Transcript:
        """The answer; `on_segment` is called on another thread. A cancelled task stops the work.

        Raises:
            ApiError: there is none.
        """
        cancel, limit_s = CancelToken(self._limits.answer_s), self._limits.duration_s
        with self._stop.working(cancel), self._explained():
            await awaited(lambda own: check_length(file, asked.options, limit_s, own.check), cancel)
            # A header may tell less than there is.
            options: dict[str, Any] = {**asked.options, "end_s": last_s(asked.options, limit_s)}
            if asked.to is None:
                transcript = await self._model.transcribe_async(
                    file, cancel=cancel, on_segment=on_segment, **options
                )
            else:
                transcript = await self._model.translate_async(
                    file, to=asked.to, cancel=cancel, on_segment=on_segment, **options
                )
        if transcript.duration_s > limit_s + 0.5:
            raise too_long(f"the recording is longer than {limit_s:g} s.")
        return transcript

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """The model's errors as the server's; options were checked, so that others are bugs."""
        try:
            yield
        except BusyError as error:
            raise busy(str(error)) from error
        except AudioTooLongError as error:
            raise too_long(str(error)) from error
        except AudioError as error:
            raise ApiError(400, str(error), param="file", code="invalid_audio") from error
        except GraniteError as error:
            LOG.exception("a request failed")
            raise ApiError(500, str(error), code="transcription_failed") from error
        except MemoryError as error:
            raise ApiError(
                503, "the server has no memory left.", code="no_memory", retry_after_s=RETRY_AFTER_S
            ) from error
        except TimeLimitReached as error:
            # The same again would take as long: OpenAI's clients heed the header.
            raise ApiError(
                503,
                f"there was no answer within {self._limits.answer_s:g} s; send less at once.",
                code="timeout",
                headers={"x-should-retry": "false"},
            ) from error
        except Cancelled as error:
            raise stopping() from error
