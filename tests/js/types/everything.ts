/** Uses every public name of the client; it only has to compile (`npm run types`). */
import { WebSocket } from "ws";
import Client, {
  GatewayError,
  WebSocketClient,
  type ClientOptions,
  type Down,
  type Gap,
  type Handler,
  type JoinResult,
  type Level,
  type Message,
  type NotificationContent,
  type Outgoing,
  type Position,
  type State,
  type StreamPosition,
  type Token,
  type TokenFunction,
  type WebSocketLike,
} from "../../../realtime/static/realtime/client.js";
import { WebSocketClient as Minified } from "../../../realtime/static/realtime/client.min.js";

interface Order {
  number: number;
}

declare module "../../../realtime/static/realtime/client.js" {
  interface MessageTypes {
    order: Message<Order>;
  }
}

const token: TokenFunction = async (why) => {
  const reason: "connect" | "refresh" | "refused" = why;
  return reason === "refused" ? null : "jwt";
};

const options: ClientOptions = {
  url: "https://example.org/ws",
  token,
  WebSocket,
  reconnect: true,
  reconnectInterval: 500,
  maxReconnectInterval: 20_000,
  maxReconnectAttempts: Infinity,
  heartbeatInterval: 15_000,
  pongTimeout: 5_000,
  connectTimeout: 10_000,
  requestTimeout: 5_000,
  refreshMargin: 30_000,
  queueSize: 50,
  maxMessageBytes: 100_000,
  shared: true,
  debug: false,
  scope: globalThis,
};

const client: Client = new WebSocketClient(options);
const fixed: Token = "jwt";
client.connect();
client.connect(fixed);

const stop: () => void = client.on("notification", ({ content, data }) => {
  const { title, body, icon }: NotificationContent = content;
  const at: StreamPosition | undefined = data?.stream;
  console.log(title, body, icon?.length, data?.notification_id, at?.offset);
});
client.on("user_status", ({ content }) => console.log(content.status === "online", content.user_name));
client.on("data_update", ({ content }) => console.log(content.entity, content.action));
client.on("welcome", ({ data }) => console.log(data?.client_id, data?.streams?.["broadcast"] satisfies Position | undefined));
client.on("error", ({ content }: Message<Level>) => console.log(content.code));
client.on("order", ({ content }) => console.log(content.number.toFixed()));
client.on("*", (message: Message) => console.log(message.type, message.id, message.from, message.timestamp));
const untyped: Handler = ({ content }) => console.log(content);
client.on("anything.else", untyped);
client.off("anything.else", untyped);
client.off("notification");
client.resetAllHandlers();

client.onOpen(() => console.log(client.userId, client.clientId));
client.onClose(({ code, reason, retry, delay }: Down) => console.log(code, reason, retry, delay?.toFixed()));
client.onError((error: unknown) => console.error(error));
client.onError((error: Event) => console.error(error.type)); // as the original had it
client.onState((state: State) => console.log(state));
const noGaps = client.onGap(({ stream, recovered, error }: Gap) => console.log(stream, recovered satisfies false, error?.code));

const outgoing: Outgoing = { type: "chat", to: "bob", content: { text: "hi" } };
const sent: boolean = client.send(outgoing);
const queued: boolean = client.sendToRoom("chat:1", { text: "hi" }) && client.sendChat("bob", "hi");
console.log(sent, queued, client.queued, client.rooms, client.state, client.getState() === 1, client.isConnected());

const result: JoinResult = await client.joinRoom("chat:1");
await client.leaveRoom(result.room);
try {
  const answer = await client.request<{ accepted: boolean }>({ type: "order", content: { number: 1 } }, { timeout: 1000 });
  console.log(answer.accepted);
} catch (error) {
  if (error instanceof GatewayError) console.log(error.code, error.message);
}

stop();
noGaps();
client.close();
new Minified({ WebSocket: globalThis.WebSocket });
export const likes: WebSocketLike = new WebSocket("ws://example.org");

// @ts-expect-error: an unknown option
new WebSocketClient({ reconect: true });
// @ts-expect-error: a notification has no `foo`
client.on("notification", ({ content }) => content.foo);
// @ts-expect-error: not a state
client.onState((state) => state === "broken");
