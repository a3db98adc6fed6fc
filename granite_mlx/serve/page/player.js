// Plays the recording, from any time, and tells where it is.

export class Player {
  #audio;
  #bar;
  #onTime;
  #url = null;

  constructor(bar, audio, { onTime, onError }) {
    this.#bar = bar;
    this.#audio = audio;
    this.#onTime = onTime;
    audio.addEventListener("play", () => this.#follow());
    audio.addEventListener("seeked", () => onTime(audio.currentTime));
    audio.addEventListener("ended", () => onTime(null));
    audio.addEventListener("error", () => {
      if (this.#url) onError("This browser cannot play a recording of this kind; its text is not touched by that.");
    });
  }

  get duration_s() {
    return Number.isFinite(this.#audio.duration) ? this.#audio.duration : null;
  }

  load(file) {
    this.clear();
    this.#url = URL.createObjectURL(file);
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
    if (!this.#url) return;
    this.#audio.currentTime = time_s;
    this.#audio.play().catch(() => {}); // an error that matters comes as the event
  }

  // "timeupdate" comes four times a second: too seldom for words.
  #follow() {
    if (this.#audio.paused || this.#audio.ended) return;
    this.#onTime(this.#audio.currentTime);
    requestAnimationFrame(() => this.#follow());
  }
}
