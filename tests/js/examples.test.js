import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build as bundle } from "esbuild";
import { Window } from "happy-dom";
import { until } from "./fake_gateway.js";
import { numbers, pair } from "./setup.js";

/** Compiles an example and imports it, with `vue` and `react` from this folder. */
async function example(name) {
  const outfile = fileURLToPath(new URL(`node_modules/.cache/examples/${name}.mjs`, import.meta.url));
  const entry = fileURLToPath(new URL(`../../docs/examples/${name}.ts`, import.meta.url));
  await bundle({ entryPoints: [entry], outfile, bundle: true, format: "esm", external: ["vue", "react"] });
  return import(outfile);
}

const say = (gateway, room, content) => gateway.publish(`room:${room}`, { type: "room_message", room, content });

test("Vue: state and handlers live as long as their component", async (t) => {
  const { effectScope } = await import("vue");
  const { useRealtime } = await example("useRealtime.vue");
  const { gateway, client, messages } = await pair(t);
  const heard = [];
  const scope = effectScope();
  const { state } = scope.run(() => {
    const realtime = useRealtime(client);
    realtime.on("notification", ({ content }) => heard.push(content));
    return realtime;
  });
  assert.equal(state.value, "idle");
  client.connect("token");
  await until(() => state.value === "open");
  gateway.publish("user", { type: "notification", content: 1 });
  await until(() => heard.length === 1);
  scope.stop();
  gateway.publish("user", { type: "notification", content: 2 });
  await until(() => messages.length === 2);
  assert.deepEqual(heard, [1]);
});

test("Vue: a room follows its ref and is left with its component", async (t) => {
  const { effectScope, nextTick, ref } = await import("vue");
  const { useRoom } = await example("useRealtime.vue");
  const { gateway, client } = await pair(t);
  client.connect("token");
  await until(() => client.isConnected());
  const room = ref("a");
  const scope = effectScope();
  const { messages, error, incomplete, say: tell } = scope.run(() => useRoom(client, room));
  await until(() => gateway.last.rooms.has("a"));
  tell("hello");
  await until(() => messages.value.length === 1);
  room.value = "b";
  await nextTick();
  await until(() => gateway.last.rooms.has("b") && !gateway.last.rooms.has("a"));
  say(gateway, "b", 2);
  await until(() => messages.value.length === 1);
  assert.deepEqual(numbers(messages.value), [2]);
  gateway.epoch = "e2";
  say(gateway, "b", 3);
  await until(() => incomplete.value);
  scope.stop();
  await until(() => gateway.last.rooms.size === 0);
  assert.equal(error.value, null);
});

test("Vue: a refused room is an error", async (t) => {
  const { effectScope } = await import("vue");
  const { useRoom } = await example("useRealtime.vue");
  const { gateway, client } = await pair(t);
  gateway.script.join_room = (peer, message) => gateway.refuse(peer, message, 403);
  client.connect("token");
  const scope = effectScope();
  const { error } = scope.run(() => useRoom(client, "secret"));
  await until(() => error.value?.code === 403);
  scope.stop();
});

async function react(t) {
  const window = new Window();
  const { document, navigator } = window;
  for (const [name, value] of Object.entries({ window, document, navigator })) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  const { createElement } = await import("react");
  const { createRoot } = await import("react-dom/client");
  const main = document.body.appendChild(document.createElement("main"));
  const root = createRoot(main);
  t.after(() => root.unmount());
  return {
    render: (component, props) => root.render(createElement(component, props)),
    shows: (text) => until(() => main.textContent === text, `"${text}" on the page`),
  };
}

test("React: a component shows the state and hears messages with its last handler", async (t) => {
  const { useConnectionState, useMessages } = await example("useRealtime.react");
  const { gateway, client, messages } = await pair(t);
  const { render, shows } = await react(t);
  const { useEffect } = await import("react");
  const heard = [];
  let effects;
  const Component = ({ mark }) => {
    useMessages(client, "notification", ({ content }) => heard.push([mark, content]));
    useEffect(() => {
      effects = mark;
      return () => (effects = "cleaned up");
    }, [mark]);
    return `${mark} ${useConnectionState(client)}`;
  };
  render(Component, { mark: "first" });
  await shows("first idle");
  client.connect("token");
  await shows("first open");
  render(Component, { mark: "second" });
  await shows("second open");
  await until(() => effects === "second");
  gateway.publish("user", { type: "notification", content: 1 });
  await until(() => messages.length === 1);
  render(() => "gone");
  await until(() => effects === "cleaned up");
  gateway.publish("user", { type: "notification", content: 2 });
  await until(() => messages.length === 2);
  assert.deepEqual(heard, [["second", 1]]);
});

test("React: a room is joined, followed and left with its component", async (t) => {
  const { useRoom } = await example("useRealtime.react");
  const { gateway, client } = await pair(t);
  const { render, shows } = await react(t);
  let tell;
  const Room = ({ room }) => {
    const { messages, error, incomplete, say: sayIt } = useRoom(client, room);
    tell = sayIt;
    return `${numbers(messages)} ${error?.code ?? "fine"} ${incomplete}`;
  };
  client.connect("token");
  await until(() => client.isConnected());
  render(Room, { room: "a" });
  await until(() => gateway.last.rooms.has("a"));
  tell(1);
  await shows("1 fine false");
  render(Room, { room: "b" });
  await until(() => gateway.last.rooms.has("b") && !gateway.last.rooms.has("a"));
  say(gateway, "b", 2);
  await shows("2 fine false");
  gateway.epoch = "e2";
  say(gateway, "b", 3);
  await shows("2,3 fine true");
  gateway.script.join_room = (peer, message) => gateway.refuse(peer, message, 403);
  render(Room, { room: "secret" });
  await shows(" 403 false");
  render(() => "gone");
  await until(() => gateway.last.rooms.size === 0);
});
