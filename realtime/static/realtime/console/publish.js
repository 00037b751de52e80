/** Publishing as a service would, through the REST API for staff. */

import { call } from "./api.js";
import { codeView } from "./code_view.js";
import { $, make, onSubmit, texts } from "./dom.js";
import { CHANNELS } from "./messages.js";
import { serviceCode } from "./snippets.js";

/** @param {import("./connections.js").Connections} connections */
export function publishTool(connections) {
  const form = $("publish");
  const fields = form.elements;
  const done = form.querySelector("output");
  fields.channel.replaceChildren(...Object.keys(CHANNELS).map((channel) => make("option", { value: channel, textContent: CHANNELS[channel].name ? `${channel}…` : channel })));

  const channel = () => fields.channel.value + (CHANNELS[fields.channel.value].name ? fields.name.value : "");
  const order = () => ({ channel: channel(), message: JSON.parse(fields.message.value), durable: fields.durable.checked });
  const redraw = codeView(form, () => {
    const { message, durable } = order();
    return serviceCode(channel(), message, durable, location.origin);
  });
  const follow = () => {
    const { name, example } = CHANNELS[fields.channel.value];
    fields.name.closest("label").hidden = !name;
    fields.name.required = name;
    fields.name.value = fields.channel.value.includes("room") ? connections.acting?.client.rooms[0] ?? "chat:room001" : connections.acting?.userId ?? "";
    fields.message.value = JSON.stringify(example, null, 2);
    redraw();
  };
  fields.channel.addEventListener("change", follow);
  form.addEventListener("input", redraw);
  connections.addEventListener("acting", () => {
    $("not-staff").hidden = connections.acting?.staff !== false;
  });
  follow();

  onSubmit(form, async () => {
    done.textContent = "";
    await call("/api/v1/realtime/publish/", { token: connections.acting.session.access, body: order() });
    done.textContent = `${texts.published} ${channel()}`;
  });
}
