// Shows segments and their words, and lets a word be chosen with the pointer or the keyboard.

import { clock } from "./record.js";

const UNSURE = 0.9; // a word of less confidence is marked
const DOUBTFUL = 0.6;

export class TranscriptView {
  #list;
  #draft;
  #onChoose;
  #places = []; // what can be chosen: {element, start_s, end_s}, in order
  #now = null;

  constructor(list, draft, onChoose) {
    this.#list = list;
    this.#draft = draft;
    this.#onChoose = onChoose;
    list.addEventListener("click", (event) => this.#choose(event.target));
    list.addEventListener("keydown", (event) => this.#onKey(event));
    list.addEventListener("focusin", (event) => this.#rove(event.target));
  }

  clear() {
    this.#list.replaceChildren();
    this.#places = [];
    this.#now = null;
    this.setDraft("");
  }

  // What may still change.
  setDraft(text) {
    this.#draft.textContent = text;
    this.#draft.hidden = text === "";
  }

  add(segments) {
    for (const segment of segments) if (segment.text) this.#list.append(this.#segment(segment));
  }

  // Marks what is said at this time of the recording; null marks nothing.
  highlight(time_s) {
    const place = time_s === null ? null : this.#placeAt(time_s);
    if (place === this.#now) return;
    this.#now?.element.removeAttribute("aria-current");
    this.#now = place;
    if (!place) return;
    place.element.setAttribute("aria-current", "true");
    if (!this.#list.contains(document.activeElement)) intoView(place.element);
  }

  #segment(segment) {
    const item = element("li", "segment");
    const time = element("span", "time", clock(segment.start_s));
    const line = element("p", "line");
    if (segment.speaker) line.append(element("span", "speaker", segment.speaker));
    if (segment.words.length) line.append(...this.#words(segment));
    else line.append(this.#place(segment, segment.text));
    item.append(time, line);
    return item;
  }

  // The words as they stand in the text, with what lies between them.
  *#words({ text, words }) {
    let at = 0;
    for (const word of words) {
      const found = text.indexOf(word.text, at);
      if (found >= 0) yield text.slice(at, found);
      else if (at > 0) yield " ";
      yield this.#place(word, word.text);
      if (found >= 0) at = found + word.text.length;
    }
    yield text.slice(at);
  }

  #place({ start_s, end_s, confidence }, text) {
    const place = element("span", "word", text);
    place.setAttribute("role", "button");
    place.tabIndex = this.#places.length ? -1 : 0;
    place.dataset.place = this.#places.length;
    if (confidence !== null && confidence < UNSURE) {
      place.classList.add(confidence < DOUBTFUL ? "doubtful" : "unsure");
      const share = `${Math.round(100 * confidence)} % sure`;
      place.setAttribute("aria-description", share);
      place.title = share;
    }
    this.#places.push({ element: place, start_s, end_s });
    return place;
  }

  #choose(target) {
    const word = target.closest(".word");
    if (word) this.#onChoose(this.#places[word.dataset.place].start_s);
  }

  #onKey(event) {
    const word = event.target.closest(".word");
    if (!word || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") this.#choose(word);
    else if (!this.#move(Number(word.dataset.place), event.key)) return;
    event.preventDefault();
  }

  #move(index, key) {
    const last = this.#places.length - 1;
    const next = {
      ArrowRight: Math.min(last, index + 1),
      ArrowLeft: Math.max(0, index - 1),
      ArrowDown: this.#segmentBeside(index, 1),
      ArrowUp: this.#segmentBeside(index, -1),
      Home: 0,
      End: last,
    }[key];
    if (next === undefined) return false;
    this.#places[next].element.focus();
    return true;
  }

  // The first word of the next or previous segment.
  #segmentBeside(index, step) {
    const item = this.#places[index].element.closest(".segment");
    const beside = step > 0 ? item.nextElementSibling : item.previousElementSibling;
    return Number((beside ?? item).querySelector(".word").dataset.place);
  }

  // One word is a stop of the Tab key: the one that had the focus last.
  #rove(word) {
    if (!word.matches(".word")) return;
    this.#list.querySelector('.word[tabindex="0"]').tabIndex = -1;
    word.tabIndex = 0;
  }

  // By halves: the last word that has begun, until the next one begins or half a second is over.
  #placeAt(time_s) {
    let [low, high] = [0, this.#places.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#places[middle].start_s <= time_s) low = middle + 1;
      else high = middle;
    }
    const place = this.#places[low - 1];
    return place && time_s < place.end_s + 0.5 ? place : null;
  }
}

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

function intoView(word) {
  const { top, bottom } = word.getBoundingClientRect();
  const margin = innerHeight / 6;
  if (top >= 0 && bottom <= innerHeight - margin) return;
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  word.scrollIntoView({ block: "center", behavior: isCalm ? "auto" : "smooth" });
}
