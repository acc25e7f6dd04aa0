// What the server counts, as rates, quantiles and time lines.

const SAMPLES = 300;
const WINDOW = 10; // samples that a latency is taken over

const READS = ["GET"];
const LISTS = ["LIST"];
const WRITES = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];

/** A quantile of counts by bucket, straight within a bucket; null of nothing. The last bucket has no
 *  end: its beginning stands for it. */
export function quantile(bounds, counts, part) {
  const total = counts.reduce((sum, one) => sum + one, 0);
  if (!total) return null;
  let left = part * total;
  for (let place = 0; place < counts.length; place += 1) {
    if (left <= counts[place] && counts[place] > 0) {
      const low = place ? bounds[place - 1] : 0;
      const high = place < bounds.length ? bounds[place] : low;
      return low + ((high - low) * left) / counts[place];
    }
    left -= counts[place];
  }
  return bounds[bounds.length - 1];
}

/** A line of the last samples; what is not known is NaN. */
export class Line {
  constructor() {
    this.values = new Float64Array(SAMPLES).fill(NaN);
    this.known = 0;
  }

  push(value) {
    this.values.copyWithin(0, 1);
    this.values[SAMPLES - 1] = value ?? NaN;
    this.known = Math.min(SAMPLES, this.known + 1);
  }

  get last() {
    return this.values[SAMPLES - 1];
  }
}

const NAMES = [
  ...["reads", "lists", "writes", "readP50", "readP99", "writeP50", "writeP99"],
  ...["bound", "decided", "waiting", "waitP99", "commits", "lag", "sync", "p99"],
];

/** Ticks of the server, and what follows from two or more of them. */
export class Figures {
  constructor() {
    this.bounds = [];
    this.ticks = [];
    this.lines = Object.fromEntries(NAMES.map((name) => [name, new Line()]));
  }

  get now() {
    return this.ticks[this.ticks.length - 1];
  }

  /** Takes a tick; one of a server that has begun anew is the first of its kind. */
  take(tick) {
    const before = this.now;
    if (before && total(tick) < total(before)) this.ticks = [];
    this.ticks.push(tick);
    if (this.ticks.length > WINDOW + 1) this.ticks.shift();
    const lines = this.lines;
    for (const [name, verbs] of [["reads", READS], ["lists", LISTS], ["writes", WRITES]]) {
      lines[name].push(this.requestRate(verbs));
    }
    for (const [name, verbs] of [["read", READS], ["write", WRITES]]) {
      lines[`${name}P50`].push(this.latency(verbs, 0.5));
      lines[`${name}P99`].push(this.latency(verbs, 0.99));
    }
    lines.p99.push(this.latency([...READS, ...WRITES], 0.99));
    const scheduler = tick.scheduler;
    lines.bound.push(scheduler ? this.rate((one) => one.scheduler?.bound) : null);
    lines.decided.push(scheduler ? this.rate((one) => one.scheduler?.decided) : null);
    lines.waiting.push(scheduler ? queued(scheduler) : null);
    lines.waitP99.push(scheduler ? this.schedulerWait(0.99) : null);
    lines.commits.push(this.rate((one) => journal(one, "appends")));
    lines.lag.push(Math.max(0, ...tick.partitions.map((one) => one.lag_s)));
    const syncs = this.change((one) => journal(one, "syncs"));
    const seconds = this.change((one) => journal(one, "syncSeconds"));
    lines.sync.push(syncs ? seconds / syncs : null);
  }

  /** How much a counter has grown since the oldest tick that is looked at. */
  change(of) {
    if (this.ticks.length < 2) return 0;
    return Math.max(0, (of(this.now) ?? 0) - (of(this.ticks[0]) ?? 0));
  }

  /** The rate of a counter between the last two ticks that differ in time. */
  rate(of) {
    if (this.ticks.length < 2) return 0;
    const before = this.ticks[Math.max(0, this.ticks.length - 3)];
    const seconds = this.now.at_s - before.at_s;
    const [now, then] = [of(this.now), of(before)];
    if (!(seconds > 0) || now === undefined || then === undefined) return 0;
    return Math.max(0, now - then) / seconds;
  }

  requestRate(verbs, place = 0) {
    return this.rate((tick) => sum(verbs.map((verb) => tick.requests[verb]?.[place] ?? 0)));
  }

  latency(verbs, part) {
    const counts = this.bounds.map(() => 0).concat(0);
    if (this.ticks.length < 2) return null;
    for (const verb of verbs) {
      const now = this.now.requests[verb]?.[4];
      const then = this.ticks[0].requests[verb]?.[4];
      if (now) now.forEach((value, at) => (counts[at] += value - (then?.[at] ?? 0)));
    }
    return quantile(this.bounds, counts, part);
  }

  schedulerWait(part) {
    const [now, then] = [this.now.scheduler, this.ticks[0].scheduler];
    if (!now?.waits || !then?.waits) return null;
    return quantile(now.bounds_s, now.waits.map((value, at) => Math.max(0, value - then.waits[at])), part);
  }

  get verbs() {
    return Object.keys(this.now?.requests ?? {}).sort();
  }
}

/** How many pods wait in the scheduler's queues that may get a node. */
export function queued(scheduler) {
  const queue = scheduler.queue ?? {};
  return (queue.active ?? 0) + (queue.backoff ?? 0) + (queue.unschedulable ?? 0);
}

function journal(tick, key) {
  return sum(Object.values(tick.journal).map((stream) => stream[key] ?? 0));
}

function total(tick) {
  return sum(Object.values(tick.requests).map((one) => one[0]));
}

function sum(values) {
  return values.reduce((whole, one) => whole + one, 0);
}

export { READS, WRITES };
