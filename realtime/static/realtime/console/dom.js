/** Small things every part of the page uses. */

/** @type {Record<string, any>} words of the page in its language */
export const texts = JSON.parse(document.getElementById("texts").textContent);

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/**
 * Makes an element.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function make(tag, properties = {}, ...children) {
  const { dataset, aria, ...plain } = properties;
  const element = Object.assign(document.createElement(tag), plain);
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

/**
 * Runs `action` with a form's fields when it is submitted; a failure is shown in the form's `.problem`.
 * @param {HTMLFormElement} form
 * @param {(fields: Record<string, any>, form: HTMLFormElement) => any} action
 */
export function onSubmit(form, action) {
  const problem = form.querySelector(".problem");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (problem) problem.textContent = "";
    try {
      await action(Object.fromEntries(new FormData(form)), form);
    } catch (error) {
      if (problem) problem.textContent = error.message;
    }
  });
}
