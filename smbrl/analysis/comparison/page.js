"use strict";
// Draws the charts of a comparison from the JSON in #data; no library, nothing is fetched.
const data = JSON.parse(document.getElementById("data").textContent);
const state = { off: new Set(), hours: false, intervals: true, runs: false, published: true };
const tip = document.getElementById("tip");
const NS = "http://www.w3.org/2000/svg";

function el(name, attributes, parent) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.appendChild(made);
  return made;
}
function text(parent, x, y, words, anchor = "middle") {
  const made = el("text", { x, y, "text-anchor": anchor }, parent);
  made.textContent = words;
  return made;
}
function short(x) {
  const size = Math.abs(x);
  if (size >= 1e6) return +(x / 1e6).toPrecision(3) + "M";
  if (size >= 1e4) return +(x / 1e3).toPrecision(3) + "k";
  return String(+x.toPrecision(3));
}
function ticks(low, high, count) {
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-9; t += step) found.push(+t.toPrecision(12));
  return found;
}
function show(event, html) {
  tip.innerHTML = html;
  tip.style.display = "block";
  const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
  tip.style.left = left + "px";
  tip.style.top = Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8) + "px";
}
function hide() { tip.style.display = "none"; }
function safe(words) {
  const made = document.createElement("span");
  made.textContent = words;
  return made.innerHTML;
}
function dot(label) { return `<i style="background:${data.colours[label]}"></i>`; }
function interval(low, high) { return low === null ? "" : ` <span>[${short(low)}, ${short(high)}]</span>`; }

// A frame with axes; returns scales. Values that are null are left out.
function frame(host, width, height, xs, ys, xName, yName, zero = false) {
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, host);
  const box = { left: 52, right: 12, top: 10, bottom: 40 };
  const clean = (all) => all.filter((v) => v !== null && isFinite(v));
  let [x0, x1] = [Math.min(...clean(xs)), Math.max(...clean(xs))];
  let [y0, y1] = [Math.min(...clean(ys)), Math.max(...clean(ys))];
  if (zero) x0 = Math.min(0, x0);
  if (!(x1 > x0)) x1 = x0 + 1;
  const pad = (y1 - y0) * 0.05 || 0.5;
  [y0, y1] = [y0 - pad, y1 + pad];
  const x = (v) => box.left + ((v - x0) / (x1 - x0)) * (width - box.left - box.right);
  const y = (v) => height - box.bottom - ((v - y0) / (y1 - y0)) * (height - box.top - box.bottom);
  for (const t of ticks(x0, x1, 6)) {
    el("line", { x1: x(t), x2: x(t), y1: box.top, y2: height - box.bottom, class: "axis" }, svg);
    text(svg, x(t), height - box.bottom + 16, short(t));
  }
  for (const t of ticks(y0, y1, 5)) {
    el("line", { x1: box.left, x2: width - box.right, y1: y(t), y2: y(t), class: "axis" }, svg);
    text(svg, box.left - 6, y(t) + 4, short(t), "end");
  }
  text(svg, (box.left + width - box.right) / 2, height - 6, xName);
  text(svg, box.left, box.top - 1, yName, "start");
  const inverse = (px) => x0 + ((px - box.left) / (width - box.left - box.right)) * (x1 - x0);
  return { svg, x, y, box, width, height, inverse };
}
function path(points, scale) {
  let made = "", pen = "M";
  for (const [a, b] of points) {
    if (a === null || b === null) { pen = "M"; continue; }
    made += `${pen}${scale.x(a).toFixed(1)} ${scale.y(b).toFixed(1)}`;
    pen = "L";
  }
  return made;
}
function band(xs, low, high, scale) {
  const there = xs.map((_, i) => i).filter((i) => xs[i] !== null && low[i] !== null);
  if (!there.length) return "";
  const out = there.map((i) => [xs[i], high[i]]), back = there.reverse().map((i) => [xs[i], low[i]]);
  return path([...out, ...back], scale) + "Z";
}
// A vertical line that follows the pointer, and what is there.
function crosshair(scale, lines, title) {
  const rule = el("line", { y1: scale.box.top, y2: scale.height - scale.box.bottom, stroke: "#60656e" }, scale.svg);
  rule.style.display = "none";
  const area = { x: scale.box.left, y: scale.box.top, fill: "transparent" };
  area.width = scale.width - scale.box.left - scale.box.right;
  area.height = scale.height - scale.box.top - scale.box.bottom;
  const pad = el("rect", area, scale.svg);
  pad.addEventListener("pointermove", (event) => {
    const view = scale.svg.getBoundingClientRect();
    const at = scale.inverse(((event.clientX - view.left) / view.width) * scale.width);
    let best = null;
    const rows = [];
    for (const line of lines) {
      let near = null;
      line.xs.forEach((v, i) => {
        if (v !== null && (near === null || Math.abs(v - at) < Math.abs(line.xs[near] - at))) near = i;
      });
      if (near === null || line.ys[near] === null) continue;
      if (at > Math.max(...line.xs) * 1.02) continue;
      if (best === null || Math.abs(line.xs[near] - at) < Math.abs(best - at)) best = line.xs[near];
      const low = line.low ? line.low[near] : null, high = line.high ? line.high[near] : null;
      rows.push([line.ys[near], `${dot(line.label)}${safe(line.label)}${line.note || ""}: <b>${short(line.ys[near])}</b>`
        + interval(low, high)]);
    }
    if (best === null) return hide();
    rows.sort((a, b) => b[0] - a[0]);
    rule.style.display = "";
    rule.setAttribute("x1", scale.x(best));
    rule.setAttribute("x2", scale.x(best));
    show(event, `<b>${title(best)}</b><br>` + rows.map((row) => row[1]).join("<br>"));
  });
  pad.addEventListener("pointerleave", () => { rule.style.display = "none"; hide(); });
}

