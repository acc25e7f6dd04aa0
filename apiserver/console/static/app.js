// The console: who signs in, what comes, what is shown. Nothing is drawn that nobody sees.

import { Chart } from "./charts.js";
import { style } from "./colours.js";
import { Events } from "./events.js";
import { Figures } from "./figures.js";
import { count, duration, element, rate } from "./format.js";
import { HeatMap } from "./heatmap.js";
import { Nodes, HEALTH, health } from "./nodes.js";
import { nodeCard, nodeTip, showTables, showTiles } from "./panels.js";
import { Session } from "./stream.js";

const at = (id) => document.getElementById(id);
const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PODS_SHOWN = 50;
const QUIET_MS_MAX = 5000;

let session = null;
let sees = { nodes: false, pods: false };
let figures = new Figures();
let heardMs = 0;
const nodes = new Nodes();
const map = new HeatMap(at("cells"), nodes);
const events = new Events(at("events"), at("events-note"));
let charts = [];

function makeCharts() {
  const of = (name, line, colour, isThin = false) => ({ name, line: figures.lines[line], colour, isThin });
  const time = (seconds) => duration(seconds).join(" ");
  charts = [
    new Chart(at("chart-requests"), [
      of("gets", "reads", "--one"), of("lists", "lists", "--four"), of("writes", "writes", "--three"),
    ], (value) => `${rate(value)}/s`),
    new Chart(at("chart-latency"), [
      of("get p99", "readP99", "--one"), of("p50", "readP50", "--one", true),
      of("write p99", "writeP99", "--three"), of("p50", "writeP50", "--three", true),
    ], time, { isLog: true, floor: 0.001 }),
    new Chart(at("chart-scheduler"), [
      of("bound /s", "bound", "--one"), of("waiting", "waiting", "--two"),
    ], (value) => count(value), { floor: 10 }),
    new Chart(at("chart-journal"), [
      of("lag", "lag", "--four"), of("sync", "sync", "--three"),
    ], time, { floor: 0.01 }),
  ];
}

function pill(text, kind) {
  at("state").textContent = text;
  at("state").className = `pill ${kind}`;
}

function show() {
  if (document.hidden || !figures.now) return;
  const now = figures.now;
  showTiles(at("tiles"), figures, sees);
  showTables({ partitions: at("partitions"), verbs: at("verbs"), levels: at("levels"), watches: at("watches"), controllers: at("controllers") }, figures);
  charts.forEach((chart) => chart.draw());
  const behind = now.partitions.filter((one) => !one.ready);
  if (behind.length) pill(`${behind.length} partitions not ready`, "bad");
  else pill("Ready", "good");
  at("alarms").textContent = now.alarms.map((one) => `${one.name}: ${one.text}`).join("  ·  ");
  at("where").textContent = `${location.host} · ${now.workers} worker${now.workers > 1 ? "s" : ""}`;
  const isPart = sees.nodes && !now.nodes.complete;
  at("fleet-note").textContent = sees.nodes
    ? `${count(nodes.count)}${isPart ? ", reading …" : ""}` : "you may not list nodes";
  if (events.isDirty) events.draw(now.now_ms);
  showLegend();
}

let legendOf = "";
function showLegend() {
  const counts = new Array(HEALTH.length).fill(0);
  if (map.mode === "health") {
    for (let slot = 0; slot < nodes.size; slot += 1) {
      if (nodes.isThere[slot]) counts[health(nodes.flags[slot])] += 1;
    }
  }
  const key = `${map.mode}${document.documentElement.dataset.theme}${counts}`;
  if (key === legendOf) return;
  legendOf = key;
  const swatch = (wide, paint) => {
    const canvas = element("canvas", "");
    [canvas.width, canvas.height] = [wide, 11];
    paint(canvas.getContext("2d"));
    return canvas;
  };
  const entry = (colour, text) => element("span", "key", swatch(11, (pen) => {
    pen.fillStyle = style(colour);
    pen.fillRect(0, 0, 11, 11);
  }), text);
  if (map.mode === "health") {
    const shown = HEALTH.map((name, place) => [name, place]).filter(([, place]) => counts[place] || !place);
    at("legend").replaceChildren(
      ...shown.map(([name, place]) => entry(map.palette.health[place], `${name} ${count(counts[place])}`)),
    );
    return;
  }
  const ramp = swatch(180, (pen) => {
    map.palette.ramp.forEach((colour, step) => {
      pen.fillStyle = style(colour);
      pen.fillRect((step * 180) / 256, 0, 1, 11);
    });
  });
  at("legend").replaceChildren(
    element("span", "key", "0%", ramp, "100%"), entry(map.palette.absent, "has none"),
    entry(map.palette.health[5], "not ready"), entry(map.palette.health[6], "unknown"),
  );
}

