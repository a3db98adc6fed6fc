"""The errors that a user can fix.

    GraniteError
    ├── AnswerError              the text model of the second pass gave no usable answer
    ├── AudioError               the recording cannot be read or holds nothing usable
    │   └── AudioTooLongError    it is longer than the model's context allows
    ├── BusyError                the model has as many requests at once as it may have
    ├── CheckpointError          the model's files are missing, damaged or inconsistent
    │   └── UnsupportedModelError  another architecture, or a setting that we do not compute
    ├── ConversionError          a conversion cannot be made, or lost more quality than allowed
    ├── LanguageError            an unknown language, or a pair that the model does not translate
    └── RecognitionError         the model failed on every part of a recording

Wrong arguments raise ``ValueError`` or ``TypeError`` as everywhere in Python.
Every message says what is wrong, where, and what to do about it.
"""

__all__ = [
    "AnswerError",
    "AudioError",
    "AudioTooLongError",
    "BusyError",
    "CheckpointError",
    "ConversionError",
    "GraniteError",
    "LanguageError",
    "RecognitionError",
    "UnsupportedModelError",
]


class GraniteError(Exception):
    """Base of every error that granite-mlx raises for something a user can fix."""


class AnswerError(GraniteError):
    """A text model gave no answer that can be used, or its window is too small for the question."""


class AudioError(GraniteError):
    """A recording cannot be opened or decoded, or holds no usable samples."""


class AudioTooLongError(AudioError):
    """A recording is longer than the model's context allows in one pass."""


class BusyError(GraniteError):
    """The model has as many requests as `limit_requests` allows; later there may be room."""


class CheckpointError(GraniteError):
    """A checkpoint's files are missing, damaged or do not fit together."""


class UnsupportedModelError(CheckpointError):
    """A checkpoint is of an architecture, or uses a setting, that granite-mlx does not compute."""


class ConversionError(GraniteError):
    """A recipe, source or destination cannot be used, or the result fell short of its limits."""


class LanguageError(GraniteError):
    """A language is unknown, or the model does not translate the given pair."""


class RecognitionError(GraniteError):
    """The model failed on every part of a recording, for lack of memory say."""
