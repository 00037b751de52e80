/**
 * Runs the client against a real gateway and tells on stdout, one JSON object a line, what it sees.
 * `node driver.mjs '{"url": …, "tokens": [one for each time it is asked], "rooms": […], "requests": […], "options": {…}}'`
 */
import { WebSocket } from "ws";
import { WebSocketClient } from "../../realtime/static/realtime/client.js";

const { url, tokens, rooms = [], requests = [], options = {} } = JSON.parse(process.argv[2]);
const tell = (event, more) => console.log(JSON.stringify({ event, ...more }));
const client = new WebSocketClient({ url, WebSocket, reconnectInterval: 100, maxReconnectInterval: 500, ...options });

client.on("*", (message) => tell("message", { message }));
client.onState((state) => tell("state", { state }));
client.onGap((gap) => tell("gap", gap));
client.onClose((down) => tell("down", down));
client.connect(tokens.length > 1 ? () => tokens.shift() ?? null : tokens[0]);

for (const room of rooms) client.joinRoom(room).then((joined) => tell("joined", joined), (error) => tell("refused", { room, code: error.code }));
for (const request of requests) {
  const answered = (content) => tell("answer", { request, content });
  client.request(request, { timeout: 30_000 }).then(answered, (error) => tell("failed", { request, code: error.code }));
}
process.once("SIGTERM", () => client.close());
