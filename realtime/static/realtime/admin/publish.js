/** The publish form: examples for each kind, as long as the message was not changed by hand. */

const EXAMPLES = {
  user: { type: "data_update", content: { entity: "order", action: "paid", id: 7 } },
  notification: { type: "notification", content: { title: "Report ready", body: "Your export is done", link: "/exports/7" } },
  room: { type: "room_message", content: { text: "Maintenance at noon" } },
  broadcast: { type: "system", content: "Hello" },
};
const { kind, name, message } = document.getElementById("publish").elements;
let shown = message.value;

function follow() {
  name.closest(".gateway-field").hidden = kind.value === "broadcast";
}

kind.addEventListener("change", () => {
  follow();
  if (message.value === shown) shown = message.value = JSON.stringify(EXAMPLES[kind.value], null, 2);
});
follow();
