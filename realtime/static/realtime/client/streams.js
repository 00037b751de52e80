const WINDOW = 1000; // ids remembered
const MOST_HELD = 1000; // messages kept back per stream while a hole is being filled
const CONTROL = new Set(["ack", "error", "ping", "pong", "resumed", "welcome"]);

/**
 * Where this client stands in each stream: passes every message on once and in order, asks for what is missing.
 * `ask(streams)` sends a resume; `deliver(message)` and `gap({stream, recovered: false, error?})` go to the application.
 */
export class Streams {
  #ask;
  #deliver;
  #gap;
  /** name → {epoch, offset, known}: holes up to `known` are the server's own. */
  #at = new Map();
  /** name → messages behind a hole */
  #held = new Map();
  #sparse = new Set();
  #ids = new Set();

  constructor({ ask, deliver, gap }) {
    this.#ask = ask;
    this.#deliver = deliver;
    this.#gap = gap;
  }

  has(name) {
    return this.#at.has(name);
  }

  get size() {
    return this.#at.size;
  }

  /** What a `resume` says. @returns {Record<string, {epoch: string, offset: number}>} */
  positions() {
    return Object.fromEntries([...this.#at].map(([name, { epoch, offset }]) => [name, { epoch, offset }]));
  }

  /** Takes positions the server told (welcome, ack of a join) for streams not known yet. */
  adopt(streams) {
    for (const [name, { epoch, offset }] of Object.entries(streams ?? {})) {
      if (!this.#at.has(name)) this.#set(name, epoch, offset);
    }
  }

  forget(name) {
    this.#at.delete(name);
    this.#held.delete(name);
    this.#sparse.delete(name);
  }

  clear() {
    for (const name of [...this.#at.keys()]) this.forget(name);
    this.#ids.clear();
  }

  /** A message from the server, from any stream or none. */
  receive(message) {
    const stream = message.data?.stream;
    if (!stream?.name || stream.offset === undefined) return this.#pass(message);
    const at = this.#at.get(stream.name);
    if (!at) this.#set(stream.name, stream.epoch, stream.offset);
    else if (at.epoch !== stream.epoch) this.#lost(stream.name, stream);
    else if (stream.offset <= at.offset) return;
    else if (this.#hole(at, stream)) return this.#hold(stream.name, message);
    else at.offset = stream.offset;
    this.#pass(message);
    this.#release(stream.name);
  }

  /** The server's answer to positions: what comes back, and what is gone. */
  resumed(answer, asked) {
    for (const name of Object.keys(asked)) {
      const { recovered, count, epoch, offset, error } = answer?.[name] ?? {};
      const at = this.#at.get(name);
      if (!at) continue;
      if (!recovered) this.#lost(name, { epoch, offset }, error);
      else {
        at.known = offset;
        if (!count && this.#held.has(name)) this.#sparse.add(name);
      }
      this.#release(name);
    }
  }

  /** The server did not answer positions: goes on with what is there, and says so. */
  failed(asked) {
    for (const name of Object.keys(asked)) {
      const last = this.#held.get(name)?.at(-1).data.stream;
      if (last) this.#at.get(name).known = last.offset;
      else this.#at.delete(name);
      this.#gap({ stream: name, recovered: false });
      this.#release(name);
    }
  }

  #set(name, epoch, offset, known = offset) {
    this.#at.set(name, { epoch, offset, known });
  }

  #lost(stream, { epoch, offset }, error) {
    const first = this.#held.get(stream)?.[0].data.stream;
    if (error || offset === undefined) this.#at.delete(stream);
    else this.#set(stream, epoch, first?.epoch === epoch ? Math.min(offset, first.offset - 1) : offset, offset);
    this.#gap(error ? { stream, recovered: false, error } : { stream, recovered: false });
  }

  #hole(at, { name, offset }) {
    return offset > Math.max(at.offset, at.known) + 1 && !this.#sparse.has(name);
  }

  #hold(name, message) {
    const held = this.#held.get(name);
    if (!held) {
      const { epoch, offset } = this.#at.get(name);
      this.#held.set(name, [message]);
      this.#ask({ [name]: { epoch, offset } });
    } else if (held.push(message) > MOST_HELD) this.failed({ [name]: true });
  }

  /** Passes on what was held and is in turn now. */
  #release(name) {
    const held = this.#held.get(name);
    if (!held) return;
    this.#held.delete(name);
    while (held.length) {
      const at = this.#at.get(name);
      if (at && at.epoch === held[0].data.stream.epoch && this.#hole(at, held[0].data.stream)) {
        this.#held.set(name, held);
        return;
      }
      this.receive(held.shift());
    }
  }

  #pass(message) {
    const { id, from, type, data } = message;
    if (id !== undefined && !CONTROL.has(type)) {
      const key = JSON.stringify([data?.stream?.name ?? "user", from, id]);
      if (this.#ids.has(key)) return;
      this.#ids.add(key);
      if (this.#ids.size > WINDOW) this.#ids.delete(this.#ids.values().next().value);
    }
    this.#deliver(message);
  }
}
