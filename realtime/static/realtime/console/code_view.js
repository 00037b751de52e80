/** Shows the code of an action in the language that was chosen, with a button that copies it. */

import { make, texts } from "./dom.js";

const KEY = "ginforge.console.language";

/**
 * @param {HTMLElement} place
 * @param {() => Record<string, string>} code asked anew for each look; may throw while a form is half filled
 * @returns {() => void} call it when the action has changed
 */
export function codeView(place, code) {
  const select = make("select", { aria: { label: texts.language } });
  const copy = make("button", { type: "button", textContent: texts.copy });
  const shown = make("code");
  const details = make("details", { className: "code" }, make("summary", { textContent: texts.code }),
    make("div", { className: "row" }, select, copy), make("pre", { tabIndex: 0 }, shown));
  place.append(details);

  const draw = () => {
    if (!details.open) return;
    let found;
    try {
      found = code();
    } catch (error) {
      shown.textContent = error.message;
      return;
    }
    const wanted = select.value || localStorage.getItem(KEY);
    if (!select.options.length) select.replaceChildren(...Object.keys(found).map((name) => make("option", { textContent: name })));
    if (wanted in found) select.value = wanted;
    shown.textContent = found[select.value];
  };
  details.addEventListener("toggle", draw);
  select.addEventListener("change", () => (localStorage.setItem(KEY, select.value), draw()));
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(shown.textContent);
    copy.textContent = texts.copied;
    setTimeout(() => (copy.textContent = texts.copy), 1500);
  });
  return draw;
}
