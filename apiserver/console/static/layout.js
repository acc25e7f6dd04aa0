// Where each node's cell lies: groups as blocks, in rows that fill the space given.

const CELL_MAX = 46;

/** Lays groups out in a space of width times height.
 *
 *  groups: [{name, slots}], in order. head: height of a block's heading. Returns {cell, columns,
 *  rows, blocks: [{name, x, y, width, height, slots}]}, in cells, as large as fits: all in a block
 *  in lines from its top left.
 */
export function layOut(groups, width, height, head) {
  const filled = groups.filter((group) => group.slots.length);
  let best = { cell: 1, columns: 1, rows: 1, blocks: [] };
  if (!filled.length || width < 8 || height < 8) return best;
  let [low, high] = [0.05, CELL_MAX];
  for (let step = 0; step < 22; step += 1) {
    const cell = (low + high) / 2;
    const found = attempt(filled, width, height, head, cell);
    if (found) {
      best = found;
      low = cell;
    } else high = cell;
  }
  return best;
}

function attempt(groups, width, height, head, cell) {
  const columns = Math.floor(width / cell);
  const rows = Math.floor(height / cell);
  const gap = Math.max(1, Math.round(8 / cell));
  const headCells = Math.ceil(head / cell);
  const total = groups.reduce((sum, group) => sum + group.slots.length, 0);
  // As many rows of blocks as make these about square.
  const wanted = Math.max(1, Math.round(Math.sqrt((groups.length * height) / width)));
  for (let lines = Math.min(wanted, groups.length); lines <= groups.length; lines += 1) {
    const blocks = place(divide(groups, lines, total), columns, gap, headCells);
    if (!blocks) continue;
    const bottom = Math.max(...blocks.map((block) => block.y + block.height));
    if (bottom <= rows) return { cell, columns, rows, blocks };
    if (lines > wanted + 2) break;
  }
  return null;
}

/** Divides groups, in order, into lines with about as many nodes each. */
function divide(groups, lines, total) {
  const divided = [[]];
  let sum = 0;
  groups.forEach((group) => {
    const isFull = sum >= (total * divided.length) / lines;
    if (isFull && divided.length < lines) divided.push([]);
    divided[divided.length - 1].push(group);
    sum += group.slots.length;
  });
  return divided;
}

function place(lines, columns, gap, head) {
  const blocks = [];
  let y = 0;
  for (const line of lines) {
    const free = columns - gap * (line.length - 1);
    if (free < line.length) return null;
    const count = line.reduce((sum, group) => sum + group.slots.length, 0);
    let tall = Math.ceil(count / free);
    const width = () => line.reduce((sum, group) => sum + Math.ceil(group.slots.length / tall), 0);
    while (width() > free) tall += Math.max(1, Math.floor(tall / 200));
    let x = 0;
    for (const group of line) {
      const wide = Math.ceil(group.slots.length / tall);
      const deep = Math.ceil(group.slots.length / wide);
      blocks.push({ ...group, x, y: y + head, width: wide, height: deep });
      x += wide + gap;
    }
    y += head + tall + gap;
  }
  return blocks;
}
