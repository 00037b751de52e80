import { once } from "node:events";
import { WebSocketServer } from "ws";

/** Resolves when `condition()` is true; rejects with `what` after five seconds. */
export async function until(condition, what = String(condition)) {
  const deadline = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`still waiting for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** An unsigned JWT; the client only looks at its claims. */
export function jwt(claims = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part({ user_id: "alice", exp: Date.now() / 1000 + 3600, ...claims })}.signature`;
}

/** One accepted socket and what came over it. */
class Peer {
  received = [];
  rooms = new Set();
  pongs = true;

  constructor(socket, request) {
    this.socket = socket;
    this.url = new URL(request.url, "ws://fake");
    this.token = request.headers["sec-websocket-protocol"]?.split(/, */)[1];
  }

  send(message) {
    this.socket.send(JSON.stringify({ content: null, timestamp: Math.floor(Date.now() / 1000), ...message }));
  }

  of(type) {
    return this.received.filter((message) => message.type === type);
  }

  close(code, reason) {
    this.socket.close(code, reason);
  }
}

/** The wire contract of the gateway in memory: streams with positions, rooms, acks, resume. Every answer can be replaced. */
export class FakeGateway {
  peers = [];
  streams = new Map();
  epoch = "e1";
  user = "alice";
  /** type → (peer, message) => void, in place of the normal answer */
  script = {};
  onConnect = null;

  static async start(port = 0) {
    const gateway = new FakeGateway();
    await gateway.listen(port);
    return gateway;
  }

  async listen(port) {
    this.server = new WebSocketServer({ port, host: "127.0.0.1", handleProtocols: () => "bearer" });
    this.server.on("connection", (socket, request) => this.#accept(socket, request));
    await once(this.server, "listening");
    this.port = this.server.address().port;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  get last() {
    return this.peers.at(-1);
  }

  get live() {
    return this.peers.filter(({ socket }) => socket.readyState === 1);
  }

  async stop() {
    for (const socket of this.server.clients) socket.terminate();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async restart() {
    await this.listen(this.port);
  }

  cut() {
    for (const { socket } of this.live) socket.terminate();
  }

  stream(name) {
    if (!this.streams.has(name)) this.streams.set(name, { offset: 0, history: [] });
    return this.streams.get(name);
  }

  /** Gives a message its position, keeps it and sends it to whoever listens; `lose` keeps it from the wire. */
  publish(name, message, { lose = false } = {}) {
    const stream = this.stream(name);
    const placed = { name, epoch: this.epoch, offset: ++stream.offset };
    const full = { type: "broadcast", ...message, data: { ...message.data, stream: placed } };
    stream.history.push(full);
    if (!lose) for (const peer of this.live) if (this.#listens(peer, name)) peer.send(full);
    return full;
  }

  position(name) {
    return { epoch: this.epoch, offset: this.stream(name).offset };
  }

  welcome(peer, data = {}) {
    const streams = { broadcast: this.position("broadcast"), user: this.position("user") };
    const content = { code: 0, message: "welcome", level: "info" };
    peer.send({ type: "welcome", content, data: { client_id: `c${this.peers.length}`, user_id: this.user, streams, ...data } });
  }

  answer(peer, message) {
    const run = this.script[message.type] ?? this[`on_${message.type}`];
    if (run) run.call(this, peer, message);
    else this.ack(peer, message, {});
  }

  ack(peer, { id }, content) {
    if (id !== undefined) peer.send({ type: "ack", id, content });
  }

  refuse(peer, { id }, code, message = "refused") {
    peer.send({ type: "error", id, content: { code, message, level: "error" } });
  }

  on_ping(peer, { id }) {
    if (peer.pongs) peer.send({ type: "pong", id });
  }

  on_join_room(peer, message) {
    peer.rooms.add(message.content);
    const name = `room:${message.content}`;
    this.ack(peer, message, { room: message.content, stream: { name, ...this.position(name) } });
  }

  on_leave_room(peer, message) {
    peer.rooms.delete(message.content);
    this.ack(peer, message, { room: message.content });
  }

  on_room_message(peer, message) {
    this.publish(`room:${message.room}`, { ...message, from: this.user });
    this.ack(peer, message, {});
  }

  on_resume(peer, { id, content }) {
    const replay = [];
    const streams = {};
    for (const [name, { epoch, offset }] of Object.entries(content.streams)) {
      if (name.startsWith("room:")) peer.rooms.add(name.slice(5));
      const missed = this.stream(name).history.filter(({ data }) => data.stream.offset > offset);
      const recovered = epoch === this.epoch && missed.length === this.stream(name).offset - offset;
      streams[name] = { recovered, count: recovered ? missed.length : 0, ...this.position(name) };
      if (recovered) replay.push(...missed);
    }
    this.ack(peer, { id }, null);
    peer.send({ type: "resumed", id, content: { streams } });
    for (const message of replay) peer.send(message);
  }

  #listens(peer, name) {
    return !name.startsWith("room:") || peer.rooms.has(name.slice(5));
  }

  #accept(socket, request) {
    const peer = new Peer(socket, request);
    this.peers.push(peer);
    socket.on("message", (data) => {
      const message = JSON.parse(data);
      peer.received.push(message);
      this.answer(peer, message);
    });
    socket.on("error", () => {});
    if (this.onConnect) this.onConnect(peer);
    else this.welcome(peer);
  }
}
