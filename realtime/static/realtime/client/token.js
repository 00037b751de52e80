const MOST_REFUSALS = 3;

/** The claims of a JWT, unverified; `{}` for anything else. @param {string} token */
export const claims = (token) => {
  try {
    const bytes = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (char) => char.charCodeAt(0)))) ?? {};
  } catch {
    return {};
  }
};

/** Where tokens come from: a string for good, or a function asked each time one is needed. */
export class TokenSource {
  #source;
  #refusals = 0;
  /** @type {string | undefined} */
  #refused;
  /** @type {string | undefined} */
  current;

  constructor(source) {
    this.#source = source;
  }

  get renewable() {
    return typeof this.#source === "function";
  }

  /**
   * A token, `undefined` when none is used, or null when there is none to be had any more.
   * @param {"connect" | "refresh"} why
   */
  async get(why) {
    if (!this.renewable) return this.#source || undefined;
    const token = await this.#source(this.#refused ? "refused" : why);
    return token && token !== this.#refused ? token : null;
  }

  accepted() {
    this.#refusals = 0;
    this.#refused = undefined;
  }

  /** Notes that the server refused the current token; true when asking for another makes sense. */
  refuse() {
    this.#refused = this.current;
    this.#refusals += 1;
    return this.renewable && this.#refusals < MOST_REFUSALS;
  }
}
