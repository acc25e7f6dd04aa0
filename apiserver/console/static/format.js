// Numbers for people, and nodes of the page made without markup from data.

/** A count, with thousands apart, or short where it is large. */
export function count(value) {
  if (value >= 1e7) return `${(value / 1e6).toFixed(1)}M`;
  return Math.round(value).toLocaleString("en-US");
}

/** A rate a second. */
export function rate(value) {
  if (value >= 100 || value === 0) return count(value);
  return value.toFixed(value >= 10 ? 0 : 1);
}

/** A number of bytes. */
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  while (value >= 1024 && place < units.length - 1) {
    value /= 1024;
    place += 1;
  }
  return `${value.toFixed(place && value < 100 ? 1 : 0)} ${units[place]}`;
}

/** Seconds, in the unit that suits; [figure, unit]. */
export function duration(seconds) {
  if (seconds === null || Number.isNaN(seconds)) return ["–", ""];
  if (seconds === 0) return ["0", "ms"];
  if (seconds < 0.001) return [(seconds * 1e6).toFixed(0), "µs"];
  if (seconds < 0.01) return [(seconds * 1e3).toFixed(1), "ms"];
  if (seconds < 1) return [(seconds * 1e3).toFixed(0), "ms"];
  if (seconds < 120) return [seconds.toFixed(1), "s"];
  return [(seconds / 60).toFixed(0), "min"];
}

/** How long ago a time (ms) was. */
export function age(nowMs, thenMs) {
  if (!thenMs) return "–";
  const seconds = Math.max(0, (nowMs - thenMs) / 1000);
  if (seconds < 60) return `${seconds.toFixed(0)} s`;
  if (seconds < 3600) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 86400) return `${(seconds / 3600).toFixed(0)} h`;
  return `${(seconds / 86400).toFixed(0)} d`;
}

/** An element with a class and children: texts, elements, or nothing. */
export function element(name, kind, ...children) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A table's head and rows in the place of what it has. A cell is a text, an element, or
 *  {text, kind}; a column's head {text, kind} gives its cells their class. */
export function fill(table, heads, rows) {
  const cell = (tag, content, kind) => {
    const plain = content instanceof Node || typeof content !== "object";
    const classes = [kind, plain ? "" : content.kind].filter(Boolean).join(" ");
    return element(tag, classes, plain ? content : content.text);
  };
  const kinds = heads.map((head) => (typeof head === "object" ? head.kind : ""));
  const head = element("thead", "", element("tr", "", ...heads.map((one) => cell("th", one))));
  const body = element("tbody", "");
  for (const row of rows) {
    body.append(element("tr", "", ...row.map((one, place) => cell("td", one, kinds[place]))));
  }
  table.replaceChildren(head, body);
}

/** A column of numbers. */
export const number = (text) => ({ text, kind: "number" });
