import { WebSocket } from "ws";
import { WebSocketClient } from "../../realtime/static/realtime/client.js";
import { FakeGateway } from "./fake_gateway.js";

/** A gateway and a fast client on it, both ended with the test; `messages`, `states`, `gaps`, `downs` are what the client told. */
export async function pair(t, options = {}) {
  const gateway = await FakeGateway.start();
  const client = build(t, gateway, options);
  t.after(() => gateway.stop());
  return { gateway, ...client };
}

export function build(t, gateway, options = {}) {
  const fast = { url: gateway.url, WebSocket, reconnectInterval: 10, maxReconnectInterval: 20 };
  const client = new WebSocketClient({ ...fast, ...options });
  const told = { client, messages: [], states: [], gaps: [], downs: [], errors: [] };
  client.on("*", (message) => message.data?.stream && told.messages.push(message));
  client.onState((state) => told.states.push(state));
  client.onGap((gap) => told.gaps.push(gap));
  client.onClose((event) => told.downs.push(event));
  client.onError((error) => told.errors.push(error));
  t.after(() => client.close());
  return told;
}

export const numbers = (messages) => messages.map(({ content }) => content);
