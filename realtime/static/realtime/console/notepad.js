/** A note pad that everybody in a room writes: the last writer wins, newcomers ask for the text. */

import { $, onSubmit } from "./dom.js";

const PAUSE = 150;

/** @param {import("./connections.js").Connections} connections */
export function notepadTool(connections) {
  const form = $("pad");
  const area = form.elements.text;
  let current = null; // { connection, room, clock, stop }
  let timer = 0;

  const send = (content) => current.connection.client.sendToRoom(current.room, { pad: content });

  function take({ room, from, content }) {
    const note = content?.pad;
    if (!current || room !== current.room || !note || note.by === current.id) return;
    if (note.ask) {
      if (current.clock) send({ text: area.value, clock: current.clock, by: current.id, writer: current.writer });
      return;
    }
    if (note.clock < current.clock || (note.clock === current.clock && (note.writer ?? "") <= current.writer)) return;
    const { selectionStart, selectionEnd } = area;
    area.value = note.text;
    area.setSelectionRange(selectionStart, selectionEnd);
    Object.assign(current, { clock: note.clock, writer: note.writer ?? note.by });
    $("pad-by").textContent = from;
  }

  onSubmit(form, async ({ room }) => {
    const connection = connections.acting;
    current?.stop();
    current = { connection, room, clock: 0, id: crypto.randomUUID(), writer: "", stop: connection.client.on("room_message", take) };
    await connection.join(room);
    area.disabled = false;
    area.value = "";
    send({ ask: true, by: current.id });
    area.focus();
  });

  area.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      Object.assign(current, { clock: current.clock + 1, writer: current.id });
      send({ text: area.value, clock: current.clock, by: current.id, writer: current.id });
    }, PAUSE);
  });
}
