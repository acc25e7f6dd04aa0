// The map of nodes. A picture with one pixel for a node is kept up to date pixel by pixel; a frame
// draws that picture once, as large as the view wants it. So a frame costs the same for a hundred
// nodes and for a hundred thousand, and a change costs its pixel. Where cells are large, lines of
// the ground are drawn between them.

import { colours } from "./colours.js";
import { layOut } from "./layout.js";
import { HEALTH, health } from "./nodes.js";

const HEAD = 20; // of a block's heading, in pixels
const GAPS_FROM = 5; // pixels of a cell from which on there are gaps between them
const ZOOM_MAX = 60; // pixels of a cell
const RELAY_MS = 400;
const { compare } = new Intl.Collator("en", { numeric: true });
const byName = (a, b) => compare(a.name, b.name);

export class HeatMap {
  /** canvas: to draw on. nodes: what to draw. */
  constructor(canvas, nodes) {
    this.canvas = canvas;
    this.nodes = nodes;
    this.mode = "health";
    this.grouping = "zone";
    this.needle = "";
    this.hovered = -1;
    this.frames = 0;
    this.picture = new OffscreenCanvas(1, 1);
    this.layout = { cell: 1, columns: 1, rows: 1, blocks: [] };
    this.view = { x: 0, y: 0, scale: 1 };
    this.isFitted = true;
    this.#setTheme();
    this.#listen();
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  #setTheme() {
    const isDark = document.documentElement.dataset.theme === "dark";
    this.palette = colours(isDark);
    const computed = getComputedStyle(document.documentElement);
    this.ground = computed.getPropertyValue("--well").trim();
    this.text = computed.getPropertyValue("--dim").trim();
    this.accent = computed.getPropertyValue("--text").trim();
  }

  /** Draws with the page's present theme. */
  rethemed() {
    this.#setTheme();
    this.repaint();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    this.ratio = ratio;
    this.relay();
  }

  /** Sets what cells show, how they are grouped, or which names stand out. */
  set(what) {
    const before = this.grouping;
    Object.assign(this, what);
    if (this.grouping !== before) this.relay();
    else this.repaint();
  }

  /** Draws what has changed; blocks are laid out anew now and then at most. */
  update() {
    const nodes = this.nodes;
    if (nodes.isMoved) {
      nodes.isMoved = false;
      if (!this.relayTimer) {
        this.relayTimer = setTimeout(() => {
          this.relayTimer = 0;
          this.relay();
        }, RELAY_MS);
      }
    }
    if (!nodes.changed.length) return;
    for (const slot of nodes.changed) {
      const at = this.places?.[slot] ?? -1;
      if (at >= 0) this.pixels[at] = this.#colour(slot);
    }
    nodes.changed = [];
    this.isStale = true;
    this.#draw();
  }

