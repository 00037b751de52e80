import { DEAD, GatewayError } from "./client/codes.js";
import { Connection } from "./client/connection.js";
import { Listeners, guarded } from "./client/listeners.js";
import { settle } from "./client/options.js";
import { Requests } from "./client/requests.js";
import { SharedConnection } from "./client/shared.js";
import { Streams } from "./client/streams.js";

export { GatewayError };

const READY_STATE = { connecting: 0, open: 1 };
const ANSWERS = new Set(["ack", "error", "pong", "resumed"]);
const encoder = new TextEncoder();
const refused = ({ code }) => code >= 400 && code < 500 && code !== 408 && code !== 429;

/**
 * A connection to the realtime gateway that outlives links, tokens and servers. Types and options: client.d.ts.
 * States: idle, connecting, open, waiting (for the next attempt), offline, closed.
 */
export class WebSocketClient {
  #options;
  #link;
  #requests;
  #streams;
  #listeners = new Listeners();
  #events = new Listeners();
  /** @type {Record<string, Function | undefined>} */
  #callbacks = {};
  #rooms = new Set();
  #state = "idle";
  #welcome;
  #resuming = false; // said so in the URL
  #prefix = Math.random().toString(36).slice(2, 10).padEnd(8, "0");
  #count = 0;

  /** @param {import("./client.js").ClientOptions} [options] */
  constructor(options = {}) {
    this.#options = settle(options);
    const sink = {
      prefix: this.#prefix,
      frame: (message) => this.#receive(message),
      state: (state) => state !== "connected" && this.#enter(state),
      down: (event) => this.#down(event),
      error: (error) => guarded(this.#callbacks.error, error),
      resumable: () => (this.#resuming = this.#streams.size > 0),
    };
    const shared = this.#options.shared && SharedConnection.possible(this.#options);
    this.#link = new (shared ? SharedConnection : Connection)(this.#options, sink);
    this.#requests = new Requests({ most: this.#options.queueSize, send: (text) => this.#link.send(text) });
    this.#streams = new Streams({
      deliver: (message) => this.#listeners.message(message),
      gap: (gap) => this.#gap(gap),
      hole: () => this.#missing(),
    });
  }

  get state() {
    return this.#state;
  }

