// All nodes in flat arrays, by the slots that the server gives them.

export const CORDONED = 4;
export const TAINTED = 8;
export const PRESSED = 16;
export const LEAVING = 32;

export const HEALTH = ["Ready", "Tainted", "Cordoned", "Pressure", "Leaving", "Not ready", "Unknown"];

/** What matters most of a node's flags: a place in HEALTH. */
export function health(flags) {
  if ((flags & 3) === 2) return 6;
  if ((flags & 3) === 1) return 5;
  if (flags & LEAVING) return 4;
  if (flags & PRESSED) return 3;
  if (flags & CORDONED) return 2;
  if (flags & TAINTED) return 1;
  return 0;
}

const FIELDS = ["cpu", "memory", "devices", "podsShare", "pods"];

export class Nodes {
  constructor() {
    this.clear();
  }

  clear() {
    this.names = [];
    this.zones = [];
    this.count = 0;
    this.size = 0;
    this.isThere = new Uint8Array(0);
    this.zone = new Int32Array(0);
    this.flags = new Uint8Array(0);
    for (const field of FIELDS) this[field] = new Int32Array(0);
    this.changed = []; // slots whose colour may be another
    this.isMoved = true; // whether nodes have come, gone, or changed their group
  }

  /** Takes a line of the stream. */
  take(line) {
    if (line.zones) this.zones.push(...line.zones);
    for (const slot of line.gone ?? []) {
      if (this.isThere[slot]) this.count -= 1;
      this.isThere[slot] = 0;
      this.isMoved = true;
    }
    for (const [slot, name, zone, flags, ...uses] of line.rows ?? []) {
      this.#grow(slot + 1);
      if (!this.isThere[slot]) this.count += 1;
      const isOther = !this.isThere[slot] || this.zone[slot] !== zone || this.names[slot] !== name;
      this.isMoved ||= isOther || health(this.flags[slot]) !== health(flags);
      this.isThere[slot] = 1;
      this.names[slot] = name;
      this.zone[slot] = zone;
      this.flags[slot] = flags;
      this.#use(slot, uses);
    }
    for (const [slot, ...uses] of line.uses ?? []) if (slot < this.size) this.#use(slot, uses);
  }

  #use(slot, uses) {
    FIELDS.forEach((field, place) => (this[field][slot] = uses[place]));
    this.changed.push(slot);
  }

  #grow(size) {
    this.size = Math.max(this.size, size);
    if (size <= this.isThere.length) return;
    const room = Math.max(1024, size * 2);
    for (const field of ["isThere", "zone", "flags", ...FIELDS]) {
      const larger = new this[field].constructor(room);
      larger.set(this[field]);
      this[field] = larger;
    }
  }
}
