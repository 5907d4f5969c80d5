// Continue visible colours into transparent pixels: push-pull, after Gortler et al. 1996, "The Lumigraph", section 3.4.2.
// A level is {width, height, data}: colours times weight, and the weight from 0 to 1, four floats a pixel.

/** Return RGBA whose colours continue into the pixels of weight 0; `weights` is a byte a pixel. */
export function extend(rgba, weights, width, height) {
  if (!weights.includes(0)) return rgba;
  const filled = doubled(rounded(pull(halved(width, height, (at, channel) => {
    const weight = weights[at] / 255;
    return channel < 3 ? rgba[4 * at + channel] * weight : weight;
  }))), width, height).data;
  return rgba.map((value, at) => (at % 4 === 3 || weights[at >> 2] > 0 ? value : Math.round(filled[at])));
}

/** Return the next level, of half the size; `value` returns a channel of a pixel. */
function halved(width, height, value) {
  const level = empty((width + 1) >> 1, (height + 1) >> 1), { data } = level;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const to = 4 * ((row >> 1) * level.width + (column >> 1)), at = row * width + column;
      for (let channel = 0; channel < 4; channel++) data[to + channel] += value(at, channel);
    }
  }
  for (let at = 0; at < data.length; at += 4) {
    const scale = Math.max(data[at + 3], 1);  // the weight is at most 1
    for (let channel = 0; channel < 4; channel++) data[at + channel] /= scale;
  }
  return level;
}

/** Return a level whose colours are completed by those of coarser ones. */
function pull(level) {
  const { width, height, data } = level;
  let complete = true;
  for (let at = 3; at < data.length; at += 4) complete &&= data[at] >= 1;
  if (complete) return level;
  if (width === 1 && height === 1) {
    for (let channel = 0; channel < 3; channel++) data[channel] = data[3] > 0 ? data[channel] / data[3] : 255;
    return level;
  }
  const coarse = doubled(pull(halved(width, height, (at, channel) => data[4 * at + channel])), width, height).data;
  for (let at = 0; at < data.length; at++) if (at % 4 < 3) data[at] += (1 - data[at | 3]) * coarse[at];
  return level;
}

function rounded(level) {
  level.data.forEach((value, at) => { level.data[at] = Math.floor(Math.min(255, Math.max(0, value)) + 0.5); });
  return level;
}

/** Return a level of twice the size, cut to [height, width], interpolated between the centres of pixels. */
function doubled(level, width, height) {
  const made = empty(width, height), near = (at, size) => Math.min(Math.max(at, 0), size - 1);
  for (let row = 0; row < height; row++) {
    const rows = [row >> 1, near((row >> 1) + (row % 2 ? 1 : -1), level.height)].map((each) => each * level.width);
    for (let column = 0; column < width; column++) {
      const near0 = column >> 1, near1 = near(near0 + (column % 2 ? 1 : -1), level.width), to = 4 * (row * width + column);
      for (let channel = 0; channel < 4; channel++) {
        const [upper, lower] = rows.map((start) =>
          0.75 * level.data[4 * (start + near0) + channel] + 0.25 * level.data[4 * (start + near1) + channel]);
        made.data[to + channel] = 0.75 * upper + 0.25 * lower;
      }
    }
  }
  return made;
}

function empty(width, height) {
  return { width, height, data: new Float32Array(4 * width * height) };
}