  /** The rooms this client is in or wants to be in. */
  get rooms() {
    return [...this.#rooms];
  }

  get userId() {
    return this.#welcome?.data?.user_id;
  }

  get clientId() {
    return this.#welcome?.data?.client_id;
  }

  /** Messages waiting for a link. */
  get queued() {
    return this.#requests.queued;
  }

  connect(token = this.#options.token) {
    if (this.#state === "idle" || this.#state === "closed") this.#link.start(token);
  }

  /** Ends the connection and forgets rooms, positions and what was not sent; handlers stay. */
  close() {
    this.#rooms.clear();
    this.#streams.clear();
    if (this.#state !== "idle" && this.#state !== "closed") this.#link.stop();
    this.#requests.clear("closed");
  }

  isConnected() {
    return this.#state === "open";
  }

  /** As WebSocket.readyState. */
  getState() {
    return READY_STATE[this.#state] ?? 3;
  }

  on(type, handler) {
    return this.#listeners.add(type, handler);
  }

  off(type, handler) {
    this.#listeners.remove(type, handler);
  }

  resetAllHandlers() {
    this.#listeners.clear();
  }

  onOpen(callback) {
    this.#callbacks.open = callback;
  }

  onClose(callback) {
    this.#callbacks.close = callback;
  }

  onError(callback) {
    this.#callbacks.error = callback;
  }

  onState(callback) {
    return this.#events.add("state", callback);
  }

  onGap(callback) {
    return this.#events.add("gap", callback);
  }

  /** Sends, or queues while there is no link. @returns {boolean} false when it was refused here */
  send(message) {
    const item = this.#item(message);
    if (this.#refusal(item)) return false;
    this.#want(item);
    return this.#requests.push(item, this.isConnected());
  }

  /** Sends with an id; resolves with the content of its `ack`, rejects with a GatewayError. */
  request(message, { timeout = this.#options.requestTimeout } = {}) {
    const item = this.#item({ ...message, id: message.id ?? this.#id() });
    const answer = new Promise((resolve, reject) => {
      const refusal = this.#refusal(item);
      if (refusal) return reject(refusal);
      this.#want(item);
      const done = ({ content }) => resolve(content);
      const fail = (error) => {
        if (item.type === "join_room" && refused(error)) this.#rooms.delete(item.content);
        reject(error);
      };
      this.#requests.ask(item, { live: this.isConnected(), timeout, done, fail });
    });
    answer.catch(() => {}); // nobody has to wait for it
    return answer;
  }

  /** Joins now and after every reconnect, until the room is left or refused. */
  joinRoom(room) {
    return this.request({ type: "join_room", content: room });
  }

  leaveRoom(room) {
    return this.request({ type: "leave_room", content: room });
  }

  sendChat(to, content) {
    return this.send({ type: "chat", to, content: typeof content === "string" ? { text: content, media_type: "text" } : content });
  }

  sendToRoom(room, content) {
    return this.send({ type: "room_message", room, content });
  }

  #id() {
    return `${this.#prefix}.${++this.#count}`;
  }

  #item(message) {
    const full = { type: "chat", ...message };
    return { type: full.type, content: full.content, id: full.id, text: JSON.stringify(full) };
  }

  #refusal({ text }) {
    const most = this.#options.maxMessageBytes;
    if (this.#state === "closed") return new GatewayError(503, "closed");
    if (text.length * 3 > most && encoder.encode(text).length > most) return new GatewayError(413, "message too large");
  }

  #want({ type, content }) {
    if (type === "join_room") this.#rooms.add(content);
    if (type !== "leave_room") return;
    this.#rooms.delete(content);
    this.#streams.forget(`room:${content}`);
  }

  #enter(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#events.emit("state", state);
  }

  #receive(message) {
    const { type, content, data } = message;
    if (type === "welcome") return this.#welcomed(message);
    if (ANSWERS.has(type)) {
      if (content?.stream && this.#rooms.has(content.room)) this.#streams.adopt({ [content.stream.name]: content.stream });
      if (!this.#requests.answer(message) && type === "resumed") this.#streams.resumed(content?.streams);
    }
    const room = /^room:(.*)$/s.exec(data?.stream?.name)?.[1];
    if (room === undefined || this.#rooms.has(room)) this.#streams.receive(message);
    else if (!this.#options.shared) this.#listeners.message(message);
  }

  #welcomed(message) {
    if (this.userId !== undefined && this.userId !== message.data?.user_id) {
      this.#rooms.clear();
      this.#streams.clear();
      this.#requests.clear("another user");
    }
    this.#welcome = message;
    this.#listeners.message(message);
    if (this.#resuming || this.#streams.size) this.#resume();
    else this.#opened();
  }

  /** Tells where this client stands; the answer comes before everything that was missed. */
  #resume() {
    const streams = this.#streams.positions();
    const done = ({ content }) => {
      const complete = this.#streams.resumed(content?.streams, streams);
      this.#opened();
      if (!complete) this.#missing();
    };
    const fail = ({ code }) => {
      if (this.#state !== "connecting") return; // the link is gone: the next one resumes
      if (code === 408 || code === 503) return this.#link.restart(DEAD, "no answer to resume");
      this.#streams.resumed({}, streams);
      this.#opened();
    };
    const item = this.#item({ type: "resume", id: this.#id(), content: { streams } });
    this.#requests.ask(item, { live: true, timeout: this.#options.requestTimeout, done, fail });
  }

  /** A new link recovers it; while one is recovering already, it may be on its way. */
  #missing() {
    if (this.isConnected()) this.#link.restart(1006, "a message is missing");
  }

  #opened() {
    this.#streams.adopt(this.#welcome.data?.streams);
    this.#state = "open";
    for (const room of this.#rooms) {
      if (!this.#streams.has(`room:${room}`) && !this.#requests.waitsFor("join_room", room)) this.joinRoom(room);
    }
    this.#requests.flush();
    this.#events.emit("state", "open");
    guarded(this.#callbacks.open);
  }

  #gap(gap) {
    if (gap.error && refused(gap.error) && gap.stream.startsWith("room:")) this.#rooms.delete(gap.stream.slice(5));
    this.#events.emit("gap", gap);
  }

  #down(event) {
    if (this.#options.debug) console.debug("WebSocketClient:", event);
    this.#requests.lost();
    if (!event.retry) this.#requests.clear("closed");
    guarded(this.#callbacks.close, event);
  }
}

export default WebSocketClient;
