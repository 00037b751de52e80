/** The same action as code: in the browser, Python, Go and redis-cli. Pure: a message in, texts out. */

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const raw = (text) => (text.includes("`") ? JSON.stringify(text) : `\`${text}\``);

/** @param {any} value @returns {string} a Python literal */
export function python(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${python(v)}`).join(", ")}}`;
  return JSON.stringify(value);
}

/**
 * What a client sends.
 * @param {Record<string, any>} message @param {string} origin such as `http://127.0.0.1:8080`
 * @returns {Record<string, string>}
 */
export function clientCode(message, origin) {
  const url = origin.replace(/^http/, "ws") + "/ws";
  const json = JSON.stringify(message);
  const needs = message.type === "room_message" ? message.room : null;
  const joinPython = needs ? `        await ws.send(json.dumps({"type": "join_room", "content": ${JSON.stringify(needs)}}))\n` : "";
  const joinGo = needs ? `    c.Write(ctx, websocket.MessageText, []byte(${raw(JSON.stringify({ type: "join_room", content: needs }))}))\n` : "";
  return {
    JavaScript: `import { WebSocketClient } from "${origin}/static/realtime/client.min.js";

const client = new WebSocketClient({ url: "${url}" });
client.on("*", (message) => console.log(message));
client.connect(token);
${javascript(message)}`,
    Python: `import asyncio, json, websockets

async def main(token):
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.connect("${url}", additional_headers=headers) as ws:
${joinPython}        await ws.send(json.dumps(${python(message)}))
        async for frame in ws:
            print(json.loads(frame))

asyncio.run(main(token))`,
    Go: `c, _, err := websocket.Dial(ctx, "${url}", &websocket.DialOptions{ // github.com/coder/websocket
    HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
})
if err == nil {
${joinGo}    err = c.Write(ctx, websocket.MessageText, []byte(${raw(json)}))
}`,
    "redis-cli": asService(message),
  };
}

function javascript({ type, room, to, content, ...rest }) {
  const text = JSON.stringify(content);
  if (type === "join_room") return `await client.joinRoom(${text});`;
  if (type === "leave_room") return `await client.leaveRoom(${text});`;
  if (type === "room_message") return `await client.joinRoom(${JSON.stringify(room)});\nclient.sendToRoom(${JSON.stringify(room)}, ${text});`;
  if (type === "chat") return `client.sendChat(${JSON.stringify(to)}, ${text});`;
  return `client.send(${JSON.stringify({ type, content, ...rest })});`;
}

function asService({ type, room, to, content }) {
  if (type === "room_message" || type === "chat") {
    const channel = type === "chat" ? `websocket:user:${to}` : `websocket:room:${room}`;
    return `# a service says the same with\nredis-cli PUBLISH ${quoted(channel)} ${quoted(JSON.stringify({ type, content }))}`;
  }
  return `# only a client can do this: “${type}” is about its own connection.\n# What passes can be watched:\nredis-cli PSUBSCRIBE 'websocket:*'`;
}

/**
 * What a service publishes.
 * @param {string} channel @param {any} message @param {boolean} durable @param {string} origin
 * @returns {Record<string, string>}
 */
export function serviceCode(channel, message, durable, origin) {
  const json = JSON.stringify(message);
  const order = JSON.stringify({ channel, message, durable }, null, 2);
  return {
    JavaScript: `await fetch("${origin}/api/v1/realtime/publish/", {
  method: "POST",
  headers: { "Content-Type": "application/json", Authorization: \`Bearer \${staffToken}\` },
  body: JSON.stringify(${order.replaceAll("\n", "\n  ")}),
});`,
    Python: durable
      ? `import json, redis

redis.Redis.from_url(REDIS_URL).xadd(
    "ginforge:ingress", {"channel": ${JSON.stringify(channel)}, "message": json.dumps(${python(message)})}
)`
      : pythonPublish(channel, message),
    Go: durable
      ? `rdb.XAdd(ctx, &redis.XAddArgs{ // github.com/redis/go-redis/v9
    Stream: "ginforge:ingress",
    Values: map[string]any{"channel": ${JSON.stringify(channel)}, "message": ${raw(json)}},
})`
      : `rdb.Publish(ctx, ${JSON.stringify(channel)}, ${raw(json)}) // github.com/redis/go-redis/v9`,
    "redis-cli": durable
      ? `redis-cli XADD ginforge:ingress '*' channel ${quoted(channel)} message ${quoted(json)}`
      : `redis-cli PUBLISH ${quoted(channel)} ${quoted(json)}`,
  };
}

function pythonPublish(channel, message) {
  const user = channel.match(/^websocket:notification:(.+)$/s)?.[1];
  const { title, body, ...more } = message?.content ?? {};
  if (user !== undefined && typeof title === "string" && typeof body === "string") {
    const options = Object.entries(more).map(([name, value]) => `, ${name}=${python(value)}`).join("");
    return `from notifications import send_notification

send_notification(${JSON.stringify(user)}, ${JSON.stringify(title)}, ${JSON.stringify(body)}${options})`;
  }
  return `import json, redis

redis.Redis.from_url(REDIS_URL).publish(${JSON.stringify(channel)}, json.dumps(${python(message)}))`;
}
