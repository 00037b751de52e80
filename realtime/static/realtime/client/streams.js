const WINDOW = 1000; // ids remembered
const CONTROL = new Set(["ack", "error", "ping", "pong", "resumed", "welcome"]);

/**
 * Where this client stands in each stream; passes every message on once and in order.
 * `deliver(message)` and `gap({stream, recovered: false, error?})` go to the application; `hole()` says that a message
 * is missing, which a new connection recovers.
 */
export class Streams {
  #deliver;
  #gap;
  #hole;
  /** name → {epoch, offset, known, ahead}: the server has told of all up to `known`; `ahead` came too early to be shown. */
  #at = new Map();
  /** Streams whose offsets do not count every message. */
  #sparse = new Set();
  #ids = new Set();

  constructor({ deliver, gap, hole }) {
    this.#deliver = deliver;
    this.#gap = gap;
    this.#hole = hole;
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
    this.#sparse.delete(name);
  }

  clear() {
    this.#at.clear();
    this.#sparse.clear();
    this.#ids.clear();
  }

  /** A message from the server, from any stream or none. */
  receive(message) {
    const { name, epoch, offset } = message.data?.stream ?? {};
    const at = this.#at.get(name);
    if (!at) name && this.#set(name, epoch, offset);
    else if (at.epoch !== epoch) this.#lost(name, { epoch, offset });
    else if (offset <= at.offset) return;
    else if (offset > Math.max(at.offset, at.known) + 1 && !this.#sparse.has(name)) {
      at.ahead = offset;
      return this.#hole();
    } else at.offset = offset;
    if (!this.#repeated(message)) this.#deliver(message);
  }

  /**
   * The server tells what of which stream follows, and what is gone: asked for positions or not.
   * @returns {boolean} whether what follows is all there is
   */
  resumed(answer, asked = {}) {
    let complete = true;
    for (const name of Object.keys({ ...asked, ...answer })) {
      const { recovered, count, epoch, offset, error } = answer?.[name] ?? {};
      const at = this.#at.get(name);
      if (!at) continue;
      if (!recovered) this.#lost(name, { epoch, offset }, error);
      else {
        at.known = offset;
        complete &&= !(at.ahead > offset);
        if (count < offset - asked[name]?.offset) this.#sparse.add(name);
      }
    }
    return complete;
  }

  #set(name, epoch, offset) {
    this.#at.set(name, { epoch, offset, known: offset, ahead: offset });
  }

  #lost(stream, { epoch, offset }, error) {
    if (error || offset === undefined) this.#at.delete(stream);
    else this.#set(stream, epoch, offset);
    this.#gap(error ? { stream, recovered: false, error } : { stream, recovered: false });
  }

  /** Ids of senders are theirs to count: with a sender, a new position alone tells a new message. */
  #repeated({ id, from, type, data }) {
    if (id === undefined || CONTROL.has(type)) return false;
    const { name = "user", offset } = data?.stream ?? {};
    const key = JSON.stringify([name, from, id]);
    if (this.#ids.has(key)) return from === undefined || offset === undefined;
    this.#ids.add(key);
    if (this.#ids.size > WINDOW) this.#ids.delete(this.#ids.values().next().value);
    return false;
  }
}
