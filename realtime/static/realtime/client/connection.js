import { hint, jitter } from "./backoff.js";
import { DEAD, TERMINAL, UNAUTHORIZED } from "./codes.js";
import { watch } from "./environment.js";
import { Timers } from "./timers.js";
import { TokenSource, claims } from "./token.js";

const STABLE = 10_000; // ms up before the backoff starts over
const now = () => performance.now();

/**
 * One WebSocket kept alive: token, reconnects, heartbeat. Reports to `sink`:
 * frame(message, text), state(name), down({code, reason, retry, delay}), error(error), resumable().
 */
export class Connection {
  #options;
  #sink;
  #tokens = new TokenSource();
  #timers = new Timers();
  #unwatch = () => {};
  #socket = null;
  #state = "idle";
  #turn = 0; // raised whenever what is under way becomes void
  #attempt = 0;
  #upSince = 0;
  #heard = 0;
  #notBefore = 0;
  #refreshing = "";

  constructor(options, sink) {
    this.#options = options;
    this.#sink = sink;
  }

  start(token) {
    this.#tokens = new TokenSource(token);
    this.#attempt = this.#notBefore = 0;
    this.#unwatch();
    this.#unwatch = watch(this.#options.scope, { wake: () => this.#wake(), offline: () => this.#offline() });
    this.#open();
  }

  stop(code = 1000, reason = "") {
    this.#discard(true);
    this.#end(code, reason);
  }

  /** Ends this socket and opens the next. `code` is what `sink.down` hears. */
  restart(code, reason) {
    this.#discard(code !== DEAD);
    this.#down(code, reason);
  }

