/** Who is online: loaded once, and again whenever the gateway says that somebody came or went. */

import { call } from "./api.js";
import { $, make } from "./dom.js";

const MOST = 200;

/** @param {import("./connections.js").Connections} connections */
export function presenceTool(connections) {
  let timer = 0;

  async function load() {
    const token = connections.acting?.session.access;
    if (!token || document.hidden) return;
    const { total, users } = await call("/ws/online-users", { token }).catch(() => ({ total: "–", users: [] }));
    $("online-count").textContent = String(total);
    $("online").replaceChildren(...users.slice(0, MOST).map((user) => make("li", { textContent: user })));
  }

  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(load, 300);
  };
  connections.addEventListener("acting", soon);
  connections.addEventListener("presence", ({ detail }) => {
    if (detail.type === "user_status" || detail.content?.entity === "presence") soon();
  });
}
