"""A multipart body -> its fields, and its recording in a file without a name.

The file lies in the server's own folder and is unlinked as soon as it is made: when the process
ends, whatever way, nothing is left. A name or path that a client sends is never opened.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from granite_mlx.asynchronous import awaited
from granite_mlx.serve.errors import ApiError, bad_field
from granite_mlx.serve.lengths import check_beginning
from granite_mlx.serve.limits import MIB, ServerLimits
from granite_mlx.serve.places import RETRY_AFTER_S, busy

LONGEST_FIELDS_BYTES = 4 * MIB
MOST_FIELDS = 20_000
FRAME_BYTES = MIB
FIRST_LOOK_BYTES = MIB // 4
FILE_FIELD = "file"


class Room:
    """Where uploads lie, and how much all of them together may hold."""

    def __init__(self, folder: Path, n_bytes: int) -> None:
        self.folder, self._left = folder, n_bytes

    def take(self, n_bytes: int) -> None:
        """ApiError 503 where there is no room."""
        if n_bytes > self._left:
            raise busy("the server holds too many recordings; try again later.")
        self._left -= n_bytes

    def give_back(self, n_bytes: int) -> None:
        """What was taken."""
        self._left += n_bytes


class Upload:
    """A recording that comes in. Whoever has it last closes it; a second time does no harm."""

    def __init__(self, limit_bytes: int, room: Room) -> None:
        self._limit_bytes, self._room, self.n_bytes = limit_bytes, room, 0
        try:
            # Temporary folders that nobody used for days are cleared away by some systems.
            room.folder.mkdir(mode=0o700, exist_ok=True)
            file = tempfile.TemporaryFile(buffering=0, dir=room.folder)  # noqa: SIM115  # see close
        except OSError as error:
            raise _no_disk() from error
        self.file: io.FileIO = file
        self.file.name = "the uploaded file"  # what messages call it
        self._looked_at_bytes = FIRST_LOOK_BYTES

    async def look_at_length(self, limit_s: float) -> None:
        """ApiError 413 where what is there already tells that the recording is too long.

        It is looked at whenever twice as much has come.
        """
        if self.n_bytes >= self._looked_at_bytes:
            self._looked_at_bytes = 2 * self.n_bytes
            await awaited(lambda _: check_beginning(self.file, limit_s), None)
            self.file.seek(self.n_bytes)

    def write(self, data: bytes) -> None:
        """ApiError 413 for what is too large, 503 where there is no room."""
        if self.n_bytes + len(data) > self._limit_bytes:
            raise too_large(self._limit_bytes)
        self._room.take(len(data))
        self.n_bytes += len(data)
        view = memoryview(data)
        while view:
            try:
                view = view[self.file.write(view) :]
            except OSError as error:
                raise _no_disk() from error

    def close(self) -> None:
        """Gone for good."""
        if not self.file.closed:
            self.file.close()
            self._room.give_back(self.n_bytes)


@dataclass
class Form:
    """Fields in their order, and the recording."""

    fields: list[tuple[str, str]]
    upload: Upload | None

    def recording(self) -> Upload:
        """ApiError 400 where none was sent."""
        if self.upload is None:
            raise bad_field(
                FILE_FIELD, "the recording is missing; send it as the field file.",
                "missing_required_parameter",
            )  # fmt: skip
        return self.upload

    def close(self) -> None:
        """Throw the recording away."""
        if self.upload is not None:
            self.upload.close()


def too_large(limit_bytes: int) -> ApiError:
    """What is told of an upload above the limit."""
    message = f"the recording has more than {limit_bytes / MIB:g} MiB, the limit of this server."
    return ApiError(413, message, param=FILE_FIELD, code="file_too_large")


def check_announced(content_length: str | None, limits: ServerLimits) -> None:
    """ApiError 413 for a body that says to be too large, before any of it is read."""
    if content_length is not None and content_length.isdecimal():
        _check_size(int(content_length), limits)


def _check_size(n_bytes: int, limits: ServerLimits) -> None:
    """ApiError 413 for a body that is larger than any form within the limits."""
    if n_bytes > limits.upload_bytes + LONGEST_FIELDS_BYTES + FRAME_BYTES:
        raise too_large(limits.upload_bytes)


async def read_form(
    body: AsyncIterator[bytes], content_type: str, limits: ServerLimits, room: Room
) -> Form:
    """Read a form to its end.

    Raises:
        ApiError: 415 for another type, 400 for a body that is no form, 413 for what is too large.
    """
    reader = _Reader(_boundary(content_type), limits, room)
    n_bytes = 0
    try:
        async for chunk in body:
            n_bytes += len(chunk)
            _check_size(n_bytes, limits)  # what stands around the parts, too
            reader.feed(chunk)
            if reader.upload is not None:
                await reader.upload.look_at_length(limits.duration_s)
        return reader.end()
    except BaseException:
        reader.close()
        raise


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise ApiError(
            415,
            "send the recording as multipart/form-data, as OpenAI's clients and curl -F do.",
            code="unsupported_media_type",
        )
    boundary = options.get(b"boundary")
    if not boundary:
        raise ApiError(400, "the Content-Type lacks its boundary.", code="invalid_form")
    return boundary


class _Reader:
    """Takes what the parser finds, part by part."""

    def __init__(self, boundary: bytes, limits: ServerLimits, room: Room) -> None:
        self._limits, self._room = limits, room
        self._form = Form([], None)
        self._n_field_bytes, self._is_ended = 0, False
        self._name, self._header, self._value = "", b"", b""
        self._disposition = b""
        self._text: bytearray | None = None
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }
        try:
            self._parser = MultipartParser(boundary, cast(Any, callbacks))
        except FormParserError as error:
            raise _no_form(error) from error

    @property
    def upload(self) -> Upload | None:
        return self._form.upload

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _no_form(error) from error

    def end(self) -> Form:
        if not self._is_ended:
            raise ApiError(400, "the form ends too early; send it again.", code="invalid_form")
        return self._form

    def close(self) -> None:
        self._form.close()

    def _begin(self) -> None:
        self._disposition = self._header = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name = options.get(b"name")
        if kind != b"form-data" or name is None:
            raise ApiError(400, "a part of the form has no name.", code="invalid_form")
        self._name = name.decode("utf-8", "replace")
        if self._name != FILE_FIELD:
            if b"filename" in options:
                raise bad_field(
                    self._name,
                    f"{self._name[:80]} is a file; the recording belongs in the field file.",
                )
            if len(self._form.fields) >= MOST_FIELDS:
                raise ApiError(400, "the form has too many fields.", code="invalid_form")
            self._text = bytearray()
            return
        if b"filename" not in options:
            raise bad_field("file", "file must be a file with a name, not text.")
        if self._form.upload is not None:
            raise bad_field("file", "file is given twice; send a recording at a time.")
        self._text = None
        self._form.upload = Upload(self._limits.upload_bytes, self._room)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._text is None:
            assert self._form.upload is not None
            self._form.upload.write(data[start:end])
            return
        self._n_field_bytes += end - start
        if self._n_field_bytes > LONGEST_FIELDS_BYTES:
            raise ApiError(
                413, "the fields of the form are too long.", param=self._name, code="form_too_large"
            )
        self._text += data[start:end]

    def _end(self) -> None:
        if self._text is not None:
            try:
                self._form.fields.append((self._name, self._text.decode()))
            except UnicodeDecodeError as error:
                raise bad_field(self._name, f"{self._name[:80]} is not UTF-8.") from error

    def _finish(self) -> None:
        self._is_ended = True


def _no_form(error: FormParserError) -> ApiError:
    return ApiError(400, f"the body is no form: {error}.", code="invalid_form")


def _no_disk() -> ApiError:
    message = "the server's disk has no room for the upload; try again later."
    return ApiError(503, message, code="disk_full", retry_after_s=RETRY_AFTER_S)