  /** @param {string} text @returns {boolean} false when there is no open socket */
  send(text) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(text);
    return true;
  }

  #enter(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#sink.state(state);
  }

  #end(code, reason) {
    this.#unwatch();
    this.#unwatch = () => {};
    this.#enter("closed");
    this.#sink.down({ code, reason, retry: false });
  }

  async #open() {
    const turn = ++this.#turn;
    this.#enter("connecting");
    this.#timers.set("connect", this.#options.connectTimeout, () => this.restart(1006, "no answer in time"));
    try {
      const token = await this.#tokens.get("connect");
      if (turn !== this.#turn) return;
      if (token === null) this.stop(UNAUTHORIZED, "no token");
      else this.#dial(token);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#sink.error(error);
      if (turn === this.#turn) this.restart(1006, "no token now");
    }
  }

  #dial(token) {
    this.#tokens.current = token;
    const url = new URL(this.#options.url);
    if (this.#sink.resumable()) url.searchParams.set("resume", "1");
    let socket;
    try {
      socket = new this.#options.WebSocket(url.href, token ? ["bearer", token] : []);
    } catch (error) {
      this.stop(1006, "cannot open a WebSocket");
      return this.#sink.error(error);
    }
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onerror = (event) => this.#sink.error(event);
    socket.onclose = ({ code, reason }) => {
      this.#discard(false);
      this.#down(code, String(reason));
    };
  }

  #receive(text) {
    this.#heard = now();
    this.#timers.clear("pong");
    let message;
    try {
      message = JSON.parse(text);
    } catch (error) {
      return this.#sink.error(error);
    }
    if (!message?.type) return;
    if (message.type === "welcome") this.#welcome(message);
    if (message.type === "token_expiring" && !this.#refreshing) this.#refresh();
    if (this.#refreshing && message.id === this.#refreshing) return this.#refreshed(message);
    this.#sink.frame(message, text);
  }

  #welcome({ data }) {
    this.#timers.clear("connect");
    this.#tokens.accepted();
    this.#upSince = now();
    this.#beat(this.#options.heartbeatInterval);
    this.#planRefresh(data?.expires_at, data?.server_time);
    this.#enter("connected");
  }

  /** Forgets the socket; `politely` with a closing handshake. */
  #discard(politely) {
    const socket = this.#socket;
    this.#socket = null;
    this.#turn += 1;
    this.#refreshing = "";
    this.#timers.clearAll();
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.onerror = () => {}; // Node's EventEmitter throws without a listener
    if (socket.terminate && (!politely || !socket.readyState)) socket.terminate();
    else socket.close(1000);
  }

  #down(code, reason) {
    const { reconnect, maxReconnectAttempts, reconnectInterval, maxReconnectInterval } = this.#options;
    if (this.#upSince && now() - this.#upSince > STABLE) this.#attempt = 0;
    this.#upSince = 0;
    const lost = TERMINAL.has(code) || (code === UNAUTHORIZED && !this.#tokens.refuse());
    if (lost || !reconnect || this.#attempt >= maxReconnectAttempts) return this.#end(code, reason);
    const wait = hint(reason);
    const delay = wait + jitter(this.#attempt++, reconnectInterval, maxReconnectInterval);
    this.#notBefore = now() + wait;
    if (this.#wait({ code, reason, retry: true, delay })) this.#retry(delay);
  }

  /** Tells that the link is down; false when the application closed or reopened it on hearing that. */
  #wait(event) {
    const turn = this.#turn;
    this.#enter(this.#options.scope.navigator?.onLine === false ? "offline" : "waiting");
    if (turn === this.#turn) this.#sink.down(event);
    return turn === this.#turn;
  }

  #retry(delay) {
    this.#timers.set("retry", delay, () => this.#open());
  }

  #wake() {
    if (this.#state === "connected") this.#probe();
    else if (this.#state === "waiting" || this.#state === "offline") {
      this.#retry(Math.max(this.#notBefore - now(), 0) + jitter(0, this.#options.reconnectInterval, 1000));
    }
  }

  #offline() {
    if (this.#state === "connected") this.#probe();
    else if (this.#state === "waiting") this.#enter("offline");
  }

  #beat(ms) {
    this.#timers.set("beat", ms, () => {
      const left = this.#heard + this.#options.heartbeatInterval - now();
      if (left > 1) this.#beat(left);
      else this.#probe();
    });
  }

  /** Asks for a sign of life; any frame will do. */
  #probe() {
    this.send('{"type":"ping"}');
    if (!this.#timers.has("pong")) this.#timers.set("pong", this.#options.pongTimeout, () => this.restart(DEAD, "no sign of life"));
    this.#beat(this.#options.heartbeatInterval);
  }

  /** Both in Unix seconds; the server's clock decides. */
  #planRefresh(expires = claims(this.#tokens.current ?? "").exp, serverTime = Date.now() / 1000) {
    const left = (expires - serverTime) * 1000;
    if (left > 0) this.#timers.set("refresh", left - Math.min(this.#options.refreshMargin, left / 2), () => this.#refresh());
  }

  async #refresh() {
    if (!this.#tokens.renewable) return;
    const turn = this.#turn;
    const token = await this.#tokens.get("refresh").catch((error) => this.#sink.error(error));
    if (turn !== this.#turn || token === null) return;
    if (!token || token === this.#tokens.current) {
      return this.#timers.set("refresh", 2000 + jitter(0, 4000, 4000), () => this.#refresh());
    }
    this.#tokens.current = token;
    this.#refreshing = `refresh.${turn}`;
    this.send(JSON.stringify({ type: "refresh_token", id: this.#refreshing, content: { token } }));
    this.#timers.set("refreshed", this.#options.requestTimeout, () => this.#reopen());
  }

  #refreshed({ type, content, timestamp }) {
    this.#refreshing = "";
    this.#timers.clear("refreshed");
    if (type === "ack") this.#planRefresh(content?.expires_at, timestamp);
    else this.#reopen(); // this server takes no token on a live connection
  }

  #reopen() {
    this.#discard(true);
    if (this.#wait({ code: 1000, reason: "new token", retry: true, delay: 0 })) this.#open();
  }
}