  #groups() {
    const { nodes, grouping } = this;
    const groups = new Map();
    for (let slot = 0; slot < nodes.size; slot += 1) {
      if (!nodes.isThere[slot]) continue;
      let key = 0;
      if (grouping === "zone") key = nodes.zone[slot];
      else if (grouping === "health") key = health(nodes.flags[slot]);
      let group = groups.get(key);
      if (!group) {
        let name = "All nodes";
        if (grouping === "zone") name = nodes.zones[key] || "no zone";
        else if (grouping === "health") name = HEALTH[key];
        groups.set(key, (group = { name, key, slots: [] }));
      }
      group.slots.push(slot);
    }
    const order = grouping === "zone" ? byName : (a, b) => a.key - b.key;
    return [...groups.values()].sort(order);
  }

  /** Lays all out anew. */
  relay() {
    const { width, height } = this.canvas;
    const margin = 10 * this.ratio;
    const space = [width - 2 * margin, height - 2 * margin];
    this.layout = layOut(this.#groups(), ...space, HEAD * this.ratio);
    const { columns, rows, blocks } = this.layout;
    this.picture = new OffscreenCanvas(columns, rows);
    this.brush = this.picture.getContext("2d", { willReadFrequently: false });
    this.image = new ImageData(columns, rows);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.places = new Int32Array(this.nodes.size).fill(-1);
    this.slots = new Int32Array(columns * rows).fill(-1);
    for (const block of blocks) {
      block.slots.forEach((slot, number) => {
        const x = block.x + (number % block.width);
        const at = (block.y + Math.floor(number / block.width)) * columns + x;
        this.places[slot] = at;
        this.slots[at] = slot;
      });
    }
    if (this.isFitted) this.fit();
    this.repaint();
  }

  /** Shows all. */
  fit() {
    const { cell, blocks } = this.layout;
    const wide = Math.max(0, ...blocks.map((block) => block.x + block.width)) * cell;
    const deep = Math.max(0, ...blocks.map((block) => block.y + block.height)) * cell;
    this.view = {
      x: (this.canvas.width - wide) / 2,
      y: Math.max(10 * this.ratio, (this.canvas.height - deep) / 2),
      scale: cell,
    };
    this.isFitted = true;
    this.#draw();
  }

  /** Paints every pixel anew. */
  repaint() {
    if (!this.pixels) return;
    this.pixels.fill(0);
    for (let slot = 0; slot < this.places.length; slot += 1) {
      if (this.places[slot] >= 0) this.pixels[this.places[slot]] = this.#colour(slot);
    }
    this.isStale = true;
    this.#draw();
  }

  #colour(slot) {
    const { nodes, palette, needle } = this;
    const isDim = needle !== "" && !nodes.names[slot].includes(needle);
    const state = health(nodes.flags[slot]);
    if (this.mode === "health" || state >= 5) {
      return (isDim ? palette.healthDim : palette.health)[state];
    }
    const field = this.mode === "pods" ? "podsShare" : this.mode;
    const share = nodes[field][slot];
    if (share < 0) return isDim ? palette.absentDim : palette.absent;
    const step = Math.min(255, Math.round((share * 255) / 1000));
    return (isDim ? palette.rampDim : palette.ramp)[step];
  }

  #draw() {
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => {
      this.isAsked = false;
      this.draw();
    });
  }

  /** Draws a frame. */
  draw() {
    const { canvas, view, layout } = this;
    const pen = canvas.getContext("2d", { alpha: false });
    if (this.isStale && this.image) {
      this.brush.putImageData(this.image, 0, 0);
      this.isStale = false;
    }
    pen.fillStyle = this.ground;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(
      this.picture, view.x, view.y, layout.columns * view.scale, layout.rows * view.scale,
    );
    if (view.scale >= GAPS_FROM * this.ratio) this.#drawGaps(pen);
    this.#drawHeads(pen);
    this.#drawHovered(pen);
    this.frames += 1;
  }

  #drawGaps(pen) {
    const { canvas, view, layout } = this;
    const gap = Math.max(1, Math.min(4 * this.ratio, Math.round(view.scale * 0.12)));
    pen.fillStyle = this.ground;
    const first = Math.max(0, Math.floor(-view.x / view.scale));
    const last = Math.min(layout.columns, Math.ceil((canvas.width - view.x) / view.scale));
    for (let column = first; column <= last; column += 1) {
      pen.fillRect(Math.round(view.x + column * view.scale - gap / 2), 0, gap, canvas.height);
    }
    const top = Math.max(0, Math.floor(-view.y / view.scale));
    const bottom = Math.min(layout.rows, Math.ceil((canvas.height - view.y) / view.scale));
    for (let row = top; row <= bottom; row += 1) {
      pen.fillRect(0, Math.round(view.y + row * view.scale - gap / 2), canvas.width, gap);
    }
  }

  #drawHeads(pen) {
    const { view, ratio, canvas } = this;
    pen.font = `600 ${11 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
    pen.textBaseline = "bottom";
    pen.fillStyle = this.text;
    for (const block of this.layout.blocks) {
      const x = view.x + block.x * view.scale;
      const y = view.y + block.y * view.scale - 4 * ratio;
      const wide = block.width * view.scale;
      if (x > canvas.width || x + wide < 0 || y < 0 || y > canvas.height + 40) continue;
      const text = `${block.name}  ${block.slots.length.toLocaleString("en-US")}`;
      const left = Math.max(x, 4 * ratio);
      if (pen.measureText(text).width <= wide + 8) pen.fillText(text, left, y);
      else if (pen.measureText(block.name).width <= wide + 8) pen.fillText(block.name, left, y);
    }
  }

  #drawHovered(pen) {
    const at = this.hovered >= 0 ? (this.places?.[this.hovered] ?? -1) : -1;
    if (at < 0) return;
    const { view, layout, ratio } = this;
    const x = view.x + (at % layout.columns) * view.scale;
    const y = view.y + Math.floor(at / layout.columns) * view.scale;
    pen.strokeStyle = this.accent;
    pen.lineWidth = 2 * ratio;
    pen.strokeRect(x - ratio, y - ratio, view.scale + 2 * ratio, view.scale + 2 * ratio);
  }

  /** The node at a place of the canvas (in pixels of the page), -1 for none. */
  find(pageX, pageY) {
    const { view, layout, ratio } = this;
    const column = Math.floor((pageX * ratio - view.x) / view.scale);
    const row = Math.floor((pageY * ratio - view.y) / view.scale);
    if (column < 0 || row < 0 || column >= layout.columns || row >= layout.rows) return -1;
    return this.slots?.[row * layout.columns + column] ?? -1;
  }

  /** Zooms by a factor around a place of the canvas. */
  zoom(factor, pageX, pageY) {
    const { view, layout, ratio } = this;
    const least = layout.cell * 0.9;
    const most = Math.max(least, ZOOM_MAX * ratio);
    const scale = Math.min(most, Math.max(least, view.scale * factor));
    const [x, y] = [pageX * ratio, pageY * ratio];
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    this.isFitted = false;
    this.#draw();
  }

  /** Moves the view. */
  pan(byX, byY) {
    this.view.x += byX * this.ratio;
    this.view.y += byY * this.ratio;
    this.isFitted = false;
    this.#draw();
  }

  /** Marks a node. */
  hover(slot) {
    if (slot === this.hovered) return;
    this.hovered = slot;
    this.#draw();
  }

  #listen() {
    const { canvas } = this;
    let from = null;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      from = { x: event.clientX, y: event.clientY, isDrag: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from) {
        const [byX, byY] = [event.clientX - from.x, event.clientY - from.y];
        if (!from.isDrag && Math.hypot(byX, byY) < 4) return;
        from = { x: event.clientX, y: event.clientY, isDrag: true };
        canvas.classList.add("moves");
        this.pan(byX, byY);
        return;
      }
      this.hover(this.find(event.offsetX, event.offsetY));
      this.onHover?.(this.hovered, event.offsetX, event.offsetY);
    });
    canvas.addEventListener("pointerup", (event) => {
      canvas.classList.remove("moves");
      if (from && !from.isDrag) this.onPick?.(this.find(event.offsetX, event.offsetY));
      from = null;
    });
    canvas.addEventListener("pointerleave", () => {
      this.hover(-1);
      this.onHover?.(-1, 0, 0);
    });
    canvas.addEventListener("dblclick", () => this.fit());
  }
}
