import { Connection } from "./connection.js";
import { TokenSource, claims } from "./token.js";

const OTHERS_ID = /^[a-z0-9]{8}\.\d+$/;
const ANSWERS = new Set(["ack", "error", "pong", "resumed"]);

/**
 * A Connection shared by the tabs of one user: the tab with the lock has the socket, the others talk through it.
 * A tab's own lock tells the leading tab that it lives.
 */
export class SharedConnection {
  #options;
  #sink;
  #me;
  #key = "";
  #token;
  #turn = 0;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {AbortController} */
  #locks;
  /** The real connection: of the leading tab, or of one that cannot share. */
  #own = null;
  #up = false;
  /** The leading tab's: the last welcome with the positions of now, and who is in which room. */
  #welcome = null;
  #rooms = new Map();

  constructor(options, sink) {
    this.#options = options;
    this.#sink = sink;
    this.#me = sink.prefix;
  }

  static possible({ scope }) {
    return Boolean(scope.navigator?.locks && scope.BroadcastChannel);
  }

  async start(token) {
    const turn = ++this.#turn;
    this.#token = token;
    this.#sink.state("connecting");
    const first = await new TokenSource(token).get("connect").catch(() => null);
    if (turn !== this.#turn) return;
    const user = claims(first ?? "").user_id;
    if (user === undefined) {
      this.#own = new Connection(this.#options, this.#sink); // whose connection it would be is not known
      return this.#own.start(token);
    }
    this.#key = `ginforge ${this.#options.url} ${user}`;
    this.#channel = new this.#options.scope.BroadcastChannel(this.#key);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#locks = new AbortController();
    this.#hold(`${this.#key} ${this.#me}`, () => this.#post({ hello: this.#me }));
    this.#hold(this.#key, () => this.#lead());
  }

  stop(code = 1000, reason = "") {
    const leading = this.#channel && this.#own;
    const alone = this.#own && !this.#channel;
    if (leading) this.#post({ state: "waiting" }, { down: { code: 1001, reason: "another tab takes over", retry: true, delay: 0 } });
    this.#quit();
    if (alone) return;
    this.#sink.state("closed");
    this.#sink.down({ code, reason, retry: false });
  }

  restart(code, reason) {
    if (this.#own) this.#own.restart(code, reason);
    else this.#post({ restart: [code, reason] });
  }

  send(text) {
    if (this.#channel && this.#own) return this.#forward(this.#me, text);
    if (this.#own) return this.#own.send(text);
    if (this.#up) this.#post({ from: this.#me, text });
    return this.#up;
  }

  /** Holds a lock from when it is granted until this tab quits. */
  #hold(name, granted) {
    const { signal } = this.#locks;
    const held = () =>
      new Promise((release) => {
        if (signal.aborted) return release();
        signal.addEventListener("abort", release);
        granted();
      });
    this.#options.scope.navigator.locks.request(name, { signal }, held).catch(() => {}); // aborted while waiting
  }

  #quit() {
    this.#turn += 1;
    this.#up = false;
    const own = this.#own;
    this.#own = this.#welcome = null;
    this.#rooms.clear();
    own?.stop();
    this.#locks?.abort();
    this.#channel?.close();
    this.#channel = null;
  }

  #post(...messages) {
    for (const message of messages) this.#channel?.postMessage(message);
  }

  /** What another tab says. */
  #hear({ lead, hello, restart, from, to, text, state, down }) {
    if (to && to !== this.#me) return;
    if (this.#own) {
      if (hello) this.#greet(hello);
      else if (restart) this.#own.restart(...restart);
      else if (from) this.#forward(from, text);
    } else if (lead) this.#follow();
    else if (state) this.#sink.state(state);
    else if (down) this.#fall(down);
    else if (text && !from) this.#frame(JSON.parse(text), text);
  }

  #frame(message, text) {
    const { type, id } = message;
    if (type === "welcome") this.#up = true;
    const others = ANSWERS.has(type) && OTHERS_ID.test(id) && !id.startsWith(this.#me);
    if (this.#up && !others) this.#sink.frame(message, text);
  }

  #fall(down) {
    this.#up = false;
    this.#welcome = null;
    if (!down.retry) {
      this.#quit();
      this.#sink.state("closed");
    }
    this.#sink.down(down);
  }

  /** A new tab leads: whatever the last one had is gone. */
  #follow() {
    if (this.#up) {
      this.#sink.state("waiting");
      this.#fall({ code: 1006, reason: "another tab took over", retry: true, delay: 0 });
    }
    this.#sink.state("connecting");
    this.#post({ hello: this.#me });
  }

  #lead() {
    const all = (message, run) => {
      this.#post(message);
      run();
    };
    this.#own = new Connection(this.#options, {
      frame: (message, text) => {
        this.#note(message);
        all({ text }, () => this.#frame(message, text));
      },
      state: (state) => this.#own && state !== "closed" && all({ state }, () => this.#sink.state(state)),
      down: (down) => this.#own && all({ down }, () => this.#fall(down)),
      error: (error) => this.#sink.error(error),
      resumable: () => this.#sink.resumable(),
    });
    this.#post({ lead: true });
    this.#own.start(this.#token);
  }

  /** Keeps the welcome for tabs that come later, with positions as they are now. */
  #note(message) {
    const { name, epoch, offset } = message.data?.stream ?? {};
    if (message.type === "welcome") this.#welcome = { ...message, data: { ...message.data, streams: { ...message.data?.streams } } };
    else if (this.#welcome?.data.streams[name]) this.#welcome.data.streams[name] = { epoch, offset };
  }

  #greet(tab) {
    this.#hold(`${this.#key} ${tab}`, () => this.#forget(tab));
    if (this.#welcome) this.#post({ to: tab, text: JSON.stringify(this.#welcome) });
  }

  /** Sends for a tab; a room is left when no tab is in it any more. */
  #forward(tab, text) {
    const { type, id, content } = JSON.parse(text);
    if (type === "join_room") this.#join(tab, content);
    if (type === "resume") {
      for (const name of Object.keys(content.streams)) if (name.startsWith("room:")) this.#join(tab, name.slice(5));
    }
    if (type === "leave_room" && !this.#leave(tab, content)) {
      const ack = { type: "ack", id, content: { room: content }, timestamp: Math.floor(Date.now() / 1000) };
      if (tab === this.#me) queueMicrotask(() => this.#frame(ack));
      else this.#post({ to: tab, text: JSON.stringify(ack) });
      return true;
    }
    return this.#own.send(text);
  }

  #join(tab, room) {
    if (!this.#rooms.has(room)) this.#rooms.set(room, new Set());
    this.#rooms.get(room).add(tab);
  }

  /** True when that was the last tab in the room. */
  #leave(tab, room) {
    const tabs = this.#rooms.get(room);
    tabs?.delete(tab);
    if (tabs?.size) return false;
    this.#rooms.delete(room);
    return true;
  }

  #forget(tab) {
    for (const [room, tabs] of [...this.#rooms]) {
      if (tabs.has(tab) && this.#leave(tab, room)) this.#own?.send(JSON.stringify({ type: "leave_room", content: room }));
    }
  }
}
