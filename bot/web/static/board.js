// Says how long ago moments were, draws the chart, and tells whether the page is up to date. Works without: the server
// writes every moment and every value into the page.
"use strict";

const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];
const spoken = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });

function tellAges() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const seconds = (at - Date.now()) / 1000;
    const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["minute", 60];
    const text = Math.abs(seconds) < 60 ? "just now" : spoken.format(Math.trunc(seconds / size), unit);
    if (time.textContent !== text) time.textContent = text;
    time.title = at.toISOString().slice(0, 16).replace("T", " ") + " UTC";
  }
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function level(value, versions) {
  return versions.map(() => value);
}

let chart = null;

function drawChart() {
  const element = document.getElementById("chart");
  if (chart && (!element || !element.contains(chart.root))) {
    chart.destroy();
    chart = null;
  }
  if (!element || element.dataset.drawn === element.dataset.chart) return;
  if (chart) chart.destroy();
  element.replaceChildren();
  const { metric, versions, values, bounds, champion } = JSON.parse(element.dataset.chart);
  const ink = colour("--dim");
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: ink, grid, ticks: grid, font: "12px system-ui, sans-serif" };
  const series = [
    { label: "version", value: (_, v) => (v == null ? "–" : "v" + v) },
    { label: metric, stroke: colour("--accent"), width: 2, points: { show: true, size: 7, fill: colour("--card") } },
    ...bounds.map((bound) => ({ label: bound.label, stroke: colour("--bad"), width: 1.5, dash: [6, 4], points: { show: false } })),
  ];
  const data = [versions, values, ...bounds.map((bound) => level(bound.value, versions))];
  if (champion) {
    series.push({ label: "champion v" + champion.version, stroke: colour("--good"), width: 1.5, dash: [2, 3], points: { show: false } });
    data.push(level(champion.value, versions));
  }
  chart = new uPlot({
    width: element.clientWidth,
    height: 260,
    scales: { x: { time: false, range: (_, low, high) => [low - 0.5, high + 0.5] } },
    axes: [
      { ...axis, values: (_, splits) => splits.map((v) => (Number.isInteger(v) ? "v" + v : "")), incrs: [1, 2, 5, 10, 20, 50, 100] },
      { ...axis, size: 64 },
    ],
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    series,
  }, data, element);
  element.dataset.drawn = element.dataset.chart;
}

const SAYS = { fresh: "Up to date", lost: "Not up to date: the service does not answer" };

function isFresh(fresh) {
  const place = document.getElementById("freshness");
  const text = fresh ? SAYS.fresh : SAYS.lost;
  place.classList.toggle("lost", !fresh);
  if (place.textContent !== text) place.textContent = text;
}

function refresh() {
  tellAges();
  drawChart();
}

document.addEventListener("htmx:after:request", (event) => isFresh(event.detail.ctx.response.status < 400));
document.addEventListener("htmx:error", () => isFresh(false));
document.addEventListener("htmx:after:swap", refresh);
document.addEventListener("input", (event) => {
  const form = event.target.closest("#search");
  if (!form || event.target.type !== "search") return;
  clearTimeout(form.wait);
  form.wait = setTimeout(() => find(form), 250);
});
document.addEventListener("change", (event) => {
  if (event.target.matches("#search select")) event.target.form.requestSubmit();
});
addEventListener("resize", () => {
  const element = document.getElementById("chart");
  if (chart && element) chart.setSize({ width: element.clientWidth, height: 260 });
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  const element = document.getElementById("chart");
  if (element) delete element.dataset.drawn;
  drawChart();
});

// What is typed is looked for at once; the address follows, so that it can be sent to somebody.
function find(form) {
  const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  const address = asked.size ? "/?" + asked : "/";
  history.replaceState(null, "", address);
  htmx.ajax("GET", address + (asked.size ? "&" : "?") + "live=", { target: "#main", swap: "outerMorph" });
}

setInterval(tellAges, 30000);
refresh();
isFresh(true);
