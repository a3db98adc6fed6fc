// Runs on the audio thread: the first input's channels, mixed, as 16-bit samples, 0.1 s at a time.

const CHUNK_S = 0.1;

class Recorder extends AudioWorkletProcessor {
  #chunk = new Int16Array(Math.round(CHUNK_S * sampleRate));
  #n = 0;

  constructor() {
    super();
    this.isOver = false;
    this.port.onmessage = () => {
      this.#send(); // the last, shorter chunk
      this.port.postMessage(null);
      this.isOver = true;
    };
  }

  process([channels]) {
    if (this.isOver) return false;
    const nSamples = channels.length ? channels[0].length : 0;
    for (let i = 0; i < nSamples; i++) {
      const sum = channels.reduce((total, channel) => total + channel[i], 0);
      const sample = Math.max(-1, Math.min(1, sum / channels.length));
      this.#chunk[this.#n++] = Math.round(32767 * sample);
      if (this.#n === this.#chunk.length) this.#send();
    }
    return true;
  }

  #send() {
    this.port.postMessage(this.#chunk.slice(0, this.#n));
    this.#n = 0;
  }
}

registerProcessor("recorder", Recorder);
