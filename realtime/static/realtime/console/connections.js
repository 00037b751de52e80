/** All connections of the page, kept over a reload, and the one the tools act as. */

import { Connection } from "./connection.js";
import { $, make } from "./dom.js";

const KEY = "ginforge.console";

export class Connections extends EventTarget {
  /** @type {Connection[]} */
  all = [];
  #select = $("acting");

  constructor() {
    super();
    this.#select.addEventListener("change", () => this.dispatchEvent(new Event("acting")));
    for (const pair of JSON.parse(sessionStorage.getItem(KEY) ?? "[]")) this.add(pair);
    this.#draw();
  }

  /** The connection the tools act as. @returns {Connection | undefined} */
  get acting() {
    return this.all[this.#select.selectedIndex];
  }

  /** @param {{ access: string, refresh?: string }} pair */
  add(pair) {
    const connection = new Connection(pair);
    this.all.push(connection);
    connection.addEventListener("token", () => this.#save());
    connection.addEventListener("welcome", () => this.#draw());
    connection.addEventListener("rooms", () => this.dispatchEvent(new Event("rooms")));
    connection.addEventListener("end", () => {
      this.all.splice(this.all.indexOf(connection), 1);
      this.#save();
      this.#draw();
    });
    for (const name of ["user_status", "data_update"]) {
      connection.client.on(name, (message) => this.dispatchEvent(new CustomEvent("presence", { detail: message })));
    }
    this.#save();
    this.#draw(this.all.length - 1);
    return connection;
  }

  #draw(index = Math.max(0, this.#select.selectedIndex)) {
    this.#select.replaceChildren(...this.all.map(({ name, userId }) => make("option", { textContent: userId && userId !== name ? `${name} (${userId})` : name })));
    this.#select.selectedIndex = Math.min(index, this.all.length - 1);
    for (const element of document.querySelectorAll("[data-needs-login]")) element.hidden = this.all.length === 0;
    $("welcome").hidden = this.all.length > 0;
    this.dispatchEvent(new Event("acting"));
  }

  #save() {
    sessionStorage.setItem(KEY, JSON.stringify(this.all.map(({ session }) => session.pair).filter(Boolean)));
  }
}
