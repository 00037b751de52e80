/** The overview's charts: Chart.js in the colours of the admin's theme. */

const SERIES = {
  connections: [["connections", "#0f766e", true]],
  messages: [["sent", "#0f766e", true], ["received", "#c2410c", false]],
  latency: [["p50", "#0f766e", false], ["p95", "#a16207", false], ["p99", "#b91c1c", false]],
  errors: [["errors", "#b91c1c", true]],
};

/** @param {string} name a custom property of the admin's theme */
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim() || "#888";

/** @param {Record<string, string>} texts names of the series */
export class Charts {
  #charts = new Map();

  constructor(texts) {
    if (!globalThis.Chart) return; // without the package the tiles and tables still work
    for (const [name, series] of Object.entries(SERIES)) {
      const datasets = series.map(([key, hue, fill]) => ({
        key, label: texts[key], data: [], borderColor: hue, backgroundColor: hue + "22", fill,
        borderWidth: 2, pointRadius: lonely, pointHitRadius: 12, tension: 0.25, cubicInterpolationMode: "monotone",
      }));
      this.#charts.set(name, new globalThis.Chart(document.getElementById(`chart-${name}`), {
        type: "line", data: { labels: [], datasets }, options: options(series.length > 1),
      }));
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint());
    new MutationObserver(() => this.#paint()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.#paint();
  }

  /** @param {Array<Record<string, number | null>>} points as `samples.history` gives them */
  draw(points) {
    const long = points.length > 1 && points.at(-1).at - points[0].at > 43200;
    const shape = long ? { weekday: "short", hour: "2-digit", minute: "2-digit" } : { hour: "2-digit", minute: "2-digit" };
    const labels = points.map(({ at }) => new Date(at * 1000).toLocaleTimeString(document.documentElement.lang, shape));
    for (const [name, chart] of this.#charts) {
      chart.data.labels = labels;
      for (const dataset of chart.data.datasets) dataset.data = points.map((point) => point[dataset.key]);
      chart.canvas.dataset.points = String(points.length);
      chart.canvas.setAttribute("aria-label", `${chart.canvas.closest("figure").querySelector("figcaption").textContent}: ${describe(chart, points)}`);
      chart.update("none");
    }
  }

  #paint() {
    for (const chart of this.#charts.values()) {
      for (const axis of Object.values(chart.options.scales)) {
        axis.ticks.color = color("--body-quiet-color");
        axis.grid.color = color("--hairline-color");
      }
      chart.options.plugins.legend.labels.color = color("--body-fg");
      chart.update("none");
    }
  }
}

function describe(chart, points) {
  const last = points.at(-1) ?? {};
  return chart.data.datasets.map(({ key, label }) => `${label} ${last[key] ?? "–"}`).join(", ");
}

/** A point without neighbours has no line to be seen by. */
function lonely({ dataset, dataIndex: at }) {
  return (dataset.data[at - 1] ?? dataset.data[at + 1] ?? null) === null ? 2 : 0;
}

function options(legend) {
  return {
    animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
    plugins: { legend: { display: legend, position: "bottom", labels: { boxWidth: 12, boxHeight: 2 } } },
    scales: {
      x: { grid: { display: false }, ticks: { autoSkip: true, maxTicksLimit: 6, maxRotation: 0 } },
      y: { beginAtZero: true, suggestedMax: 1, grace: "5%", grid: {}, ticks: { maxTicksLimit: 5 } },
    },
  };
}
