// The map's colours: pixels as the canvas has them (ABGR), by theme.

const HEALTH_DARK = ["#1f9d83", "#8b6fe0", "#d9a520", "#e8743b", "#4c7fd6", "#f04848", "#c23a8f"];
const HEALTH_LIGHT = ["#4fb79d", "#9b83e6", "#e0b02f", "#ea7b43", "#5d8fe0", "#df3434", "#bd3a8c"];
const RAMP_DARK = ["#173043", "#175f72", "#1f9d83", "#8fce5a", "#f4c542", "#f58a3c"];
const RAMP_LIGHT = ["#dbe7ee", "#a4d3d3", "#5bb8a0", "#a4bf4a", "#e6b032", "#dd6a2c"];

function parse(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

function pixel([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function mixed(from, to, part) {
  return from.map((value, at) => Math.round(value + (to[at] - value) * part));
}

/** Colours of a theme: `health`, `ramp` (256 steps), `absent`, and each of them dimmed. */
export function colours(isDark) {
  const ground = parse(isDark ? "#0c131a" : "#eef2f6");
  const health = (isDark ? HEALTH_DARK : HEALTH_LIGHT).map(parse);
  const stops = (isDark ? RAMP_DARK : RAMP_LIGHT).map(parse);
  const ramp = Array.from({ length: 256 }, (_, step) => {
    const at = (step / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(at));
    return mixed(stops[low], stops[low + 1], at - low);
  });
  const absent = parse(isDark ? "#202b36" : "#d3dbe3");
  const dim = (colour) => pixel(mixed(colour, ground, 0.84));
  return {
    health: Uint32Array.from(health, pixel),
    healthDim: Uint32Array.from(health, dim),
    ramp: Uint32Array.from(ramp, pixel),
    rampDim: Uint32Array.from(ramp, dim),
    absent: pixel(absent),
    absentDim: dim(absent),
  };
}

/** A pixel as a style. */
export function style(value) {
  return `rgb(${value & 255} ${(value >> 8) & 255} ${(value >> 16) & 255})`;
}
