/** The tiles: counts of the whole cluster. */

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function duration(seconds) {
  const [size, unit] = UNITS.find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
}

export async function showStats() {
  if (!document.hidden) {
    const response = await fetch("/ws/stats").catch(() => null);
    const stats = response?.ok ? await response.json() : {};
    for (const tile of document.querySelectorAll("[data-stat]")) {
      const value = stats[tile.dataset.stat];
      tile.textContent = value === undefined ? "–" : tile.dataset.stat === "uptime" ? duration(value) : value.toLocaleString();
    }
  }
  setTimeout(showStats, 2000);
}
