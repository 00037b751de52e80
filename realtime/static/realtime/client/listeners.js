/** Runs an application's function; what it throws is told, and stops nothing. */
export const guarded = (run, ...given) => {
  try {
    run?.(...given);
  } catch (error) {
    console.error("WebSocketClient: a handler failed", error);
  }
};

/** Handlers by message type; `*` hears every message. */
export class Listeners {
  #byType = new Map();

  /** @param {string} type @param {Function} handler @returns {() => void} takes it away again */
  add(type, handler) {
    if (!this.#byType.has(type)) this.#byType.set(type, new Set());
    this.#byType.get(type).add(handler);
    return () => this.remove(type, handler);
  }

  /** @param {string} type @param {Function} [handler] all of the type when left out */
  remove(type, handler) {
    if (handler) this.#byType.get(type)?.delete(handler);
    else this.#byType.delete(type);
  }

  clear() {
    this.#byType.clear();
  }

  emit(type, ...given) {
    for (const handler of [...(this.#byType.get(type) ?? [])]) guarded(handler, ...given);
  }

  message(message) {
    this.emit("*", message);
    this.emit(message.type, message);
  }
}
