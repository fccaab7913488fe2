// Writes pictures of user interfaces as PNG with a palette: at most 256 colours that differ,
// every other one as the nearest of them. A third of the size, and nobody sees it.
import { crc32, deflateSync } from 'node:zlib';

const COLOURS_MAX = 256;

function chunk(type, data) {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, 'latin1');
  data.copy(out, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
  return out;
}

function distanceOf(one, other) {
  const red = (one >> 16) - (other >> 16);
  const green = ((one >> 8) & 255) - ((other >> 8) & 255);
  const blue = (one & 255) - (other & 255);
  return red * red + green * green + blue * blue;
}

function nearest(colour, palette) {
  let best = 0;
  let least = Infinity;
  for (let index = 0; index < palette.length; index += 1) {
    const distance = distanceOf(colour, palette[index]);
    if (distance < least) [best, least] = [index, distance];
  }
  return best;
}

/** Frequent colours that differ: a rare green must not lose its place to the hundredth grey. */
function paletteOf(byFrequency) {
  for (const apart of [14, 20, 28]) {
    const palette = [];
    for (const colour of byFrequency) {
      if (palette.length > COLOURS_MAX) break;
      if (palette.every((other) => distanceOf(colour, other) > apart * apart)) palette.push(colour);
    }
    if (palette.length <= COLOURS_MAX) return palette;
  }
  return byFrequency.slice(0, COLOURS_MAX);
}

/** `rgba` is what a canvas gives; transparency is not looked at. */
export function palettePng(rgba, width, height) {
  const counts = new Map();
  const pixels = new Uint32Array(width * height);
  for (let at = 0; at < pixels.length; at += 1) {
    const colour = (rgba[at * 4] << 16) | (rgba[at * 4 + 1] << 8) | rgba[at * 4 + 2];
    pixels[at] = colour;
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  const palette = paletteOf([...counts].sort((one, other) => other[1] - one[1]).map(([colour]) => colour));
  const index = new Map(palette.map((colour, at) => [colour, at]));
  for (const colour of counts.keys()) if (!index.has(colour)) index.set(colour, nearest(colour, palette));

  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8);
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) rows[y * (width + 1) + 1 + x] = index.get(pixels[y * width + x]);
  }
  const colours = Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', head),
    chunk('PLTE', colours),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
