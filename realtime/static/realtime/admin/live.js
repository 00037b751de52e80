/** What the admin's live pages share: their texts, CSRF-safe posts, and a connection of their own to the gateway. */

import { WebSocketClient } from "../client.min.js";

/** @type {Record<string, string>} */
export const texts = JSON.parse(document.getElementById("texts").textContent);

/**
 * Posts a form's fields; resolves with the JSON answer, rejects with what the server says.
 * @param {string} url
 * @param {Record<string, string>} [fields]
 * @returns {Promise<any>}
 */
export async function post(url, fields = {}) {
  const csrf = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
  const response = await fetch(url, { method: "POST", headers: { "X-CSRFToken": csrf }, body: new URLSearchParams(fields) });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(answer.detail ?? `HTTP ${response.status}`), { status: response.status });
  return answer;
}

/**
 * Connects and joins one room.
 * @param {string} room
 * @param {() => Promise<string | null>} token
 * @returns {WebSocketClient}
 */
export function connect(room, token) {
  const client = new WebSocketClient({ url: "/ws" });
  client.joinRoom(room).catch(() => {});
  client.connect(token);
  return client;
}
