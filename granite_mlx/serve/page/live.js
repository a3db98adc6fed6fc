// One session of /v1/realtime: sound goes there as it comes, drafts and final text come back.

import { asSentence, hasToken, ServerError, socketProtocols, UNREACHABLE } from "./api.js";

const TRANSCRIPTION = "conversation.item.input_audio_transcription";

export class LiveSession {
  #socket;
  #view;
  #session;
  #waiting = []; // sound from before the server has agreed
  #isReady = false;
  #isEnding = false;
  #isOver = false;
  #drafts = new Map(); // item -> text, in the order in which they were begun
  #finish;

  // view: onSegments(segments, warnings), onDraft(text), onError(error).
  constructor(session, view) {
    this.#session = session;
    this.#view = view;
    this.done = new Promise((resolve) => (this.#finish = resolve));
    const url = new URL("v1/realtime?intent=transcription", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this.#socket = new WebSocket(url, socketProtocols());
    this.#socket.onmessage = ({ data }) => this.#read(JSON.parse(data));
    this.#socket.onclose = () => this.#closed();
  }

  feed(chunk) {
    if (this.#isReady) this.#append(chunk);
    else this.#waiting.push(chunk);
  }

  // What was said so far is finished; `done` is kept when its text is there.
  end() {
    this.#isEnding = true;
    // The server finishes what came before it answers an update.
    if (this.#isReady) this.#update();
  }

  abandon() {
    this.#isOver = true;
    this.#socket.close();
    this.#finish();
  }

  #read(message) {
    switch (message.type) {
      case "session.created":
        return this.#update();
      case "session.updated":
        return this.#isReady ? this.#over() : this.#begin();
      case "granite.transcription.draft":
        return this.#draft(message.item_id, message.text);
      case `${TRANSCRIPTION}.delta`:
        return this.#draft(message.item_id, (this.#drafts.get(message.item_id) ?? "") + message.delta);
      case "conversation.item.added": // what follows are deltas: they take the draft's place
        return this.#drafts.set(message.item.id, "");
      case `${TRANSCRIPTION}.completed`:
        this.#draft(message.item_id, "");
        this.#drafts.delete(message.item_id);
        return this.#view.onSegments(message.granite.segments, message.granite.warnings);
      case `${TRANSCRIPTION}.failed`:
      case "error":
        this.#view.onError(new ServerError(asSentence(message.error.message), 0));
        if (this.#isEnding) this.#over();
    }
  }

  #begin() {
    this.#isReady = true;
    for (const chunk of this.#waiting.splice(0)) this.#append(chunk);
    if (this.#isEnding) this.#update();
  }

  #draft(item, text) {
    this.#drafts.set(item, text);
    this.#view.onDraft([...this.#drafts.values()].filter(Boolean).join(" "));
  }

  #update() {
    this.#send({ type: "session.update", session: this.#session });
  }

  #append(chunk) {
    const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    this.#send({ type: "input_audio_buffer.append", audio: btoa(letters) });
  }

  #send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #over() {
    this.#isOver = true;
    this.#finish();
    this.#socket.close();
  }

  #closed() {
    if (!this.#isOver) {
      const refused = hasToken() ? "The live session was refused or broke off." : UNREACHABLE;
      this.#view.onError(new ServerError(refused, 0));
    }
    this.#finish();
  }
}
