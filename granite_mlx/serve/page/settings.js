// The form's settings: task, languages, keywords; which pairs there are; as the server's fields.

const FROM_ENGLISH = ["fr", "de", "es", "pt", "ja", "it", "zh"]; // every other language into English

export class Settings {
  #form;

  constructor(form) {
    this.#form = form;
    form.addEventListener("change", () => this.#show());
    this.#show();
  }

  get isTranslation() {
    return this.#form.elements.task.value === "translate";
  }

  get language() {
    return this.#form.elements.language.value || null;
  }

  get to() {
    return this.isTranslation ? this.#form.elements.to.value : null;
  }

  get isLive() {
    return this.#form.elements.live.checked;
  }

  get punctuate() {
    return this.#form.elements.punctuate.checked;
  }

  get keywords() {
    const terms = this.#form.elements.keywords.value.split(/[,;\n]/).map((term) => term.trim());
    return [...new Set(terms.filter(Boolean))];
  }

  // What POST takes: OpenAI's fields, and ours for what OpenAI has none for.
  request({ id, granite }) {
    const fields = [
      ["model", id],
      ["response_format", "verbose_json"],
      ["timestamp_granularities[]", "word"],
      ["timestamp_granularities[]", "segment"],
      ...this.keywords.map((term) => ["keywords[]", term]),
    ];
    if (this.language) fields.push(["language", this.language]);
    if (this.to) fields.push(["to", this.to]);
    if (this.punctuate) fields.push(["punctuate", "true"]);
    if (granite?.stream === "segments") fields.push(["stream", "true"]); // they come with their words
    const path = this.isTranslation ? "v1/audio/translations" : "v1/audio/transcriptions";
    return { path, fields };
  }

  // What /v1/realtime takes for the same.
  session(rate) {
    const transcription = { keywords: this.keywords };
    if (this.language) transcription.language = this.language;
    return {
      type: "transcription",
      audio: {
        input: { format: { type: "audio/pcm", rate }, transcription, turn_detection: { type: "server_vad" } },
      },
      granite: { to: this.to ?? "", punctuate: this.punctuate, drafts: true },
    };
  }

  // Languages that the spoken one is not translated into cannot be chosen.
  #show() {
    const { to, language } = this.#form.elements;
    to.closest(".field").hidden = !this.isTranslation;
    for (const option of to.options) option.disabled = !isPair(language.value, option.value);
    if (to.selectedOptions[0]?.disabled) to.value = language.value === "en" ? "fr" : "en";
  }
}

function isPair(spoken, to) {
  if (spoken === "") return true;
  return spoken === "en" ? FROM_ENGLISH.includes(to) : to === "en";
}
