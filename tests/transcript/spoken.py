"""Transcripts of every kind, for properties: times, scripts, speakers, and hostile texts."""

import unicodedata

from hypothesis import strategies as st

from granite_mlx.transcript import Segment, SubtitleOptions, Transcript, Word

PLAIN = ["the", "of", "a", "well", "yes.", "really?", "however,", "incomprehensibilities", "it"]
HOSTILE = [
    "-->", "00:00:01,000", "<b>", "</v>", "<v", "&amp;", "&", "<", ">", "{\\an8}", "\"", "NOTE",
    "WEBVTT", "1", "42", "?", "!", "«", "»", "(", ")", "...", "—", "\u200b",
    "\u202e", "\x00", "\ufeff",
    "\ud800", "a\u2028b", "x" * 60, "👨\u200d👩\u200d👧", "🇫🇷🇩🇪", "e\u0301\u0302\u0303" * 30,
    "10\u00a0000", "\u00a0",
]  # fmt: skip
FOREIGN = [
    "今日は、", "良い天気", "「コーヒー」", "东京的地铁非常拥挤，每天都有很多人。", "ｶﾀｶﾅ",
    "한국어", "안녕하세요.", "שלום", "مرحبا،", "नमस्ते", "ภาษาไทย", "déjà", "L'été", "Straße",
]  # fmt: skip
WORDS = st.sampled_from(PLAIN * 3 + HOSTILE + FOREIGN)
SPEAKERS = st.sampled_from([None, None, "Ann", "Bob & Co <x>", "N" * 70, " \n", "山田 太郎"])

OPTIONS = st.builds(
    SubtitleOptions,
    max_line_width=st.none() | st.integers(10, 60),
    max_line_count=st.integers(1, 4),
    max_words_per_line=st.none() | st.integers(1, 5),
    min_cue_s=st.sampled_from([0.0, 0.5, 1.0]),
    max_cue_s=st.sampled_from([1.0, 3.0, 7.0]),
    max_chars_per_s=st.sampled_from([5.0, 17.0, 40.0]),
    highlight_words=st.booleans(),
)


@st.composite
def segments(draw: st.DrawFn, start_ms: int, *, least_word_ms: int = 0) -> Segment:
    """A segment that begins at `start_ms` or somewhat later, with or without words."""
    start_ms += draw(st.sampled_from([0, 10, 300, 5000]))
    texts = draw(st.lists(WORDS, max_size=16))
    words, now_ms = [], start_ms
    for text in texts:
        now_ms += draw(st.sampled_from([0, 0, 30, 400, 900, 2500]))
        end_ms = now_ms + max(least_word_ms, draw(st.sampled_from([0, 1, 120, 350, 9000])))
        words.append(Word(now_ms / 1000, end_ms / 1000, text, None))
        now_ms = end_ms
    heard = draw(st.sampled_from(["words", "no words", "bare words"]))
    if heard == "no words":
        words = []
    elif heard == "bare words":
        words = [Word(w.start_s, w.end_s, w.text.strip(".,?"), None) for w in words]
    separator = draw(st.sampled_from([" ", " ", "\n", "  \t"]))
    speaker = draw(SPEAKERS)
    return Segment(
        start_ms / 1000, now_ms / 1000, separator.join(texts), None, speaker, tuple(words)
    )


@st.composite
def transcripts(draw: st.DrawFn, *, least_word_ms: int = 0) -> Transcript:
    """Segments one after the other, and a recording that goes on for at least a second."""
    made, now_s = [], 0.0
    for _ in range(draw(st.integers(0, 4))):
        segment = draw(segments(round(now_s * 1000), least_word_ms=least_word_ms))
        made.append(segment)
        now_s = segment.end_s
    return transcript(*made, duration_s=now_s + draw(st.sampled_from([1.0, 10.0])))


def transcript(*segments: Segment, duration_s: float | None = None) -> Transcript:
    """A transcript of these segments that ends with the last of them."""
    end_s = max((segment.end_s for segment in segments), default=0.0)
    return Transcript(
        segments=segments,
        language=None,
        target_language=None,
        task="transcribe",
        duration_s=end_s if duration_s is None else duration_s,
        model="demo",
    )


def heard(*words: tuple[str, float, float], text: str | None = None, **more: str) -> Segment:
    """A segment of words, each with its start and end in seconds."""
    said = " ".join(word for word, _, _ in words) if text is None else text
    timed = tuple(Word(start_s, end_s, word, None) for word, start_s, end_s in words)
    return Segment(words[0][1], words[-1][2], said, words=timed, **more)


def characters_of(text: str) -> str:
    """All that a reader has to find again: no spaces, and none of what no file can hold."""
    return "".join(
        "\ufffd" if unicodedata.category(char) == "Cs" else char
        for char in text
        if not char.isspace() and unicodedata.category(char) != "Cc" and char != "\ufeff"
    )


def columns_of(text: str) -> int:
    """The width of a text in which no characters are joined to one sign."""
    return sum(
        2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
        if unicodedata.category(char) not in ("Mn", "Me", "Cf")
    )
