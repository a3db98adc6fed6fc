"""The page in a real Chromium, against the real server with the demo checkpoint."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from granite_mlx import Transcript

pytestmark = pytest.mark.slow

ENOUGH_S = 60
ENGLISH = "yesterday the neighbour found a small horse at home"


@pytest.fixture(scope="module")
def recording(demo_checkpoint: Path) -> Path:
    return demo_checkpoint / "examples" / "english.flac"


def transcribe(page, recording: Path, button: str = "Transcribe") -> None:
    page.set_input_files("#file", recording)
    page.get_by_role("button", name=button).click()
    page.wait_for_selector("#downloads:visible")


def words(page) -> str:
    return " ".join(page.locator("#segments .line").all_inner_texts())


def played_s(page) -> float:
    return page.evaluate("document.getElementById('audio').currentTime")


def test_upload_listen_and_download(open_page, address, recording, tmp_path):
    page = open_page(address)
    transcribe(page, recording)
    assert words(page) == ENGLISH
    assert page.locator("#status").inner_text().startswith("9 words, 0:03")

    page.locator(".word", has_text="horse").click()
    page.wait_for_selector(".word[aria-current]")
    assert played_s(page) > 1.0
    assert page.locator(".word[aria-current]").count() == 1

    files = {}
    for name in ("txt", "srt", "vtt", "json"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        assert download.value.suggested_filename == f"english.{name}"
        path = tmp_path / f"english.{name}"
        download.value.save_as(path)
        files[name] = path.read_text()
    assert files["txt"] == f"{ENGLISH}\n"
    transcript = Transcript.from_json(files["json"])
    assert transcript.text == ENGLISH
    assert [word.text for word in transcript.words] == ENGLISH.split()
    assert all(word.confidence is not None for word in transcript.words)
    assert files["srt"] == f"{transcript.to_srt()}\n"
    assert files["vtt"] == f"{transcript.to_vtt()}\n"


def test_segments_appear_one_by_one(open_page, address, tmp_path, recording, demo_checkpoint):
    english, rate = soundfile.read(recording)
    digits, _ = soundfile.read(demo_checkpoint / "examples" / "digits.flac")
    both = tmp_path / "both.wav"
    soundfile.write(both, np.concatenate([english, np.zeros(3 * rate), digits]), rate)
    page = open_page(address)
    transcribe(page, both)
    lines = page.locator("#segments .line").all_inner_texts()
    assert lines[0] == ENGLISH
    assert len(lines) >= 2
    with page.expect_download() as download:
        page.get_by_role("button", name="json", exact=True).click()
    transcript = Transcript.from_json(Path(download.value.path()).read_text())
    assert [segment.text for segment in transcript.segments] == lines
    assert all(segment.words for segment in transcript.segments)


def test_a_server_that_tells_no_segments(open_page, address, recording):
    """As others of OpenAI's interface: all of the text comes at the end."""
    page = open_page(address)
    entry = {"data": [{"id": "demo"}]}
    page.route("**/v1/models", lambda route: route.fulfill(json=entry))
    page.reload()
    page.wait_for_selector("#model:not(:empty)")
    with page.expect_response("**/v1/audio/transcriptions") as response:
        transcribe(page, recording)
    assert response.value.headers["content-type"] == "application/json"
    assert words(page) == ENGLISH


def test_translation_and_keywords(open_page, address, recording):
    page = open_page(address)
    page.get_by_role("radio", name="Translate").check()
    page.get_by_label("Spoken language").select_option("English")
    into = page.get_by_label("Translate into")
    assert into.input_value() == "fr"  # English into English cannot be chosen
    assert into.locator("option[value=en]").is_disabled()
    page.get_by_label("Names and terms").fill("Eric, Erik\nSiobhan")
    transcribe(page, recording, "Translate")
    assert "voisin" in words(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="json", exact=True).click()
    record = json.loads(Path(download.value.path()).read_text())
    asked = record["task"], record["language"], record["target_language"]
    assert asked == ("translate", "en", "fr")
    assert [keyword["term"] for keyword in record["keywords"]] == ["Eric", "Erik", "Siobhan"]


