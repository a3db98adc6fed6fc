// Sends a recording to the server. XMLHttpRequest, since fetch does not tell how much has been sent.

import { headers, ServerError, serverError, UNREACHABLE } from "./api.js";
import { EventReader } from "./sse.js";

// -> the answer, an object of OpenAI's verbose_json.
// onSent(share) tells how much has arrived, onEvent(event) what is streamed before the answer.
export function upload(file, { path, fields }, { signal, onSent, onEvent }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const events = new EventReader();
    let answer = null;
    let failure = null;
    let nRead = 0;

    function readStream() {
      if (!isStream(request) || request.status !== 200) return;
      const piece = request.responseText.slice(nRead);
      nRead += piece.length;
      for (const event of events.read(piece)) {
        if (event.error) failure = serverError(500, JSON.stringify(event));
        else if (event.type === "transcript.text.done") answer = event;
        else onEvent(event);
      }
    }

    request.open("POST", path);
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.total && onSent(event.loaded / event.total);
    request.upload.onload = () => onSent(1);
    request.onprogress = readStream;
    request.onerror = () => reject(new ServerError(UNREACHABLE, 0));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onload = () => {
      try {
        readStream();
        if (request.status !== 200) failure = serverError(request.status, request.responseText);
        else if (!isStream(request)) answer = JSON.parse(request.responseText);
      } catch {
        failure = new ServerError("The server's answer could not be read.", request.status);
      }
      if (failure || !answer) reject(failure ?? new ServerError("The answer broke off.", 0));
      else resolve(answer);
    };
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(formData(file, fields));
  });
}

function isStream(request) {
  return (request.getResponseHeader("Content-Type") ?? "").startsWith("text/event-stream");
}

function formData(file, fields) {
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  form.append("file", file, file.name);
  return form;
}
