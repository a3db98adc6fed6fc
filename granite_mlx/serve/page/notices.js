// What the page tells: an error in the alert region, what goes on in the status region.

export class Notices {
  #alert;
  #status;
  #progress;
  #elapsed;
  #timer = null;

  constructor({ alert, status, progress, elapsed }) {
    this.#alert = alert;
    this.#status = status;
    this.#progress = progress;
    this.#elapsed = elapsed;
  }

  error(text) {
    this.#alert.querySelector(".text").textContent = text;
    this.#alert.hidden = false;
  }

  clearError() {
    this.#alert.hidden = true;
    this.#alert.querySelector(".text").textContent = "";
  }

  // Phases only: a screen reader reads each of them out.
  status(text) {
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }

  // share: 0 to 1, or null where nobody knows how far it is.
  progress(share) {
    this.#progress.hidden = false;
    if (share === null) this.#progress.removeAttribute("value");
    else this.#progress.value = share;
  }

  begin(clock) {
    const start_ms = performance.now();
    const tick = () => (this.#elapsed.textContent = clock((performance.now() - start_ms) / 1000));
    tick();
    this.#timer = setInterval(tick, 250);
  }

  end() {
    clearInterval(this.#timer);
    this.#elapsed.textContent = "";
    this.#progress.hidden = true;
  }
}
