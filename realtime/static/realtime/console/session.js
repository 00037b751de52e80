/** One login: a token pair from the token endpoint, or a token that was pasted. */

import { call } from "./api.js";

const BASE = "/api/v1/auth/";

export class Session {
  #pair;
  #changed;

  /** @param {{ access: string, refresh?: string } | null} pair @param {(pair: any) => void} changed */
  constructor(pair, changed = () => {}) {
    this.#pair = pair;
    this.#changed = changed;
  }

  /** @returns {Promise<{ access: string, refresh: string }>} */
  static login(username, password) {
    return call(`${BASE}token/`, { body: { username, password } });
  }

  get access() {
    return this.#pair?.access ?? "";
  }

  get pair() {
    return this.#pair;
  }

  /** The client's token function: null when there is no way to a valid token. */
  token = async (why) => {
    if (!this.#pair) return null;
    if (why === "connect") return this.#pair.access;
    if (!this.#pair.refresh) return why === "refresh" ? this.#pair.access : null;
    try {
      this.#keep(await call(`${BASE}refresh/`, { body: { refresh: this.#pair.refresh } }));
    } catch (error) {
      if (error.status !== 401) throw error;
      this.#keep(null);
      return null;
    }
    return this.#pair.access;
  };

  async logout() {
    const refresh = this.#pair?.refresh;
    this.#keep(null);
    if (refresh) await call(`${BASE}logout/`, { body: { refresh } }).catch(() => {});
  }

  #keep(pair) {
    this.#pair = pair;
    this.#changed(pair);
  }
}