def test_unsure_words_are_underlined_and_told(open_page, address, tmp_path, recording):
    samples, rate = soundfile.read(recording)
    noise = np.random.default_rng(0).normal(0, 0.7 * samples.std(), len(samples))
    noisy = tmp_path / "noisy.wav"
    soundfile.write(noisy, samples + noise, rate)
    page = open_page(address)
    transcribe(page, noisy)
    unsure = page.locator(".segments .unsure, .segments .doubtful").first
    assert re.fullmatch(r"\d+ % sure", unsure.get_attribute("aria-description"))
    assert "underline" in unsure.evaluate("word => getComputedStyle(word).textDecorationLine")
    assert page.locator("#legend").is_visible()


def test_what_is_no_recording_is_one_sentence_in_the_alert(open_page, address, tmp_path):
    page = open_page(address)
    wrong = tmp_path / "<img src=x onerror=alert(1)>.wav"
    wrong.write_text("no sound at all")
    page.set_input_files("#file", wrong)
    page.get_by_role("button", name="Transcribe").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert re.fullmatch(r"[A-Z].+\.", alert.inner_text().strip())
    assert page.locator("img[src=x]").count() == 0
    page.locator("#start:enabled").wait_for()  # a moment after the sentence


def test_keyboard_alone(open_page, address, recording):
    page = open_page(address)
    choosers = []
    # Early: the browser has to be told to tell of it.
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.wait_for_selector("#model:not(:empty)")

    def tab_to(selector: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                outlined = page.evaluate("() => !!document.querySelector(':focus-visible')")
                assert outlined
                return
        raise AssertionError(f"Tab does not reach {selector}")

    tab_to("#file")
    page.keyboard.press("Enter")
    latest_s = time.monotonic() + ENOUGH_S
    while not choosers:
        assert time.monotonic() < latest_s
        page.wait_for_timeout(50)
    choosers[0].set_files(recording)
    page.wait_for_selector("#start:enabled:focus")
    page.keyboard.press("Enter")
    page.wait_for_selector("#downloads:visible")
    tab_to(".word")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("() => document.activeElement.textContent") == "at"
    page.keyboard.press("Enter")
    page.wait_for_selector(".word[aria-current]")
    assert played_s(page) > 1.5


def test_cancel(open_page, address, tmp_path, recording):
    samples, rate = soundfile.read(recording)
    long = tmp_path / "long.wav"
    soundfile.write(long, np.tile(samples, 60), rate)
    page = open_page(address)
    page.set_input_files("#file", long)
    page.get_by_role("button", name="Transcribe").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled").wait_for()
    page.wait_for_selector("#progress", state="hidden")
    assert page.get_by_role("alert").is_hidden()
    transcribe(page, recording)
    assert words(page) == ENGLISH


@pytest.mark.parametrize("is_live", [True, False])
def test_microphone(open_page, address, is_live):
    page = open_page(address)
    if not is_live:
        page.get_by_label("Show text while I speak").uncheck()
    page.get_by_role("button", name="Record", exact=True).click()
    if is_live:
        page.wait_for_selector(".word")  # final at the pause, while it still records
    else:
        page.wait_for_timeout(5000)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("#downloads:visible")
    assert len(set(words(page).split()) & set(ENGLISH.split())) >= 6
    page.locator(".word").nth(3).click()
    page.wait_for_selector(".word[aria-current]")
    assert played_s(page) > 0.5


def test_drafts_make_way_for_final_text(open_page, address):
    """With a script in the server's place: a busy one makes no drafts."""
    page = open_page(address)
    sockets = []

    def on_message(socket, message: str) -> None:
        kind = json.loads(message)["type"]
        if kind == "session.update":
            socket.send(json.dumps({"type": "session.updated"}))
        elif not sockets:
            sockets.append(socket)
            draft("<b>one")

    def begin(socket) -> None:
        socket.on_message(lambda message: on_message(socket, message))
        socket.send(json.dumps({"type": "session.created"}))

    def send(kind: str, **fields: object) -> None:
        sockets[0].send(json.dumps({"type": kind, "item_id": "a", **fields}))

    def draft(text: str) -> None:
        send("granite.transcription.draft", text=text)

    page.route_web_socket(re.compile("/v1/realtime"), begin)
    page.reload()
    page.get_by_role("button", name="Record", exact=True).click()
    shown = page.locator("#draft")
    shown.get_by_text("<b>one", exact=True).wait_for()
    draft("one too")
    shown.get_by_text("one too", exact=True).wait_for()
    send("conversation.item.added", item={"id": "a"})
    send("conversation.item.input_audio_transcription.delta", delta="one two")
    shown.get_by_text("one two", exact=True).wait_for()
    word = {"start_s": 0.2, "end_s": 0.5, "text": "one", "confidence": 0.99}
    segment = {"start_s": 0.2, "end_s": 0.9, "text": "one two", "confidence": 0.9}
    words_ = [word, {**word, "text": "two", "start_s": 0.6, "end_s": 0.9, "confidence": 0.3}]
    granite = {"segments": [{**segment, "words": words_}], "warnings": []}
    send("conversation.item.input_audio_transcription.completed", granite=granite)
    page.wait_for_selector("#draft", state="hidden")
    assert words(page) == "one two"
    assert page.locator(".segments .doubtful").inner_text() == "two"
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("#downloads:visible")


def test_token(open_page, serve, recording):
    page = open_page(serve("open sesame"))
    page.get_by_role("alert").get_by_text("asks for an access token").wait_for()
    page.get_by_label("Access token").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("does not accept").wait_for()
    page.get_by_label("Access token").fill("open sesame")
    page.keyboard.press("Enter")
    page.wait_for_selector("#model:not(:empty)")
    assert page.get_by_role("alert").is_hidden()
    transcribe(page, recording)
    assert words(page) == ENGLISH


def test_the_last_word_is_played_too(open_page, address, recording):
    """Chromium does not find it in this file, and would play nothing more."""
    page = open_page(address)
    transcribe(page, recording)
    heard = "() => { const a = document.getElementById('audio'); return !a.paused && !a.error && "
    page.locator(".word").last.click()
    page.wait_for_function(f"{heard} a.currentTime > 1.8; }}")
    page.locator(".word").first.click()
    page.wait_for_function(f"{heard} a.currentTime < 1.5; }}")
    assert page.get_by_role("alert").is_hidden()


def test_a_token_of_any_characters(open_page, serve, recording):
    """As `openssl rand -base64` makes them, and others: live too."""
    token = "ключ/к серверу+1=="
    page = open_page(serve(token))
    page.get_by_label("Access token").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_selector("#model:not(:empty)")
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_selector(".word")
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("#downloads:visible")
    transcribe(page, recording)
    assert words(page) == ENGLISH


def test_a_session_that_breaks_off_at_its_end(open_page, address):
    """The last words are asked for with the whole recording."""
    page = open_page(address)
    updates = []

    def on_message(socket, message: str) -> None:
        if json.loads(message)["type"] == "session.update":
            updates.append(message)
            if len(updates) == 1:
                socket.send(json.dumps({"type": "session.updated"}))
            else:
                socket.close()

    def begin(socket) -> None:
        socket.on_message(lambda message: on_message(socket, message))
        socket.send(json.dumps({"type": "session.created"}))

    page.route_web_socket(re.compile("/v1/realtime"), begin)
    page.reload()
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(5000)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("#downloads:visible")
    assert len(set(words(page).split()) & set(ENGLISH.split())) >= 6


def test_the_form_is_changed_meanwhile(open_page, address, recording):
    page = open_page(address)
    page.set_input_files("#file", recording)
    page.evaluate(
        """() => {
          document.getElementById("start").click();
          document.getElementById("settings").elements.language.value = "fr";
        }"""
    )
    page.wait_for_selector("#downloads:visible")
    with page.expect_download() as download:
        page.get_by_role("button", name="json", exact=True).click()
    transcript = Transcript.from_json(Path(download.value.path()).read_text())
    assert (transcript.text, transcript.language) == (ENGLISH, None)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(open_page, address, scheme, recording):
    page = open_page(address, color_scheme=scheme)
    transcribe(page, recording)
    for selector in ("body", ".word", ".quiet", "#status", "#start", "#record"):
        ink, ground = page.locator(selector).first.evaluate(COLOURS)
        assert contrast(ink, ground) >= 4.5, selector
    is_dark = luminance(page.locator("body").evaluate(COLOURS)[1]) < 0.5
    assert is_dark == (scheme == "dark")


def test_narrow(open_page, address, recording):
    page = open_page(address, viewport={"width": 320, "height": 640})
    transcribe(page, recording)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


COLOURS = """element => {
  const ink = getComputedStyle(element).color;
  let ground = "rgba(0, 0, 0, 0)";
  for (let at = element; at && ground === "rgba(0, 0, 0, 0)"; at = at.parentElement)
    ground = getComputedStyle(at).backgroundColor;
  return [ink, ground].map((colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number));
}"""


def luminance(colour: list[float]) -> float:
    """Relative luminance of sRGB, by WCAG 2."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
              for c in (value / 255 for value in colour)]  # fmt: skip
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