function drawCurves() {
  const host = document.getElementById("curves");
  host.replaceChildren();
  for (const task of data.tasks) {
    const cell = document.createElement("div");
    cell.innerHTML = `<h3>${safe(task.title)}</h3>`;
    host.appendChild(cell);
    const lines = task.lines.filter((line) => !state.off.has(line.label));
    if (!lines.length) continue;
    const across = (line) => (state.hours ? line.hours : line.steps);
    const xs = lines.flatMap(across), limit = Math.max(...lines.flatMap((line) => line.steps));
    const theirs = state.published && !state.hours ? lines.filter((line) => line.published) : [];
    const ys = [...lines.flatMap((line) => [...line.value, ...line.low, ...line.high]), task.level];
    if (state.runs) ys.push(...lines.flatMap((line) => line.runs.flatMap((run) => run.value)));
    for (const line of theirs) ys.push(...line.published.value.filter((_, i) => line.published.steps[i] <= limit));
    const name = state.hours ? "hours of online learning" : "environment steps";
    const scale = frame(cell, 560, 340, xs, ys, name, data.metric, true);
    const [left, right] = [scale.box.left, scale.width - scale.box.right];
    el("line", { x1: left, x2: right, y1: scale.y(task.level), y2: scale.y(task.level), stroke: "#b8bcc4",
      "stroke-dasharray": "2 3" }, scale.svg);
    const seen = [];
    for (const line of lines) {
      const colour = data.colours[line.label], x = across(line);
      if (state.intervals) el("path", { d: band(x, line.low, line.high, scale), fill: colour, opacity: 0.15 }, scale.svg);
      if (state.runs) for (const run of line.runs)
        el("path", { d: path(x.map((v, i) => [v, run.value[i]]), scale), fill: "none", stroke: colour, opacity: 0.4 }, scale.svg);
      el("path", { d: path(x.map((v, i) => [v, line.value[i]]), scale), fill: "none", stroke: colour, "stroke-width": 2 }, scale.svg);
      seen.push({ label: line.label, xs: x, ys: line.value, low: line.low, high: line.high });
    }
    for (const line of theirs) {
      const points = line.published.steps.map((v, i) => [v, line.published.value[i]]).filter((p) => p[0] <= limit);
      const next = line.published.steps.findIndex((v) => v > limit);
      if (next > 0) {
        const [a, b] = [next - 1, next], p = line.published;
        points.push([limit, p.value[a] + ((p.value[b] - p.value[a]) * (limit - p.steps[a])) / (p.steps[b] - p.steps[a])]);
      }
      el("path", { d: path(points, scale), fill: "none", stroke: data.colours[line.label], "stroke-dasharray": "5 4",
        "stroke-width": 1.3 }, scale.svg);
      seen.push({ label: line.label, xs: points.map((p) => p[0]), ys: points.map((p) => p[1]), note: ", published" });
    }
    crosshair(scale, seen, (v) => (state.hours ? `${short(v)} h` : `${short(v)} env steps`));
  }
}

