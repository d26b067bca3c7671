// What is said aloud (a polite live region) and what is shown as a message. Never on each percent.

// Changes that come together are said together.
const GATHER_MS = 600;
const MOST_AT_ONCE = 3;

export class Voice {
  #region;
  #notice;
  #words;
  #waiting = [];
  #timer = 0;

  constructor(document) {
    this.#region = document.getElementById("announce");
    this.#notice = document.getElementById("notice");
    this.#words = document.getElementById("notice-words");
    document.getElementById("notice-close").addEventListener("click", () => {
      this.#notice.hidden = true;
      document.getElementById("choose-files").focus();
    });
  }

  /** For the screen reader only: the row already shows it. */
  say(sentence) {
    this.#waiting.push(sentence);
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      const said = this.#waiting.splice(0);
      const more = said.length - MOST_AT_ONCE;
      this.#region.textContent = said.slice(0, MOST_AT_ONCE).join(" ") + (more > 0 ? ` And ${more} more changes.` : "");
    }, GATHER_MS);
  }

  /** The user has done something new: the message is about the past. */
  clear() {
    this.#notice.hidden = true;
    this.#words.textContent = "";
  }

  /** For everybody, until it is dismissed or replaced. */
  show(message) {
    this.#notice.hidden = false;
    this.#words.textContent = message;
  }
}
