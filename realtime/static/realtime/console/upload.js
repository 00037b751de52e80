/**
 * An upload whose progress comes back as notifications: the page reads the file, as a file service would take it in, and
 * publishes how far it is; the bar moves only by what arrives over the WebSocket.
 */

import { call } from "./api.js";
import { $, onSubmit } from "./dom.js";

const STEPS = 20;

/** @param {import("./connections.js").Connections} connections */
export function uploadTool(connections) {
  const form = $("upload");
  const bar = form.querySelector("progress");
  const said = form.querySelector("output");

  onSubmit(form, async () => {
    const { acting } = connections;
    const file = form.elements.file.files[0] ?? new File([new Uint8Array(4_000_000)], "example.bin");
    const upload = crypto.randomUUID();
    const stop = acting.client.on("notification", ({ content }) => {
      if (content?.data?.upload !== upload) return;
      bar.value = content.data.percent;
      said.textContent = `${content.title}: ${content.body}`;
      if (content.data.percent === 100) stop();
    });
    bar.value = 0;
    for (let step = 1; step <= STEPS; step += 1) {
      await file.slice((file.size * (step - 1)) / STEPS, (file.size * step) / STEPS).arrayBuffer();
      const percent = Math.round((100 * step) / STEPS);
      const content = { title: file.name, body: `${percent} %`, category: "upload", data: { upload, percent } };
      const body = { channel: `websocket:user:${acting.userId}`, message: { type: "notification", content } };
      await call("/api/v1/realtime/publish/", { token: acting.session.access, body });
    }
  });
}