function drawAggregates() {
  const host = document.getElementById("aggregates");
  host.replaceChildren();
  const labels = data.labels.filter((label) => !state.off.has(label));
  for (const name of data.statistics) {
    const cell = document.createElement("div");
    cell.innerHTML = `<h3>${safe(name)}</h3>`;
    host.appendChild(cell);
    const rows = labels.map((label) => ({ label, ...data.aggregates[label][name] }));
    const every = rows.flatMap((row) => [row.value, row.low, row.high]).filter((v) => v !== null);
    if (!every.length) continue;
    let [low, high] = [Math.min(...every), Math.max(...every)];
    const pad = (high - low) * 0.08 || 0.5;
    [low, high] = [low - pad, high + pad];
    const height = 26 * rows.length + 26, svg = el("svg", { viewBox: `0 0 280 ${height}` }, cell);
    const x = (v) => 8 + ((v - low) / (high - low)) * 264;
    for (const t of ticks(low, high, 4)) {
      el("line", { x1: x(t), x2: x(t), y1: 0, y2: height - 22, class: "axis" }, svg);
      text(svg, x(t), height - 8, short(t));
    }
    rows.forEach((row, i) => {
      const y = 26 * i + 5, colour = data.colours[row.label];
      if (row.low !== null)
        el("rect", { x: x(row.low), y, width: Math.max(x(row.high) - x(row.low), 1), height: 14, fill: colour, opacity: 0.35 }, svg);
      el("line", { x1: x(row.value), x2: x(row.value), y1: y - 2, y2: y + 16, stroke: colour, "stroke-width": 3 }, svg);
      const pad = el("rect", { x: 0, y: y - 5, width: 280, height: 24, fill: "transparent" }, svg);
      pad.addEventListener("pointermove", (event) =>
        show(event, `${dot(row.label)}${safe(row.label)}<br>${name}: <b>${short(row.value)}</b>${interval(row.low, row.high)}`));
      pad.addEventListener("pointerleave", hide);
    });
  }
}

function drawProfiles() {
  const host = document.getElementById("profiles");
  host.replaceChildren();
  const labels = data.labels.filter((label) => !state.off.has(label));
  if (!labels.length) return;
  const scale = frame(host, 560, 300, data.levels, [0, 1], `${data.metric} (score)`, "share of runs that score more");
  const seen = [];
  for (const label of labels) {
    const found = data.profiles[label], colour = data.colours[label];
    if (state.intervals) el("path", { d: band(data.levels, found.low, found.high, scale), fill: colour, opacity: 0.15 }, scale.svg);
    const points = data.levels.map((v, i) => [v, found.value[i]]);
    el("path", { d: path(points, scale), fill: "none", stroke: colour, "stroke-width": 2 }, scale.svg);
    seen.push({ label, xs: data.levels, ys: found.value, low: found.low, high: found.high });
  }
  crosshair(scale, seen, (v) => `score above ${short(v)}`);
}

function draw() { drawCurves(); drawAggregates(); drawProfiles(); }
function toggle(words, pressed, colour, act) {
  const button = document.createElement("button");
  button.innerHTML = (colour ? `<i style="background:${colour}"></i>` : "") + safe(words);
  button.setAttribute("aria-pressed", pressed);
  button.addEventListener("click", () => {
    const now = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", now);
    act(now);
    draw();
  });
  document.getElementById("bar").appendChild(button);
}
for (const label of Object.keys(data.colours))
  toggle(label, true, data.colours[label], (on) => (on ? state.off.delete(label) : state.off.add(label)));
const gap = document.createElement("span");
gap.className = "gap";
document.getElementById("bar").appendChild(gap);
toggle("intervals", state.intervals, null, (on) => { state.intervals = on; });
toggle("single runs", state.runs, null, (on) => { state.runs = on; });
if (data.tasks.some((task) => task.lines.some((line) => line.published)))
  toggle("published", state.published, null, (on) => { state.published = on; });
if (data.tasks.every((task) => task.lines.every((line) => line.hours.every((v) => v !== null))))
  toggle("hours instead of steps", state.hours, null, (on) => { state.hours = on; });
for (const head of document.querySelectorAll("table.sortable th")) {
  head.classList.add("sort");
  head.title = "sort";
  head.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0], place = head.cellIndex;
    const down = head.dataset.down !== "true";
    head.dataset.down = down;
    const value = (row) => { const t = row.cells[place].textContent; return t !== "" && !isNaN(t) ? +t : t; };
    const rows = [...body.rows].sort((a, b) => {
      const [p, q] = [value(a), value(b)];
      const order = typeof p === "number" && typeof q === "number" ? p - q : String(p).localeCompare(String(q));
      return down ? order : -order;
    });
    body.replaceChildren(...rows);
  });
}
draw();
