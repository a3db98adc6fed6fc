// Transcripts as records of docs/transcript-schema.md, from what the server sends.

const WITHOUT_SPACES = ["ja", "zh"];
const WIDE = "[\\p{sc=Han}\\p{sc=Hira}\\p{sc=Kana}\\u3000-\\u303f\\uff00-\\uff60ー]";
const BETWEEN_WIDE = new RegExp(`(?<=${WIDE})\n(?=${WIDE})`, "gu");

export class TranscriptRecord {
  constructor({ model, settings }) {
    this.model = model;
    this.task = settings.isTranslation ? "translate" : "transcribe";
    this.language = settings.language;
    this.target = settings.to;
    this.duration_s = 0;
    this.segments = [];
    this.warnings = [];
    this.keywords = [];
  }

  // Another one of what was asked, of which nothing is known yet.
  again() {
    const settings = { isTranslation: this.task === "translate", language: this.language, to: this.target };
    return new TranscriptRecord({ model: this.model, settings });
  }

  get text() {
    const space = WITHOUT_SPACES.includes(this.target ?? this.language) ? "" : " ";
    const lines = this.segments.map((segment) => segment.text).filter(Boolean).join("\n");
    return lines.replaceAll(BETWEEN_WIDE, "").replaceAll("\n", space);
  }

  get nWords() {
    return this.segments.reduce((sum, { text, words }) => sum + (words.length || countWords(text)), 0);
  }

  add(segments, warnings = []) {
    this.segments.push(...segments);
    this.warnings.push(...warnings);
    this.duration_s = Math.max(this.duration_s, ...segments.map((segment) => segment.end_s));
  }

  toJson() {
    const segments = this.segments.map(({ start_s, end_s, text, confidence, speaker }, id) => ({
      id, start_s, end_s, text, confidence: confidence ?? null, speaker: speaker ?? null,
    }));
    const words = this.segments.flatMap((segment, id) =>
      segment.words.map(({ start_s, end_s, text, confidence }) => ({
        start_s, end_s, text, confidence: confidence ?? null, segment: id,
      })),
    );
    const record = {
      schema_version: 1,
      task: this.task,
      text: this.text,
      language: this.language,
      target_language: this.target,
      duration_s: this.duration_s,
      model: this.model,
      segments,
      words,
      keywords: this.keywords,
      warnings: this.warnings.map(warningRecord),
    };
    return JSON.stringify(record, null, 2);
  }
}

// OpenAI's verbose_json, with our extensions, -> segments of ours with their words.
export function segmentsOf({ segments = [], words = [], duration = 0, text = "" }) {
  const whole = segments.length || !text ? segments : [{ start: 0, end: duration, text, confidence: null }];
  let next = 0;
  return whole.map((segment, i) => {
    const own = segment.words ?? [];
    if (!segment.words) {
      const isLast = i === whole.length - 1;
      while (next < words.length && (isLast || words[next].start < whole[i + 1].start)) own.push(words[next++]);
    }
    return {
      start_s: segment.start,
      end_s: segment.end,
      text: segment.text.trim(),
      confidence: segment.confidence ?? null,
      speaker: segment.speaker ?? null,
      words: own.map(wordOf),
    };
  });
}

// "0:07", "1:02:03"
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, i) => (i ? String(part).padStart(2, "0") : part)).join(":");
}

function wordOf({ word, text, start, end, confidence }) {
  return { start_s: start, end_s: end, text: (word ?? text).trim(), confidence: confidence ?? null };
}

function warningRecord({ code, message, start, end }) {
  return { code, message, start_s: start ?? null, end_s: end ?? null };
}

function countWords(text) {
  return text.split(/\s+/).filter(Boolean).length;
}
