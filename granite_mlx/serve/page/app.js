// Puts the parts together: a file or the microphone -> the server -> the transcript and its player.

import { request, setToken } from "./api.js";
import { download, stemOf } from "./downloads.js";
import { FilePicker } from "./picker.js";
import { Notices } from "./notices.js";
import { Player } from "./player.js";
import { clock, segmentsOf, TranscriptRecord } from "./record.js";
import { Recording } from "./recording.js";
import { Settings } from "./settings.js";
import { TranscriptView } from "./transcript.js";
import { upload } from "./upload.js";

const part = (id) => document.getElementById(id);

const notices = new Notices({
  alert: part("alert"), status: part("status"), progress: part("progress"), elapsed: part("elapsed"),
});
const settings = new Settings(part("settings"));
const player = new Player(part("player"), part("audio"), {
  onTime: (time_s) => view.highlight(time_s),
  onError: (text) => notices.error(text),
});
const view = new TranscriptView(part("segments"), part("draft"), (time_s) => player.playFrom(time_s));
const picker = new FilePicker(part("drop"), part("file"), { onFile: choose, onError: (text) => notices.error(text) });

let model = { id: "whisper-1" }; // a name that every server like OpenAI's knows
let file = null;
let record = null;
let recording = null;
let stopping = null; // what cancels the work that goes on

async function findModel() {
  try {
    const { data } = await (await request("v1/models")).json();
    model = data[0];
    part("model").textContent = model.id;
    part("access").hidden = true;
    notices.clearError();
  } catch (error) {
    fail(error);
  }
}

function choose(chosen) {
  if (isBusy()) return;
  notices.clearError();
  file = chosen;
  part("chosen").textContent = file.name;
  part("about").textContent = `${size(file.size)} · choose another one`;
  showButtons();
  part("start").focus();
}

async function send() {
  stopping = new AbortController();
  begin(file.name);
  player.load(file);
  try {
    const answer = await upload(file, settings.request(model), {
      signal: stopping.signal,
      onSent: showSent,
      onEvent: (event) => showEvent(event),
    });
    finish(answer);
  } catch (error) {
    fail(error);
  } finally {
    end();
  }
}

function showSent(share) {
  notices.status(share < 1 ? "Uploading" : "Listening");
  notices.progress(share < 1 ? share : null);
}

// While the text comes; the answer has all of it again, with what is known at the end only.
function showEvent(event) {
  if (event.type === "transcript.text.delta") {
    view.setDraft((part("draft").textContent + event.delta).trimStart());
  } else if (event.type === "transcript.text.segment") {
    view.setDraft("");
    add(segmentsOf({ segments: [event] }));
    if (player.duration_s) notices.progress(Math.min(1, event.end / player.duration_s));
  }
}

function finish(answer) {
  view.clear();
  record = record.again(); // the form may have been changed meanwhile
  add(segmentsOf(answer), answer.granite?.warnings);
  record.keywords = (answer.granite?.keywords ?? []).map((keyword) => ({ ...keyword, times: keyword.times ?? null }));
  record.duration_s = answer.duration ?? record.duration_s;
  tellDone();
}

async function startRecording() {
  begin("Recording");
  recording = new Recording(settings, {
    onLevel: (level) => (part("level").value = level),
    onDraft: (text) => view.setDraft(text),
    onSegments: (segments, warnings) => add(segments, warnings),
    onError: (error) => {
      fail(error);
      notices.status("Recording; the text will come when you stop");
    },
  });
  showButtons();
  const own = recording;
  try {
    await own.begin();
    if (recording !== own) return; // cancelled meanwhile
    notices.status(settings.isLive ? "Listening; speak now" : "Recording");
    showButtons();
  } catch (error) {
    if (recording !== own) return;
    recording = null;
    fail(error);
    end();
  }
}

async function stopRecording() {
  const own = recording;
  notices.status("Writing the last words");
  part("record").disabled = true;
  const spoken = await own.finish();
  if (recording !== own) return; // cancelled meanwhile
  recording = null;
  end();
  choose(spoken);
  if (!own.hasText) return send();
  part("title").textContent = spoken.name;
  player.load(spoken);
  record.duration_s = own.duration_s;
  tellDone();
}

function cancel() {
  stopping?.abort();
  if (!recording) return;
  recording.abandon();
  recording = null;
  fail(new DOMException("stopped", "AbortError"));
  end();
}

function begin(title) {
  notices.clearError();
  record = new TranscriptRecord({ model: model.id, settings });
  view.clear();
  player.clear();
  part("title").textContent = title;
  part("transcript").scrollIntoView({ block: "nearest" }); // on a narrow screen it is far below
  part("empty").hidden = true;
  for (const id of ["downloads", "legend", "warnings"]) part(id).hidden = true;
  notices.begin(clock);
  showButtons();
}

function end() {
  stopping = null;
  notices.end();
  view.setDraft("");
  showButtons();
}

function add(segments, warnings) {
  record.add(segments, warnings);
  view.add(segments);
  part("legend").hidden = record.segments.length === 0;
}

function tellDone() {
  const nWords = record.nWords;
  const words = `${nWords} ${nWords === 1 ? "word" : "words"}`;
  notices.status(nWords ? `${words}, ${clock(record.duration_s)} of sound` : "Nothing was said");
  part("downloads").hidden = false;
  const texts = record.warnings.map((warning) => warning.message);
  part("warnings").replaceChildren(...texts.map(listItem));
  part("warnings").hidden = texts.length === 0;
}

function listItem(text) {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}

function fail(error) {
  if (error.name === "AbortError") return notices.status("Cancelled");
  notices.status("");
  notices.error(error.message);
  if (error.status !== 401) return;
  part("access").hidden = false;
  part("token").focus();
}

function showButtons() {
  const isRecording = recording !== null;
  part("start").textContent = settings.isTranslation ? "Translate" : "Transcribe";
  part("start").disabled = isBusy() || !file;
  part("cancel").hidden = !isBusy();
  part("record").disabled = stopping !== null || (isRecording && !recording.isOpen);
  part("record").setAttribute("aria-pressed", String(isRecording));
  part("record").lastElementChild.textContent = isRecording ? "Stop" : "Record";
  part("level").hidden = !isRecording;
}

function isBusy() {
  return stopping !== null || recording !== null;
}

function size(nBytes) {
  return nBytes < 1e6 ? `${Math.ceil(nBytes / 1e3)} kB` : `${(nBytes / 1e6).toFixed(1)} MB`;
}

part("settings").addEventListener("change", showButtons);
part("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  if (file && !isBusy()) send();
});
part("access").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(part("token").value);
  findModel();
});
part("record").addEventListener("click", () => (recording ? stopRecording() : startRecording()));
part("cancel").addEventListener("click", cancel);
part("downloads").addEventListener("click", ({ target }) => {
  if (target.value) download(record, target.value, stemOf(part("title").textContent)).catch(fail);
});
showButtons();
findModel();
