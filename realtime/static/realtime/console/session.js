/** The person's login: a token pair from the token endpoint, or a token that was pasted. */

const KEY = "ginforge.console";
const BASE = "/api/v1/auth/";

async function post(name, body) {
  const response = await fetch(BASE + name + "/", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(answer.detail ?? `HTTP ${response.status}`), { status: response.status });
  return answer;
}

export class Session {
  #pair = JSON.parse(sessionStorage.getItem(KEY) ?? "null");

  get present() {
    return this.#pair !== null;
  }

  async login(username, password) {
    this.#keep(await post("token", { username, password }));
  }

  paste(access) {
    this.#keep({ access });
  }

  /** The client's token function: null when there is no way to a valid token. */
  token = async (why) => {
    if (!this.#pair) return null;
    if (why === "connect") return this.#pair.access;
    if (!this.#pair.refresh) return why === "refresh" ? this.#pair.access : null;
    try {
      this.#keep(await post("refresh", { refresh: this.#pair.refresh }));
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
    if (refresh) await post("logout", { refresh }).catch(() => {});
  }

  #keep(pair) {
    this.#pair = pair;
    if (pair) sessionStorage.setItem(KEY, JSON.stringify(pair));
    else sessionStorage.removeItem(KEY);
  }
}
