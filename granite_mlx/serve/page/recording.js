// A recording from the microphone, with its text as it comes where that is wanted and can be had.

import { Capture, level, LIVE_RATE } from "./capture.js";
import { LiveSession } from "./live.js";
import { wavFile } from "./wav.js";

export class Recording {
  #settings;
  #view;
  #capture = null;
  #live = null;
  #chunks = [];
  #isAbandoned = false;

  // view: onLevel(0 to 1), onDraft(text), onSegments(segments, warnings), onError(error).
  constructor(settings, view) {
    this.#settings = settings;
    this.#view = view;
  }

  // Whether the whole text has come while it was recorded; if not, the file is still to be sent.
  hasText = false;

  // Whether the microphone has been granted.
  get isOpen() {
    return this.#capture !== null;
  }

  get duration_s() {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0) / this.#capture.rate;
  }

  async begin() {
    this.#capture = await Capture.open((chunk) => this.#take(chunk));
    if (this.#isAbandoned) return this.#capture.close();
    if (!this.#settings.isLive || this.#capture.rate !== LIVE_RATE) return;
    this.hasText = true;
    this.#live = new LiveSession(this.#settings.session(LIVE_RATE), {
      onDraft: this.#view.onDraft,
      onSegments: this.#view.onSegments,
      onError: (error) => this.#giveUpLive(error),
    });
    for (const chunk of this.#chunks) this.#live.feed(chunk);
  }

  // -> the recording as a file, when the last text has come.
  async finish() {
    await this.#capture.stop();
    this.#live?.end();
    await this.#live?.done;
    return wavFile(this.#chunks, this.#capture.rate, `recording ${stamp(new Date())}.wav`);
  }

  abandon() {
    this.#isAbandoned = true;
    this.#live?.abandon();
    this.#capture?.close();
  }

  #take(chunk) {
    this.#chunks.push(chunk);
    this.#live?.feed(chunk);
    this.#view.onLevel(level(chunk));
  }

  // The recording goes on; its text is asked for at the end.
  #giveUpLive(error) {
    const live = this.#live;
    this.#live = null;
    this.hasText = false;
    live?.abandon();
    this.#view.onError(error);
  }
}

function stamp(now) {
  const two = (number) => String(number).padStart(2, "0");
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join("-");
  return `${day} ${two(now.getHours())}.${two(now.getMinutes())}`;
}
