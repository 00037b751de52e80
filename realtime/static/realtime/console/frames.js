/** The list of frames: drawn once per animation frame, bounded, so that a flood does not freeze the page. */

const MOST = 400;
const ARROWS = { in: "↓", out: "↑", event: "·" };

export class Frames {
  #list = document.getElementById("frames");
  #template = document.getElementById("frame");
  #counter = document.getElementById("count");
  #waiting = [];
  #count = 0;
  #filter = "";
  paused = false;

  /** `way` is `in`, `out` or `event`. */
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

  filter(text) {
    this.#filter = text.toLowerCase();
    for (const row of this.#list.children) row.hidden = !this.#matches(row);
  }

  resume() {
    this.paused = false;
    this.#draw();
  }

  #draw() {
    this.#counter.textContent = this.#count.toLocaleString();
    if (this.paused) return;
    const rows = this.#waiting.map((frame) => this.#row(frame)).reverse();
    this.#waiting = [];
    this.#list.prepend(...rows);
    while (this.#list.children.length > MOST) this.#list.lastChild.remove();
  }

  #row({ way, message, at }) {
    const row = this.#template.content.firstElementChild.cloneNode(true);
    const set = (selector, text) => (row.querySelector(selector).textContent = text);
    row.dataset.way = way;
    row.dataset.type = way === "event" ? "event" : message.type;
    set("time", at.toTimeString().slice(0, 8) + "." + String(at.getMilliseconds()).padStart(3, "0"));
    set(".way", ARROWS[way]);
    set(".type", message.type);
    set(".text", summary(message));
    row.querySelector("details").addEventListener("toggle", () => set("pre", JSON.stringify(message, null, 2)), { once: true });
    row.hidden = !this.#matches(row);
    return row;
  }

  #matches(row) {
    return row.textContent.toLowerCase().includes(this.#filter);
  }
}

function summary({ content, room, from, from_name: name, to, id }) {
  const who = [room && `#${room}`, name ?? from, to && `→ ${to}`].filter(Boolean).join(" ");
  const said = content?.text ?? content?.message ?? content?.title ?? content ?? id ?? "";
  const text = typeof said === "object" ? JSON.stringify(said) : said;
  return (who ? `${who}: ` : "") + String(text).slice(0, 300);
}
