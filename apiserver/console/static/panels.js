// Tiles, tables and the card of a node: figures put into the page.

import { queued, READS, WRITES } from "./figures.js";
import { age, bytes, count, duration, element, fill, number, rate } from "./format.js";
import { health, HEALTH } from "./nodes.js";

const LAG_S_WARN = 1;

function tile(name, figure, unit, more, kind = "") {
  return element(
    "div", `tile ${kind}`,
    element("div", "name", name),
    element("div", "figure", figure, unit ? element("small", "", unit) : null),
    element("div", "more", more),
  );
}

/** The row of tiles. */
export function showTiles(place, figures, sees) {
  const { now, lines } = figures;
  const [p99, p99Unit] = duration(lines.p99.last);
  const [p50, p50Unit] = duration(figures.latency([...READS, ...WRITES], 0.5));
  const lagS = lines.lag.last;
  const lag = Math.max(0, ...now.partitions.map((one) => one.lag));
  const watches = Object.values(now.watches).reduce((sum, one) => sum + one, 0);
  const requests = lines.reads.last + lines.lists.last + lines.writes.last;
  const throttled = figures.requestRate(figures.verbs, 1);
  const failed = figures.requestRate(figures.verbs, 2);
  const troubles = [];
  if (throttled) troubles.push(`${rate(throttled)} throttled`);
  if (failed) troubles.push(`${rate(failed)} failed`);
  place.replaceChildren(
    nodesTile(now, sees),
    podsTile(now, sees),
    tile("Requests", rate(requests), "/s", troubles.join(", ") || `${rate(lines.writes.last)}/s writes`,
      failed ? "warn" : ""),
    tile("Latency p99", p99, p99Unit, `p50 ${p50} ${p50Unit}`, lines.p99.last > 1 ? "warn" : ""),
    tile("Replica lag", ...duration(lagS), `${count(lag)} records`, lagS > LAG_S_WARN ? "bad" : ""),
    tile("Watches", count(watches), "", `${rate(figures.rate((one) => one.watchEvents))} events/s`),
    schedulerTile(figures),
    objectsTile(now),
  );
}

function nodesTile(now, sees) {
  const nodes = now.nodes;
  if (!sees.nodes) return tile("Nodes", "–", "", "you may not list them");
  const troubles = [nodes.complete ? `of ${count(nodes.total)}` : "reading …"];
  if (nodes.notReady) troubles.push(`${count(nodes.notReady)} not ready`);
  if (nodes.unknown) troubles.push(`${count(nodes.unknown)} unknown`);
  if (nodes.cordoned) troubles.push(`${count(nodes.cordoned)} cordoned`);
  const kind = nodes.notReady || nodes.unknown ? "warn" : "";
  return tile("Nodes ready", count(nodes.ready), "", troubles.join(", "), kind);
}

function podsTile(now, sees) {
  const pods = now.pods;
  if (!sees.pods) return tile("Pods", "–", "", "you may not list them");
  const more = [pods.complete ? `of ${count(pods.total)}` : "reading …"];
  if (pods.unbound) more.push(`${count(pods.unbound)} unplaced`);
  const starting = (pods.Pending ?? 0) - pods.unbound;
  if (starting > 0) more.push(`${count(starting)} starting`);
  if (pods.Failed) more.push(`${count(pods.Failed)} failed`);
  return tile("Pods running", count(pods.Running ?? 0), "", more.join(", "));
}

function schedulerTile(figures) {
  const told = figures.now.scheduler;
  if (!told?.queue) return tile("Scheduler", "–", "", "not beside this server");
  const queue = told.queue;
  const more = `${count(queued(told))} wait`
    + (queue.unschedulable ? `, ${count(queue.unschedulable)} fit nowhere` : "")
    + (queue.gated ? `, ${count(queue.gated)} gated` : "");
  return tile("Scheduled", rate(figures.lines.bound.last), "pods/s", more);
}

function objectsTile(now) {
  const objects = now.partitions.reduce((sum, one) => sum + one.objects, 0);
  const size = now.partitions.reduce((sum, one) => sum + one.bytes, 0);
  const log = Object.values(now.journal).reduce((sum, one) => sum + (one.retainedBytes ?? 0), 0);
  return tile("Objects", count(objects), "", `${bytes(size)}, log ${bytes(log)}`);
}

