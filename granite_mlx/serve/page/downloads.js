// Gives a transcript out as a file. The server writes the formats: subtitles have one set of rules.

import { request } from "./api.js";

const TYPES = { json: "application/json", vtt: "text/vtt" };

export async function download(record, format, stem) {
  const body = record.toJson();
  const response = await request(`v1/transcripts/${format}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
  });
  const blob = new Blob([await response.text()], { type: TYPES[format] ?? "text/plain" });
  save(blob, `${stem}.${format}`);
}

// "talks/call.m4a" -> "call"
export function stemOf(name) {
  return name.replace(/^.*[\\/]/, "").replace(/\.[^.]+$/, "") || "transcript";
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
