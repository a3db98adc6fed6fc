"""What is written where: progress for those who watch, and text through any encoding."""

import io
import json

import pytest

from granite_mlx.cli.listener import download_progress
from granite_mlx.cli.screen import Screen, escape_what_cannot_be_encoded, one_line, shown


class Terminal(io.StringIO):
    """A stderr that someone watches."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_progress_is_rewritten_and_gone_before_anything_else_is_said() -> None:
    out, err = io.StringIO(), Terminal()
    screen = Screen(out, err)
    screen.progress("a 10%")
    screen.progress("a 20%")
    screen.result("words\n")
    screen.note("a.wav -> a.txt")
    assert out.getvalue() == "words\n"
    assert err.getvalue() == "\r\x1b[Ka 10%\r\x1b[Ka 20%\r\x1b[Ka.wav -> a.txt\n"


def test_progress_stays_on_one_line() -> None:
    err = Terminal()
    Screen(io.StringIO(), err).progress("x" * 500 + "\n")
    assert err.getvalue() == "\r\x1b[K" + "x" * 79


def test_progress_in_wide_characters_stays_on_one_line() -> None:
    err = Terminal()
    Screen(io.StringIO(), err).progress("a" + "語" * 100 + "e\u0301" * 100)
    assert err.getvalue() == "\r\x1b[Ka" + "語" * 39
    err = Terminal()
    Screen(io.StringIO(), err).progress("e\u0301" * 100)
    assert err.getvalue() == "\r\x1b[K" + "e\u0301" * 79


@pytest.mark.parametrize("reason", ["pipe", "quiet", "dumb"])
def test_nobody_watches(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO() if reason == "pipe" else Terminal()
    if reason == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    screen = Screen(io.StringIO(), err, quiet=reason == "quiet")
    screen.progress("a 10%")
    screen.note("a.wav -> a.txt")
    assert err.getvalue() == ""


def test_a_download_is_shown_with_its_size_and_then_the_loading() -> None:
    err = Terminal()
    show = download_progress(Screen(io.StringIO(), err), "ibm")
    show(1_150_000_000, 4_600_000_000)
    show(4_600_000_000, 4_600_000_000)
    show(0, 0)
    lines = err.getvalue().split("\r\x1b[K")[1:]
    assert lines == ["Downloading ibm: 25% (1.15 of 4.60 GB)", "Loading ibm", "Loading ibm"]


def test_names_keep_their_letters_and_lose_what_acts_on_a_terminal() -> None:
    assert shown("déjà vu 日本 👩‍🚀.wav") == "déjà vu 日本 👩‍🚀.wav"
    assert shown("a\n\x1b[2J\u2028\udcff") == "a\\n\\x1b[2J\\u2028\\udcff"


def test_a_message_of_several_lines_becomes_one() -> None:
    assert one_line("first\nsecond\x07") == "first second\\x07"


@pytest.mark.parametrize("text", ["« é » 👍", "plain"])
def test_what_an_encoding_lacks_is_escaped_as_in_json(text: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    escape_what_cannot_be_encoded(stream)
    stream.write(json.dumps({"text": text}, ensure_ascii=False))
    stream.flush()
    assert json.loads(raw.getvalue()) == {"text": text}
