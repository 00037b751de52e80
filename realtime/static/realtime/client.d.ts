/** A connection to the realtime gateway that outlives links, tokens and servers. */

/** One JSON text frame; the protocol's fields, `content` and `data` by type. */
export interface Message<Content = unknown, Data = Record<string, unknown>> {
  type: string;
  /** Unique per sender; with one, the server answers a client's message with `ack` or `error`. */
  id?: string | number;
  from?: string;
  from_name?: string;
  to?: string;
  room?: string;
  content: Content;
  data?: Data & { stream?: StreamPosition };
  /** Unix seconds. */
  timestamp: number;
}

/** What an application sends; the server sets `from`, `from_name` and `timestamp`. */
export type Outgoing = { type?: string; content?: unknown } & Partial<Omit<Message, "type" | "content" | "timestamp">>;

export interface Position {
  epoch: string;
  offset: number;
}

export interface StreamPosition extends Position {
  /** `broadcast`, `user` or `room:<room>`. */
  name: string;
}

export interface Level {
  code: number;
  message: string;
  level: "info" | "warning" | "error" | (string & {});
}

export interface NotificationContent {
  title: string;
  body: string;
  icon?: string;
  link?: string;
  category?: string;
  data?: unknown;
}

export interface JoinResult {
  room: string;
  stream?: StreamPosition;
}

/** The built-in message types. Add your own: `declare module "…/client.js" { interface MessageTypes { order: Message<Order> } }`. */
export interface MessageTypes {
  welcome: Message<Level, { client_id: string; user_id: string; streams?: Record<string, Position>; [key: string]: unknown }>;
  notification: Message<NotificationContent, { notification_id: string; read: boolean }>;
  user_status: Message<{ user_id: string; user_name: string; status: "online" | "offline" }>;
  data_update: Message<{ entity: string; action: string; id?: string | number; data?: unknown }>;
  error: Message<Level>;
  chat: Message;
  room_message: Message;
  broadcast: Message;
  system: Message;
  refresh: Message;
  ack: Message;
  pong: Message<null>;
}

export type Handler<M = Message> = (message: M) => void;

/**
 * - `idle`: not started, `connecting`: up to the end of recovery, `open`: live
 * - `waiting`: for the next attempt, `offline`: the same while the browser has no network
 * - `closed`: by `close()`, a terminal close code or a token that cannot be renewed; `connect()` starts again
 */
export type State = "idle" | "connecting" | "open" | "waiting" | "offline" | "closed";

/** Messages of a stream that will not come any more: reload what it is about. With `error` the room was refused. */
export interface Gap {
  stream: string;
  recovered: false;
  error?: { code: number; message: string };
}

export interface Down {
  code: number;
  reason: string;
  /** Whether the client comes back by itself, after `delay` milliseconds. */
  retry: boolean;
  delay?: number;
}

/**
 * Gives a token for the first connection (`connect`), before the last one expires (`refresh`), or after the server
 * refused the last one (`refused`: do not answer from a cache). Null ends the connection; throwing means "try again later".
 */
export type TokenFunction = (why: "connect" | "refresh" | "refused") => string | null | Promise<string | null>;
export type Token = string | TokenFunction;

/** The part of the WebSocket interface the client uses; the browser's and the one of Node's `ws` fit. */
export interface WebSocketLike {
  readonly readyState: number;
  // Method syntax, so that implementations with their own event classes are accepted.
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

export interface ClientOptions {
  /** Absolute, or relative to the page; http(s) becomes ws(s). Default `/ws`. */
  url?: string;
  /** Used when `connect()` is called without one. */
  token?: Token;
  /** Where there is no global one (Node 20). */
  WebSocket?: new (url: string, protocols: string[]) => WebSocketLike;
  /** Come back after a lost link. Default true. */
  reconnect?: boolean;
  /** Base of the backoff in ms, full jitter. Default 1,000. */
  reconnectInterval?: number;
  /** Longest backoff in ms. Default 30,000. */
  maxReconnectInterval?: number;
  /** Attempts in a row. Default: never gives up. */
  maxReconnectAttempts?: number;
  /** Ping after this many ms of silence. Default 30,000. */
  heartbeatInterval?: number;
  /** How long any sign of life may take after a ping, in ms. Default 10,000. */
  pongTimeout?: number;
  /** From asking for a token to `welcome`, in ms. Default 20,000. */
  connectTimeout?: number;
  /** Default of `request()`, in ms. Default 10,000. */
  requestTimeout?: number;
  /** How long before its expiry a token is replaced, in ms. Default 60,000 (at most half of what is left). */
  refreshMargin?: number;
  /** Messages kept while there is no link. Default 100; beyond it `send()` is false and `request()` rejects with 429. */
  queueSize?: number;
  /** Largest message in bytes of JSON. Default 524,288, the server's limit. */
  maxMessageBytes?: number;
  /** One connection for all tabs of this browser that have the same user and URL. Default false. */
  shared?: boolean;
  /** Tell the console of lost links. Default false. */
  debug?: boolean;
  /** Where `navigator`, `document`, `location` and page events come from. Default globalThis. */
  scope?: object;
}

/** `code` as in HTTP; made here: 408 no answer in time, 413 too large, 429 queue full, 503 connection lost or closed. */
export class GatewayError extends Error {
  constructor(code: number, message: string);
  readonly code: number;
}

export class WebSocketClient {
  constructor(options?: ClientOptions);

  /** Starts; does nothing while already started. */
  connect(token?: Token): void;
  /** Ends the connection for good and forgets rooms, positions and unsent messages. Handlers stay. */
  close(): void;

  /** True between recovery and the loss of the link. */
  isConnected(): boolean;
  /** As `WebSocket.readyState`: 0 connecting, 1 open, 3 closed. */
  getState(): number;
  readonly state: State;
  /** Rooms joined, or to be joined once there is a link. */
  readonly rooms: string[];
  readonly userId: string | undefined;
  readonly clientId: string | undefined;
  /** Messages waiting for a link. */
  readonly queued: number;

  /** Hears messages of one type, or all (`*`). Returns a function that ends it. */
  on(type: "*", handler: Handler): () => void;
  on<T extends keyof MessageTypes>(type: T, handler: Handler<MessageTypes[T]>): () => void;
  on(type: string, handler: Handler): () => void;
  /** Without a handler: all handlers of the type. */
  off(type: string, handler?: Handler<any>): void;
  resetAllHandlers(): void;

  /** One callback each; a second call replaces the first. `onOpen` runs after recovery, at every connect. */
  onOpen(callback: () => void): void;
  onClose(callback: (event: Down) => void): void;
  /** A socket's error event, or what the token function threw. */
  onError(callback: (error: any) => void): void;
  /** Any number of listeners; the returned function ends it. */
  onState(callback: (state: State) => void): () => void;
  onGap(callback: (gap: Gap) => void): () => void;

  /** Sends, or queues while there is no link. False when refused here (closed, too large, queue full). */
  send(message: Outgoing): boolean;
  /** Sends with an id. Resolves with the `content` of its `ack`, rejects with a GatewayError. */
  request<Result = unknown>(message: Outgoing, options?: { timeout?: number }): Promise<Result>;
  /** Joins now and again after each reconnect, until left or refused. */
  joinRoom(room: string): Promise<JoinResult>;
  leaveRoom(room: string): Promise<unknown>;
  /** Text becomes `{text, media_type: "text"}`; anything else is sent as it is. */
  sendChat(to: string, content: unknown): boolean;
  sendToRoom(room: string, content: unknown): boolean;
}

export default WebSocketClient;
