// Publishing from Node:  npm install redis && node publish.mjs
import { createClient } from "redis";

const client = await createClient({ url: process.env.REDIS_URL }).connect();
const publish = (channel, message) => client.publish(channel, JSON.stringify(message));

await publish("websocket:broadcast", { type: "data_update", content: { entity: "user", action: "create", id: 7 } });
await publish("websocket:user:42", { type: "data_update", content: { entity: "order", action: "paid", id: 7 } });
await publish("websocket:room:chat:room001", { type: "room_message", content: "Tea is ready" });
await publish("websocket:notification:42", { type: "notification", id: "pay-7", content: { title: "Paid", body: "Order 7" } });

// At least once: waits in Redis until a bridge has delivered it.
await client.xAdd(
  "ginforge:ingress",
  "*",
  {
    channel: "websocket:notification:42",
    message: JSON.stringify({ type: "notification", id: "pay-8", content: { title: "Paid", body: "Order 8" } }),
  },
  { TRIM: { strategy: "MAXLEN", strategyModifier: "~", threshold: 1_000_000 } },
);
await client.close();
