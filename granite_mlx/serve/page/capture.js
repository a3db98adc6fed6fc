// The microphone as chunks of 16-bit samples.

export const LIVE_RATE = 24000; // what /v1/realtime takes

export class Capture {
  #context;
  #stream;
  #node;
  #onChunk;
  #ended;

  // Asks for the microphone; an Error says in a sentence why there is none.
  static async open(onChunk) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("Recording needs a secure page: open this one as http://localhost or over https.");
    }
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      throw new Error(reason(error));
    }
    const capture = new Capture();
    capture.#stream = stream;
    capture.#onChunk = onChunk;
    try {
      await capture.#connect();
    } catch (error) {
      await capture.close();
      throw error;
    }
    return capture;
  }

  get rate() {
    return this.#context.sampleRate;
  }

  // Waits for the last chunk.
  async stop() {
    const last = new Promise((resolve) => (this.#ended = resolve));
    this.#node.port.postMessage("stop");
    await Promise.race([last, new Promise((resolve) => setTimeout(resolve, 500))]);
    await this.close();
  }

  async close() {
    for (const track of this.#stream.getTracks()) track.stop();
    if (this.#context && this.#context.state !== "closed") await this.#context.close();
  }

  async #connect() {
    const source = this.#source();
    await this.#context.audioWorklet.addModule(new URL("./recorder.js", import.meta.url));
    this.#node = new AudioWorkletNode(this.#context, "recorder", { numberOfOutputs: 0 });
    this.#node.port.onmessage = ({ data }) => (data ? this.#onChunk(data) : this.#ended?.());
    source.connect(this.#node);
    await this.#context.resume();
  }

  // Some browsers do not resample a microphone: the recording then has the device's own rate.
  #source() {
    this.#context = new AudioContext({ sampleRate: LIVE_RATE });
    try {
      return this.#context.createMediaStreamSource(this.#stream);
    } catch {
      this.#context.close();
      this.#context = new AudioContext();
      return this.#context.createMediaStreamSource(this.#stream);
    }
  }
}

// How loud a chunk is, 0 to 1, on a scale of 60 dB.
export function level(chunk) {
  let power = 0;
  for (const sample of chunk) power += sample * sample;
  const db = 10 * Math.log10(power / Math.max(1, chunk.length) / 32768 ** 2 + 1e-9);
  return Math.max(0, Math.min(1, 1 + db / 60));
}

function reason(error) {
  if (error.name === "NotAllowedError") {
    return "The browser does not let this page use the microphone: allow it in the address bar.";
  }
  if (error.name === "NotFoundError") return "There is no microphone on this computer.";
  return "The microphone could not be opened; another program may be using it.";
}
