// Plays the recording, from any time, and tells where it is.

// Chromium fails to find a place near the end of some FLAC files: a little before it, it does.
const EARLIER_S = 0.5;
const MOST_TRIES = 4;

export class Player {
  #audio;
  #bar;
  #onTime;
  #onError;
  #url = null;
  #isKnown = false; // whether the browser can play it
  #wanted_s = 0;
  #nTries = 0;

  constructor(bar, audio, { onTime, onError }) {
    this.#bar = bar;
    this.#audio = audio;
    this.#onTime = onTime;
    this.#onError = onError;
    audio.addEventListener("play", () => this.#follow());
    audio.addEventListener("seeked", () => onTime(audio.currentTime));
    audio.addEventListener("ended", () => onTime(null));
    audio.addEventListener("loadedmetadata", () => (this.#isKnown = true));
    audio.addEventListener("error", () => this.#failed());
  }

  get duration_s() {
    return Number.isFinite(this.#audio.duration) ? this.#audio.duration : null;
  }

  load(file) {
    this.clear();
    this.#url = URL.createObjectURL(file);
    this.#isKnown = false;
    this.#audio.src = this.#url;
    this.#bar.hidden = false;
  }

  clear() {
    this.#audio.pause();
    this.#bar.hidden = true;
    if (!this.#url) return;
    URL.revokeObjectURL(this.#url);
    this.#url = null;
    this.#audio.removeAttribute("src");
    this.#audio.load();
  }

  playFrom(time_s) {
    this.#nTries = 0;
    this.#play(time_s);
  }

  #play(time_s) {
    if (!this.#url) return;
    this.#wanted_s = time_s;
    this.#audio.currentTime = time_s;
    this.#audio.play().catch(() => {}); // an error that matters comes as the event
  }

  #failed() {
    if (!this.#url) return;
    if (this.#isKnown && ++this.#nTries <= MOST_TRIES) {
      this.#audio.load(); // else nothing more is played, wherever it is
      this.#play(Math.max(0, this.#wanted_s - EARLIER_S));
    } else {
      this.#onError("This browser cannot play a recording of this kind; its text is not touched by that.");
    }
  }

  // "timeupdate" comes four times a second: too seldom for words.
  #follow() {
    if (this.#audio.paused || this.#audio.ended) return;
    this.#onTime(this.#audio.currentTime);
    requestAnimationFrame(() => this.#follow());
  }
}
