/** JSON for people: objects and arrays fold. */

import { make } from "./dom.js";

const LONG = 50;

/**
 * @param {any} value
 * @param {string} [name] its key
 * @param {boolean} [open]
 * @returns {HTMLElement}
 */
export function jsonTree(value, name, open = true) {
  const key = name === undefined ? [] : [make("span", { className: "json-key", textContent: name }), ": "];
  if (value === null || typeof value !== "object") {
    const shown = make("span", { className: `json-${value === null ? "null" : typeof value}`, textContent: JSON.stringify(value) });
    return make("div", { className: "json" }, ...key, shown);
  }
  const entries = Object.entries(value);
  const [left, right] = Array.isArray(value) ? "[]" : "{}";
  if (!entries.length) return make("div", { className: "json" }, ...key, left + right);
  const details = make("details", { className: "json", open });
  const count = make("span", { className: "json-count", textContent: `${left} ${entries.length} ${right}` });
  details.append(make("summary", {}, ...key, count));
  const fill = () => details.append(...entries.map(([k, v]) => jsonTree(v, k, entries.length <= LONG)));
  if (open) fill();
  else details.addEventListener("toggle", fill, { once: true });
  return details;
}
