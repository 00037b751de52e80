const LONGEST = 2 ** 31 - 1; // setTimeout fires at once beyond this

/** Named one-shot timers that can all be cleared together. */
export class Timers {
  #ids = new Map();

  /** @param {string} name @param {number} ms @param {() => void} run */
  set(name, ms, run) {
    this.clear(name);
    const fire = () => {
      this.#ids.delete(name);
      run();
    };
    this.#ids.set(name, setTimeout(fire, Math.min(ms, LONGEST)));
  }

  /** @param {string} name */
  clear(name) {
    clearTimeout(this.#ids.get(name));
    this.#ids.delete(name);
  }

  /** @param {string} name */
  has(name) {
    return this.#ids.has(name);
  }

  clearAll() {
    for (const name of [...this.#ids.keys()]) this.clear(name);
  }
}
