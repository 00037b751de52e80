/** A list of frames: drawn once per animation frame, bounded, so that a flood does not freeze the page. */

import { make } from "./dom.js";
import { jsonTree } from "./json_tree.js";

const MOST = 300;
const ARROWS = { in: "↓", out: "↑", event: "·" };

export class Frames {
  #list;
  #counter;
  #waiting = [];
  #count = 0;
  #wanted = "";
  #paused = false;

  /** @param {HTMLOListElement} list @param {HTMLElement} counter */
  constructor(list, counter) {
    this.#list = list;
    this.#counter = counter;
  }

  /** @param {"in" | "out" | "event"} way @param {any} message */
  add(way, message) {
    this.#count += 1;
    if (this.#waiting.push({ way, message, at: new Date() }) === 1) requestAnimationFrame(() => this.#draw());
    if (this.#waiting.length > MOST) this.#waiting.shift();
  }

  clear() {
    this.#count = 0;
    this.#waiting = [];
    this.#list.replaceChildren();
    this.#counter.textContent = "0";
  }

  /** Shows only frames that hold this text, anywhere. @param {string} text */
  filter(text) {
    this.#wanted = text.toLowerCase();
    for (const row of this.#list.children) row.hidden = !this.#matches(row);
  }

  set paused(paused) {
    this.#paused = paused;
    if (!paused) this.#draw();
  }

  #draw() {
    this.#counter.textContent = this.#count.toLocaleString();
    if (this.#paused) return;
    const rows = this.#waiting.map((frame) => this.#row(frame)).reverse();
    this.#waiting = [];
    this.#list.prepend(...rows);
    while (this.#list.children.length > MOST) this.#list.lastChild.remove();
  }

  #row({ way, message, at }) {
    const time = at.toTimeString().slice(0, 8) + "." + String(at.getMilliseconds()).padStart(3, "0");
    const details = make("details", {}, make("summary", {},
      make("span", { className: "way", textContent: ARROWS[way] }),
      make("span", { className: "type", textContent: message.type }),
      make("time", { textContent: time }),
      make("span", { className: "text", textContent: summary(message) })));
    details.addEventListener("toggle", () => details.append(jsonTree(message)), { once: true });
    const row = make("li", { dataset: { way, type: way === "event" ? "event" : message.type } }, details);
    row.message = message;
    row.hidden = !this.#matches(row);
    return row;
  }

  #matches(row) {
    return !this.#wanted || JSON.stringify(row.message).toLowerCase().includes(this.#wanted);
  }
}

function summary({ content, room, from, from_name: name, to, id }) {
  const who = [room && `#${room}`, name ?? from, to && `→ ${to}`].filter(Boolean).join(" ");
  const said = content?.text ?? content?.message ?? content?.title ?? content ?? id ?? "";
  const text = typeof said === "object" ? JSON.stringify(said) : said;
  return (who ? `${who}: ` : "") + String(text).slice(0, 300);
}
