const DEFAULTS = {
  url: "/ws",
  reconnect: true,
  reconnectInterval: 1000,
  maxReconnectInterval: 30_000,
  maxReconnectAttempts: Infinity,
  heartbeatInterval: 30_000,
  pongTimeout: 10_000,
  connectTimeout: 20_000,
  requestTimeout: 10_000,
  refreshMargin: 60_000,
  queueSize: 100,
  maxMessageBytes: 524_288,
  shared: false,
  debug: false,
};

/** The options with their defaults; `url` may be relative to the page, with any of http(s) and ws(s). */
export const settle = (options) => {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const settled = { scope: globalThis, WebSocket: globalThis.WebSocket, ...DEFAULTS, ...given };
  const url = new URL(settled.url, settled.scope.location?.href);
  settled.url = url.href.replace(/^http/, "ws");
  if (!settled.WebSocket) throw new TypeError("no WebSocket here: pass one as options.WebSocket");
  return settled;
};
