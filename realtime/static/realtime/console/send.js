/** The form of everything a client can send. */

import { codeView } from "./code_view.js";
import { $, make, onSubmit, texts } from "./dom.js";
import { CLIENT } from "./messages.js";
import { clientCode } from "./snippets.js";

const ACKNOWLEDGED = ["chat", "room_message", "resume"];

/** @param {import("./connections.js").Connections} connections */
export function sendTool(connections) {
  const form = $("send");
  const fields = form.elements;
  fields.type.replaceChildren(...Object.keys(CLIENT).map((type) => make("option", { textContent: type })), make("option", { value: "raw", textContent: texts.raw }));

  const chosen = () => CLIENT[fields.type.value];
  const message = () => {
    if (!chosen()) return JSON.parse(fields.content.value);
    const parts = chosen().fields.map((name) => [name, name === "content" ? value(fields.content.value) : fields[name].value]);
    return { type: fields.type.value, ...Object.fromEntries(parts) };
  };
  const redraw = codeView(form, () => clientCode(message(), location.origin));

  const follow = () => {
    const { fields: names, example } = chosen() ?? { fields: ["content"], example: { content: { type: "poll.vote", content: "yes" } } };
    for (const name of ["room", "to", "content"]) {
      fields[name].closest("label").hidden = !names.includes(name);
      fields[name].required = names.includes(name) && name !== "content";
      if (!names.includes(name)) continue;
      const shown = example[name];
      fields[name].value = typeof shown === "string" ? shown : JSON.stringify(shown);
    }
    const { acting } = connections;
    if (names.includes("to") && acting?.userId) fields.to.value = acting.userId;
    if (names.includes("room") && acting?.client.rooms.length) fields.room.value = acting.client.rooms[0];
    redraw();
  };
  fields.type.addEventListener("change", follow);
  form.addEventListener("input", redraw);
  connections.addEventListener("rooms", () => {
    $("rooms-known").replaceChildren(...(connections.acting?.client.rooms ?? []).map((room) => make("option", { value: room })));
  });
  follow();

  onSubmit(form, async () => {
    const { acting } = connections;
    const wanted = message();
    if (wanted.type === "join_room") await acting.join(wanted.content);
    else if (wanted.type === "leave_room") await acting.leave(wanted.content);
    else await acting.say(wanted, { answer: ACKNOWLEDGED.includes(wanted.type) });
  });
}

/** JSON where it is JSON, text otherwise. */
function value(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