/** All tables but that of events. */
export function showTables(places, figures) {
  const { now } = figures;
  fill(
    places.partitions,
    ["Partition", "State", number("Revision"), number("Objects"), number("Size"), number("Lag"), number("Watches"),
      number("Saved")],
    now.partitions.map((one) => [
      one.name,
      one.ready ? { text: "ready", kind: "good" } : { text: one.failure || "behind", kind: "bad" },
      one.revision.toLocaleString("en-US"), count(one.objects), bytes(one.bytes), count(one.lag), count(one.watchers),
      age(now.now_ms, one.checkpoint_at_ms),
    ]),
  );
  fill(
    places.verbs,
    ["Verb", number("Per s"), number("p50"), number("p99"), number("429/s"), number("5xx/s"), number("All")],
    figures.verbs.map((verb) => [
      verb, rate(figures.requestRate([verb])),
      duration(figures.latency([verb], 0.5)).join(" "), duration(figures.latency([verb], 0.99)).join(" "),
      rate(figures.requestRate([verb], 1)), rate(figures.requestRate([verb], 2)),
      count(now.requests[verb][0]),
    ]),
  );
  fill(
    places.levels,
    ["Level", "Seats", number("Of"), number("Wait"), number("429/s"), number("Per s")],
    Object.entries(now.levels).sort().map(([name, level]) => [
      name, seats(level), name === "exempt" ? "no limit" : count(level.current), count(level.waiting),
      rate(figures.rate((tick) => tick.levels[name]?.rejected)),
      rate(figures.rate((tick) => tick.levels[name]?.dispatched)),
    ]),
  );
  showControllers(places.controllers, figures);
  fill(
    places.watches, [{ text: "Type", kind: "name" }, number("Open")],
    Object.entries(now.watches).map(([name, open]) => [name, count(open)]),
  );
}

/** What controllers have to do: the busiest first. */
function showControllers(table, figures) {
  const told = figures.now.controllers;
  if (!told) {
    fill(table, ["They do not run beside this server"], []);
    return;
  }
  const rows = Object.entries(told).map(([name, one]) => ({
    name, ...one,
    perS: figures.rate((tick) => tick.controllers?.[name]?.worked),
    failedPerS: figures.rate((tick) => tick.controllers?.[name]?.failed),
  }));
  rows.sort((a, b) => b.waiting - a.waiting || b.perS - a.perS || b.worked - a.worked);
  fill(
    table, [{ text: "Queue", kind: "name" }, number("Wait"), number("Per s"), number("Failed/s")],
    rows.map((one) => [
      one.name, count(one.waiting), rate(one.perS),
      { text: rate(one.failedPerS), kind: one.failedPerS ? "warn" : "" },
    ]),
  );
}

function seats(level) {
  const bar = element("meter", "");
  bar.max = Math.max(level.current, level.seats, 1);
  bar.high = bar.max * 0.9;
  bar.value = level.seats;
  return element("span", "", bar, ` ${level.seats}`);
}

/** What stands under the pointer. */
export function nodeTip(nodes, slot) {
  const share = (field) => (nodes[field][slot] < 0 ? "–" : `${(nodes[field][slot] / 10).toFixed(0)}%`);
  const devices = nodes.devices[slot] < 0 ? "" : `, devices ${share("devices")}`;
  return [
    element("b", "", nodes.names[slot]),
    element("div", "dim", `${nodes.zones[nodes.zone[slot]] || "no zone"} · ${HEALTH[health(nodes.flags[slot])]}`),
    element("div", "", `CPU ${share("cpu")}, memory ${share("memory")}${devices}`),
    element("div", "", `${count(nodes.pods[slot])} pods (${share("podsShare")})`),
  ];
}

/** The card of a node, from the node itself and its pods as a Table. */
export function nodeCard(node, pods, close) {
  const { metadata, spec, status } = node;
  const pairs = (entries) => {
    const table = element("table", "");
    for (const [name, value, kind] of entries) {
      table.append(element("tr", "", element("td", "dim", name), element("td", kind ?? "", value)));
    }
    return table;
  };
  const part = (title, content) => [element("h4", "", title), content];
  const free = Object.entries(status.allocatable ?? {});
  const conditions = (status.conditions ?? []).map((one) => {
    const isWell = (one.type === "Ready") === (one.status === "True");
    return [one.type, `${one.status}${one.reason ? ` · ${one.reason}` : ""}`, isWell ? "good" : "bad"];
  });
  const taints = (spec.taints ?? []).map((one) => [one.effect, `${one.key}${one.value ? `=${one.value}` : ""}`]);
  const labels = Object.entries(metadata.labels ?? {}).sort();
  const button = element("button", "close quiet", "✕");
  button.addEventListener("click", close);
  const rows = pods?.rows ?? [];
  const names = pods?.columnDefinitions?.map((one) => one.name) ?? [];
  const at = (row, name) => String(row.cells[names.indexOf(name)] ?? "");
  const shown = rows.map((row) => [at(row, "Name"), at(row, "Status")]);
  const more = pods?.metadata?.remainingItemCount ?? 0;
  return [
    button,
    element("h3", "", metadata.name),
    element("div", "dim", [status.nodeInfo?.kubeletVersion, status.nodeInfo?.osImage].filter(Boolean).join(" · ")),
    ...part("Conditions", pairs(conditions)),
    ...(taints.length ? part("Taints", pairs(taints)) : []),
    ...part("Allocatable", pairs(free)),
    ...(pods ? part(`Pods (${count(rows.length + more)})`, pairs(shown)) : []),
    ...part("Labels", pairs(labels)),
  ];
}