/** Takes a line of the stream. */
function take(line) {
  heardMs = performance.now();
  if (line.type === "hello") {
    sees = line.sees;
    nodes.clear();
    figures.bounds = line.bounds_s;
    at("who").textContent = line.user;
    at("where").title = line.version;
    signedIn();
  } else if (line.type === "cells") {
    nodes.take(line);
    map.update();
  } else if (line.type === "tick") {
    figures.take(line);
    show();
  }
}

function signedIn() {
  if (!at("shell").hidden) return;
  at("login").hidden = true;
  at("shell").hidden = false;
  map.resize();
  events.start(session, at("warnings").checked);
}

function signOut(reason = "") {
  session?.end();
  session = null;
  nodes.clear();
  figures = new Figures();
  makeCharts();
  at("node").hidden = true;
  at("shell").hidden = true;
  at("login").hidden = false;
  at("token").value = "";
  at("login-error").textContent = reason;
}

function signIn(token) {
  const mine = (session = new Session(token));
  mine.keep(
    () => mine.lines("/console/api/live", (line) => mine === session && take(line)),
    (error) => {
      if (mine !== session) return false;
      if (error.code === 401 || error.code === 403 || at("shell").hidden) {
        signOut(error.code === 401 ? "The server does not know this token." : error.message);
        return false;
      }
      console.warn(error);
      pill("Connecting …", "warn");
      return true;
    },
  );
}

async function pick(slot) {
  const card = at("node");
  card.hidden = slot < 0;
  at("tip").hidden = true;
  if (slot < 0) return;
  card.replaceChildren(element("p", "dim", nodes.names[slot]));
  const name = encodeURIComponent(nodes.names[slot]);
  const close = () => (card.hidden = true);
  try {
    const asked = [session.get(`/api/v1/nodes/${name}`)];
    const path = `/api/v1/pods?limit=${PODS_SHOWN}&fieldSelector=spec.nodeName%3D${name}`;
    if (sees.pods) asked.push(session.get(path, TABLE));
    card.replaceChildren(...nodeCard(...[...(await Promise.all(asked)), null].slice(0, 2), close));
  } catch (error) {
    card.replaceChildren(element("p", "error", error.message));
  }
}

map.onPick = pick;
map.onHover = (slot, x, y) => {
  const tip = at("tip");
  tip.hidden = slot < 0;
  if (slot < 0) return;
  tip.replaceChildren(...nodeTip(nodes, slot));
  const isRight = x > at("map").clientWidth - 260;
  const isLow = y > at("map").clientHeight - 110;
  tip.style.left = `${isRight ? x - tip.offsetWidth - 14 : x + 16}px`;
  tip.style.top = `${isLow ? y - tip.offsetHeight - 10 : y + 14}px`;
};

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  map.rethemed();
  legendOf = "";
  show();
}

at("theme").addEventListener("click", () => {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
});
at("leave").addEventListener("click", () => signOut());
at("fit").addEventListener("click", () => map.fit());
at("colour").addEventListener("change", (event) => {
  map.set({ mode: event.target.value });
  showLegend();
});
at("group").addEventListener("change", (event) => map.set({ grouping: event.target.value }));
at("find").addEventListener("input", (event) => map.set({ needle: event.target.value.trim() }));
at("warnings").addEventListener("change", (event) => session && events.start(session, event.target.checked));
at("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  at("login-error").textContent = "";
  signIn(at("token").value.trim());
});
document.addEventListener("visibilitychange", show);
setInterval(() => {
  if (session && !at("shell").hidden && performance.now() - heardMs > QUIET_MS_MAX) pill("No answer", "bad");
}, 1000);

const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));
makeCharts();
setTheme(dark.matches ? "dark" : "light");

// An address with a token in its fragment, which no server is ever sent: used once, and not kept.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (location.hash) history.replaceState(null, "", location.pathname);
if (given) signIn(given);
else at("login").hidden = false;

// For measurements and tests: what is drawn, and nothing of who looks.
globalThis.ultraplaneConsole = { map, nodes, take };
