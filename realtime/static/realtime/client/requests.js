import { GatewayError } from "./codes.js";
import { Timers } from "./timers.js";

/** Safe to send twice: the server delivers one `id` once, and joining is idempotent. */
const REPEATABLE = new Set(["chat", "room_message", "join_room", "leave_room"]);

/** Messages to send: those waiting for a link (at most `most`), and those waiting for their answer. */
export class Requests {
  #most;
  #send;
  #timers = new Timers();
  /** {text, type, id?} in order, not sent yet */
  #queue = [];
  /** id → {item, done, fail, sent} */
  #pending = new Map();

  /** @param {{most: number, send: (text: string) => boolean}} options */
  constructor({ most, send }) {
    this.#most = most;
    this.#send = send;
  }

  get queued() {
    return this.#queue.length;
  }

  waitsFor(type, content) {
    return [...this.#pending.values()].some(({ item }) => item.type === type && item.content === content);
  }

  /** Sends now, or queues. @returns {boolean} false when the queue is full */
  push(item, live) {
    if (live && this.#send(item.text)) return true;
    if (this.#queue.length >= this.#most) return false;
    this.#queue.push(item);
    return true;
  }

  /** Sends something whose answer calls `done(message)` or `fail(error)`, at once when it comes, within `timeout` ms. */
  ask(item, { live, timeout, done, fail }) {
    const { id } = item;
    this.#pending.set(id, { item, done, fail });
    this.#timers.set(id, timeout, () => this.#reject(id, 408, "no answer in time"));
    if (!this.push(item, live)) this.#reject(id, 429, "the queue is full");
  }

  /** Hands an `ack`, `pong`, `resumed` or `error` to whoever asked. @returns {boolean} false when nobody did */
  answer(message) {
    if (message.type === "ack" && this.#pending.get(message.id)?.item.type === "resume") return true; // `resumed` follows
    const entry = this.#take(message.id);
    if (!entry) return false;
    if (message.type !== "error") entry.done(message);
    else entry.fail(new GatewayError(message.content?.code ?? 0, message.content?.message ?? "refused"));
    return true;
  }

  flush() {
    while (this.#queue.length && this.#send(this.#queue[0].text)) this.#queue.shift();
  }

  /** The link is gone: what may be repeated goes back in front of the queue, the rest fails. */
  lost() {
    const waiting = new Set(this.#queue);
    const again = [];
    for (const [id, { item }] of [...this.#pending]) {
      if (waiting.has(item)) continue;
      if (REPEATABLE.has(item.type)) again.push(item);
      else this.#reject(id, 503, "connection lost");
    }
    this.#queue.unshift(...again);
  }

  /** Ends everything that waits. */
  clear(reason) {
    this.#queue = [];
    for (const id of [...this.#pending.keys()]) this.#reject(id, 503, reason);
  }

  #take(id) {
    const entry = this.#pending.get(id);
    this.#pending.delete(id);
    this.#timers.clear(id);
    return entry;
  }

  #reject(id, code, text) {
    const entry = this.#take(id);
    if (!entry) return;
    this.#queue = this.#queue.filter((item) => item !== entry.item);
    entry.fail(new GatewayError(code, text));
  }
}
