import pytest

from .sounds import encode


@pytest.fixture
def flac() -> bytes:
    return encode("FLAC")
