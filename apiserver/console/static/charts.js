// Time lines on a canvas: up to the last five minutes, a few lines each, values under the pointer.

const SHOWN_MIN = 60; // samples
const PAD = { left: 50, right: 6, top: 18, bottom: 4 };

/** A chart of lines: [{name, line, colour, isThin}], where `show` words a value and `colour` is the
 *  name of a variable of the page's style. */
export class Chart {
  constructor(canvas, lines, show, { isLog = false, floor = 1 } = {}) {
    Object.assign(this, { canvas, lines, show, isLog, floor });
    this.at = -1;
    canvas.addEventListener("pointermove", (event) => {
      this.at = event.offsetX;
      this.draw();
    });
    canvas.addEventListener("pointerleave", () => {
      this.at = -1;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [wide, tall] = [canvas.clientWidth, canvas.clientHeight];
    if (wide < 20 || tall < 20) return;
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(tall * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
    const styles = getComputedStyle(document.documentElement);
    this.colour = (name) => styles.getPropertyValue(name).trim();
    const scale = this.#scale(wide, tall);
    this.#drawGrid(pen, scale, wide);
    for (const one of this.lines) this.#drawLine(pen, one, scale);
    this.#drawKeys(pen, scale, wide, tall);
  }

  #scale(wide, tall) {
    let [low, high] = [Infinity, 0];
    for (const { line } of this.lines) {
      for (const value of line.values) {
        if (value > high) high = value;
        if (value > 0 && value < low) low = value;
      }
    }
    const bottom = tall - PAD.bottom;
    const room = bottom - PAD.top;
    if (this.isLog) {
      const from = Math.floor(Math.log10(Math.min(low, this.floor)));
      const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(high, this.floor))));
      const y = (value) => bottom - ((Math.log10(Math.max(value, 10 ** from)) - from) / (to - from)) * room;
      const ticks = Array.from({ length: to - from + 1 }, (_, place) => 10 ** (from + place));
      const each = Math.max(1, Math.ceil(ticks.length / 4));
      return { y, ticks: ticks.filter((_, place) => place % each === 0), ...this.#across(wide) };
    }
    const top = round(Math.max(high * 1.08, this.floor));
    const y = (value) => bottom - (value / top) * room;
    return { y, ticks: [0, top / 2, top], ...this.#across(wide) };
  }

  #across(wide) {
    const samples = this.lines[0].line.values.length;
    const known = Math.max(...this.lines.map(({ line }) => line.known));
    const shown = Math.min(samples, Math.max(SHOWN_MIN, known));
    const first = samples - shown;
    const step = (wide - PAD.left - PAD.right) / (shown - 1);
    return { x: (place) => PAD.left + (place - first) * step, step, samples, first };
  }

  #drawGrid(pen, { y, ticks }, wide) {
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const tick of ticks) {
      const at = Math.round(y(tick)) + 0.5;
      pen.fillStyle = this.colour("--grid");
      pen.fillRect(PAD.left, at, wide - PAD.left - PAD.right, 1);
      pen.fillStyle = this.colour("--dim");
      pen.fillText(this.show(tick), PAD.left - 6, at);
    }
  }

  #drawLine(pen, { line, colour, isThin }, { x, y }) {
    const path = new Path2D();
    let isOpen = false;
    let [first, last] = [-1, -1];
    line.values.forEach((value, place) => {
      if (Number.isNaN(value)) {
        isOpen = false;
        return;
      }
      if (first < 0) first = place;
      last = place;
      if (isOpen) path.lineTo(x(place), y(value));
      else path.moveTo(x(place), y(value));
      isOpen = true;
    });
    if (first < 0) return;
    pen.strokeStyle = this.colour(colour);
    pen.lineWidth = isThin ? 1 : 1.7;
    pen.globalAlpha = isThin ? 0.75 : 1;
    pen.lineJoin = "round";
    pen.stroke(path);
    pen.globalAlpha = 1;
    if (last === line.values.length - 1) {
      pen.fillStyle = this.colour(colour);
      pen.beginPath();
      pen.arc(x(last), y(line.values[last]), isThin ? 1.6 : 2.4, 0, 7);
      pen.fill();
    }
  }

  #drawKeys(pen, { x, step, samples, first }, wide, tall) {
    let place = samples - 1;
    if (this.at >= PAD.left) {
      place = Math.min(samples - 1, Math.max(first, first + Math.round((this.at - PAD.left) / step)));
      pen.fillStyle = this.colour("--dim");
      pen.fillRect(x(place), PAD.top, 1, tall - PAD.top - PAD.bottom);
    }
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    let left = PAD.left;
    for (const { name, line, colour } of this.lines) {
      const value = line.values[place];
      const text = `${name} ${Number.isNaN(value) ? "–" : this.show(value)}`;
      pen.fillStyle = this.colour(colour);
      pen.fillRect(left, 6, 9, 3);
      pen.fillStyle = this.colour("--text");
      pen.fillText(text, left + 13, 8);
      left += pen.measureText(text).width + 28;
    }
    if (place < samples - 1) {
      pen.textAlign = "right";
      pen.fillStyle = this.colour("--dim");
      pen.fillText(`${samples - 1 - place} s ago`, wide - PAD.right, 8);
    }
  }
}

/** The next of 1, 2, 5 times a power of ten. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((one) => one * power >= value) * power;
}
