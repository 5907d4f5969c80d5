// Pictures as RGBA bytes: read and written by a canvas, and what models without alpha see of transparent ones. The
// arithmetic is that of i2i/images/alpha.py and image.py.
import { extend } from "./transparency.js";

const QUALITY = 0.95;

/** Return {width, height, data}, upright, the longer side reduced to `longest` pixels. */
export async function read(file, longest = Infinity) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error("not a picture of a format that this browser reads");
  }
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const drawing = context(width, height);
  drawing.imageSmoothingQuality = "high";
  drawing.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return drawing.getImageData(0, 0, width, height);
}

/** Return a file of a MIME type that a canvas writes; PNG if it does not write that one. */
export function encode(rgba, width, height, type) {
  const drawing = context(width, height);
  drawing.putImageData(new ImageData(type === "image/jpeg" ? flatten(rgba, 255) : rgba, width, height), 0, 0);
  return drawing.canvas.convertToBlob({ type, quality: QUALITY });
}

function context(width, height) {
  const drawing = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!drawing) throw new RangeError(`no canvas of ${width} x ${height} pixels`);
  return drawing;
}

/** True if no pixel is transparent, not even in part. */
export function isOpaque(rgba) {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] < 255) return false;
  return true;
}

/** Return what a model without alpha sees: colours continued into transparent pixels ("edge"), or over a grey level. */
export function background(rgba, width, height, level) {
  if (isOpaque(rgba)) return rgba;
  return level === "edge" ? extend(rgba, alphaOf(rgba), width, height) : flatten(rgba, level);
}

function alphaOf(rgba) {
  const alpha = new Uint8Array(rgba.length / 4);
  for (let pixel = 0; pixel < alpha.length; pixel++) alpha[pixel] = rgba[4 * pixel + 3];
  return alpha;
}

/** Return the colours alone, [h, w, 3]. */
export function rgb(rgba) {
  const made = new Uint8Array(rgba.length / 4 * 3);
  for (let at = 0, to = 0; at < rgba.length; at += 4) {
    made[to++] = rgba[at];
    made[to++] = rgba[at + 1];
    made[to++] = rgba[at + 2];
  }
  return made;
}

/** Return a picture composited on a grey level. */
function flatten(rgba, level) {
  const made = new Uint8ClampedArray(rgba.length).fill(255);
  for (let at = 0; at < rgba.length; at++) {
    const alpha = rgba[at | 3];
    if (at % 4 < 3) made[at] = Math.floor((rgba[at] * alpha + level * (255 - alpha) + 127) / 255);
  }
  return made;
}

/** Take the background out of the half-transparent pixels of a composited result; its alpha says which these are. */
export function unmix(rgba, width, height) {
  const alpha = alphaOf(rgba), hidden = alpha.map((value) => (value === 0 ? 255 : 0));
  if (!hidden.includes(255) || !alpha.some((value) => value > 0 && value < 255)) return rgba;
  const behind = extend(rgba, hidden, width, height), made = rgba.slice();
  for (let at = 0; at < rgba.length; at++) {
    const share = rgba[at | 3] / 255;
    if (at % 4 < 3 && share > 0 && share < 1) made[at] = (rgba[at] - (1 - share) * behind[at]) / share;  // rounded and clipped
  }
  return made;
}

/** Return the luma of Rec. 601, one byte a pixel. */
export function grey(rgba) {
  return Uint8Array.from({ length: rgba.length / 4 }, (_, pixel) =>
    (9798 * rgba[4 * pixel] + 19235 * rgba[4 * pixel + 1] + 3735 * rgba[4 * pixel + 2] + 16384) >> 15);
}

/** Return RGBA with one level in the colours where alpha is 0. */
export function fill(rgba, level) {
  return rgba.map((value, at) => (at % 4 < 3 && rgba[at | 3] === 0 ? level : value));
}

/** Throw an Error for a mask of another size than its picture. */
export function check(mask, width, height) {
  if (mask.width !== width || mask.height !== height) {
    throw new Error(`the mask has ${mask.width} x ${mask.height} pixels, and the picture ${width} x ${height}`);
  }
}

/** Return what of a pixel a mask shows, from 0 to 1; `at` is the place of its first byte. */
const weight = ({ data }, at) => (data[at] + data[at + 1] + data[at + 2]) / 765;

/** Put the source back where a mask is black, in proportion where it is grey. */
export function paste(made, source, mask) {
  for (let at = 0; at < made.length; at += 4) {  // which rounds what is written to it
    const share = weight(mask, at);
    for (let each = at; each < at + 3; each++) made[each] = share * made[each] + (1 - share) * source[each];
  }
}

/** Make a picture transparent where a mask is white, by half or more, for a model that fills holes. */
export function makeHoles(rgba, mask) {
  for (let at = 0; at < rgba.length; at += 4) if (weight(mask, at) >= 0.5) rgba[at + 3] = 0;
}

/** False for the checkerboard with which a model reports NaN or infinity; from 16 pixels on. */
export function finite(output, width, height, channels) {
  if (width * height < 16) return true;
  return output.some((value, at) => {
    const pixel = Math.floor(at / channels);
    return value !== 255 * ((Math.floor(pixel / width) + pixel % width) % 2);
  });
}
