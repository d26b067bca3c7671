// One row in the document: built once from the template, then changed in place. Data reaches the page as text only.

import { extension, splitName } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
let rows = 0;

export class Row {
  element;
  #parts;
  #actions = new Map();
  #onaction;
  #model = null;

  constructor(template, onaction) {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.#onaction = onaction;
    const find = (selector) => this.element.querySelector(selector);
    this.#parts = {
      tileText: find(".tile span"),
      tileIcon: find(".tile svg"),
      stem: find(".stem"),
      tail: find(".tail"),
      name: find(".name"),
      percent: find(".percent"),
      path: find(".path"),
      bar: find(".bar"),
      sent: find(".bar .sent"),
      stored: find(".bar .stored"),
      wordsIcon: find(".words use"),
      words: find(".words span"),
      facts: find(".facts"),
      note: find(".note"),
      actions: find(".actions"),
    };
    rows += 1;
    this.#parts.name.id = `name-${rows}`;
    this.#parts.bar.setAttribute("aria-labelledby", this.#parts.name.id);
  }

  /** `model` as describe.js makes it. */
  update(model) {
    const parts = this.#parts;
    this.#model = model;
    attribute(this.element, "data-state", model.state);
    attribute(this.element, "data-tone", model.tone);
    if (model.taskId) attribute(this.element, "data-task", model.taskId);
    this.element.classList.toggle("wordy", model.actions.some((action) => action.slot === "main" && !action.href));

    const [stem, tail] = splitName(model.name);
    text(parts.stem, stem);
    text(parts.tail, tail);
    attribute(parts.name, "title", model.name);
    text(parts.path, model.path);
    const ending = extension(model.name);
    text(parts.tileText, ending);
    parts.tileIcon.toggleAttribute("hidden", ending !== "");
    attribute(parts.tileIcon.firstElementChild, "href", "#icon-file");

    parts.bar.hidden = !model.bar;
    text(parts.percent, model.bar ? `${model.percent} %` : "");
    parts.stored.style.transform = `scaleX(${model.acknowledged})`;
    parts.sent.style.transform = `scaleX(${Math.max(model.sent, model.acknowledged)})`;
    attribute(parts.bar, "aria-valuenow", String(model.percent));
    attribute(parts.bar, "aria-valuetext", `${model.percent} %, ${model.facts[0]}`);

    attribute(parts.wordsIcon, "href", `#icon-${model.icon}`);
    text(parts.words, model.words);
    // Broken between facts only, the dot at the end of the line.
    text(parts.facts, model.facts.map((fact) => fact.replaceAll(" ", "\u00a0")).join("\u00a0· "));
    text(parts.note, model.note);
    this.#updateActions(model.actions);
  }

  /** Draws the eye to it for a moment. */
  point() {
    this.element.scrollIntoView({ block: "nearest" });
    this.element.classList.add("pointed");
    setTimeout(() => this.element.classList.remove("pointed"), 1600);
  }

  // A button whose label changes (pause and resume) stays the same element: the focus stays on it.
  #updateActions(actions) {
    const wanted = new Map(actions.map((action) => [action.slot, action]));
    let lostFocus = false;
    for (const [slot, known] of this.#actions) {
      const action = wanted.get(slot);
      if (action && Boolean(action.href) === Boolean(known.href)) continue;
      lostFocus ||= known.element === document.activeElement;
      known.element.remove();
      this.#actions.delete(slot);
    }
    for (const slot of ["main", "toggle", "end"]) {
      const action = wanted.get(slot);
      if (!action) continue;
      let known = this.#actions.get(slot);
      if (!known) {
        known = { element: action.href ? link() : this.#button(slot), href: action.href, id: null };
        this.#actions.set(slot, known);
        this.#insert(slot, known.element);
      }
      known.action = action;
      if (known.id !== action.id) dress(known.element, action);
      known.id = action.id;
      if (action.href) {
        attribute(known.element, "href", action.href);
        attribute(known.element, "download", this.#model.name);
      }
      attribute(known.element, "aria-label", `${action.label}: ${this.#model.name}`);
    }
    if (lostFocus) this.element.querySelector(".actions .button")?.focus();
  }

  #button(slot) {
    const button = document.createElement("button");
    button.type = "button";
    button.addEventListener("click", () => this.#onaction(this.#model, this.#actions.get(slot).action.id));
    return button;
  }

  #insert(slot, element) {
    const after = { main: ["toggle", "end"], toggle: ["end"], end: [] }[slot];
    const next = after.map((s) => this.#actions.get(s)?.element).find((e) => e);
    this.#parts.actions.insertBefore(element, next ?? null);
  }
}

/** A list of rows kept in step with models by their keys. */
export class Rows {
  #list;
  #template;
  #onaction;
  #rows = new Map();

  constructor(list, template, onaction) {
    this.#list = list;
    this.#template = template;
    this.#onaction = onaction;
  }

  update(models) {
    const keys = new Set(models.map((model) => model.key));
    let lostFocus = null;
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      if (row.element.contains(document.activeElement)) lostFocus = row.element.nextElementSibling ?? row.element.previousElementSibling;
      row.element.remove();
      this.#rows.delete(key);
    }
    const was = new Map([...this.#list.children].map((element, index) => [element, index]));
    const will = new Map(models.map(({ key }, index) => [this.#rows.get(key)?.element, index]));
    let place = this.#list.firstElementChild;
    models.forEach((model, index) => {
      let row = this.#rows.get(model.key);
      if (!row) {
        row = new Row(this.#template, this.#onaction);
        this.#rows.set(model.key, row);
      }
      row.update(model);
      // Of two that changed places the one that goes farther is moved: a moved row loses the focus, and in a long
      // list of which three have sunk to the end all others stay where they are.
      const rise = was.get(row.element) - index;
      while (place && place !== row.element && will.get(place) - was.get(place) > rise) {
        const sunk = place;
        place = place.nextElementSibling;
        sunk.remove();
      }
      if (row.element === place) place = place.nextElementSibling;
      else this.#list.insertBefore(row.element, place);
    });
    lostFocus?.querySelector(".actions .button")?.focus();
  }

  get(key) {
    return this.#rows.get(key);
  }
}

function link() {
  return document.createElement("a");
}

function dress(element, action) {
  const iconOnly = Boolean(action.icon) && !action.href;
  element.className = `button${iconOnly ? " icon-only" : ""}${action.quiet ? " quiet" : ""}`;
  element.replaceChildren();
  if (action.icon) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS(SVG, "use");
    use.setAttribute("href", `#icon-${action.icon}`);
    svg.append(use);
    element.append(svg);
  }
  if (iconOnly || action.href) element.title = action.label;
  if (iconOnly) return;
  const label = document.createElement("span");
  label.className = "label";
  label.textContent = action.label;
  element.append(label);
}

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function attribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
