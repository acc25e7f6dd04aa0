// Events of the cluster: what there is of late, then what happens, by an ordinary watch.

import { age, element, fill } from "./format.js";

const KEPT_MAX = 200;
const SHOWN_MAX = 60;
const FIRST = 250;

export class Events {
  #session;
  #kept = new Map();
  #stop = null;

  constructor(table, note) {
    this.table = table;
    this.note = note;
    this.isDirty = false;
  }

  /** Begins anew, with warnings alone or all. */
  start(session, isWarnings) {
    this.#stop?.abort();
    const stop = (this.#stop = new AbortController());
    this.#session = session;
    this.#kept.clear();
    this.isDirty = true;
    this.note.textContent = "";
    const selector = isWarnings ? "&fieldSelector=type%3DWarning" : "";
    session.keep(
      () => (stop.signal.aborted ? null : this.#follow(selector, stop.signal)),
      (error) => {
        if (stop.signal.aborted) return false;
        this.note.textContent = error.code === 403 ? "you may not list events" : error.message;
        return error.code !== 403;
      },
    );
  }

  async #follow(selector, signal) {
    const list = await this.#session.get(`/api/v1/events?limit=${FIRST}${selector}`);
    this.note.textContent = "";
    list.items.forEach((event) => this.#put(event));
    const from = encodeURIComponent(list.metadata.resourceVersion);
    const path = `/api/v1/events?watch=true&resourceVersion=${from}${selector}`;
    await this.#session.lines(path, ({ type, object }) => {
      if (type === "ADDED" || type === "MODIFIED") this.#put(object);
    }, signal);
  }

  #put(event) {
    const at = event.series?.lastObservedTime || event.lastTimestamp || event.eventTime
      || event.metadata.creationTimestamp;
    this.#kept.delete(event.metadata.uid);
    this.#kept.set(event.metadata.uid, { event, at: Date.parse(at) || 0 });
    if (this.#kept.size > KEPT_MAX * 2) {
      const newest = [...this.#kept].sort((a, b) => b[1].at - a[1].at).slice(0, KEPT_MAX);
      this.#kept = new Map(newest);
    }
    this.isDirty = true;
  }

  /** Shows what has come since. */
  draw(nowMs) {
    const newest = [...this.#kept.values()].sort((a, b) => b.at - a.at).slice(0, SHOWN_MAX);
    const rows = newest.map(({ event, at }) => {
      const about = event.involvedObject ?? {};
      const count = event.series?.count ?? event.count ?? 1;
      const name = about.namespace ? `${about.namespace}/${about.name}` : about.name;
      return [
        age(nowMs, at),
        { text: event.type, kind: event.type === "Warning" ? "warn" : "" },
        event.reason ?? "",
        element("span", "", element("span", "dim", `${about.kind ?? ""} `), name ?? ""),
        { text: `${event.message ?? ""}${count > 1 ? ` (${count} times)` : ""}`, kind: "long" },
      ];
    });
    fill(this.table, ["Ago", "Type", "Reason", "About", "Message"], rows);
    this.isDirty = false;
  }
}
