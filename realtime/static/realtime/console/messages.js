/** What a client may send and a service may publish, with an example of each: the forms are made of it. */

/** @type {Record<string, { fields: string[], example: Record<string, any> }>} */
export const CLIENT = {
  room_message: { fields: ["room", "content"], example: { room: "chat:room001", content: { text: "hello" } } },
  chat: { fields: ["to", "content"], example: { to: "1", content: { text: "hello" } } },
  join_room: { fields: ["content"], example: { content: "chat:room001" } },
  leave_room: { fields: ["content"], example: { content: "chat:room001" } },
  ping: { fields: [], example: {} },
  resume: { fields: ["content"], example: { content: { streams: { user: { epoch: "54703f1ac810", offset: 0 } } } } },
  ack: { fields: ["content"], example: { content: null } },
};

/** @type {Record<string, { name: boolean, example: any }>} */
export const CHANNELS = {
  "websocket:broadcast": { name: false, example: { type: "data_update", content: { entity: "user", action: "create", id: 42 } } },
  "websocket:user:": { name: true, example: { type: "system", content: { text: "Only for you" } } },
  "websocket:room:": { name: true, example: { type: "room_message", content: { text: "Maintenance at noon" } } },
  "websocket:notification:": { name: true, example: { type: "notification", content: { title: "Report ready", body: "Your export is done", link: "/exports/7" } } },
};
