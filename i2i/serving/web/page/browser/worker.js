// The worker of a page for browsers alone: pictures to tensors, through a model, and back.
import { Model } from "./model.js";
import { background, check, encode, fill, finite, grey, isOpaque, makeHoles, paste, read, rgb, unmix } from "./pixels.js";
import { normal } from "./noise.js";

const LARGEST = 1024;  // pixels of the longer side of an example of a style
const MEMORY = /memory|alloc|OOM|out of bounds|unreachable|Aborted|overflow/i;
let open, jobs = Promise.resolve();

onmessage = ({ data }) => {
  jobs = jobs.then(async () => {
    try {
      postMessage({ id: data.id, ...await translate(data) });
    } catch (error) {
      const text = String(error?.message ?? error), broken = MEMORY.test(text) || error instanceof RangeError;
      postMessage({ id: data.id, broken, error: broken ? tooLarge(text) : text });
    }
  });
};

function tooLarge(text) {
  return `The picture does not fit into the memory that a browser gives to a page: make it smaller, or use i2i translate (${text})`;
}

const say = (text) => postMessage({ say: text });

async function translate({ picture, model: about, to, seed, example, mask, type }) {
  if (open?.about.name !== about.name) {
    await open?.close();
    open = undefined;
    open = await Model.open(about, say);
  }
  const { width, height, data } = await read(picture), masked = mask && await read(mask);
  if (masked) check(masked, width, height);
  if (masked && about.inpaints) makeHoles(data, masked);
  const seen = about.channels === 4 ? data : background(data, width, height, about.background);
  const style = about.styles ? await styleOf(about, seed, example) : null;
  const output = await open.run(tensor(seen, about), [height, width], { target: target(about, to), style });
  if (!finite(output, width, height, about.to)) {
    throw new Error("non-finite output: the model returned NaN or infinity for this picture. Its weights are damaged or its precision is too low");
  }
  let made = colours(output, data, about);
  if (!about.inpaints && about.channels !== 4 && about.to !== 4 && about.background !== "edge") made = unmix(made, width, height);
  if (masked && !about.inpaints) paste(made, data, masked);
  const file = await encode(made, width, height, type);
  const lost = [];
  if (file.type === "image/jpeg" && !isOpaque(made)) lost.push("not carried over to JPEG: alpha");
  return { data: file, lost, where: open.where };
}

/** Return the values of the model's input, uint8 [h, w, channels]. */
function tensor(rgba, { channels, inpaints, hole }) {
  if (channels === 1) return grey(rgba);
  if (channels === 3) return rgb(rgba);
  return inpaints ? fill(rgba, hole) : rgba;
}

/** Return RGBA with the colours of a result [h, w, to] and the alpha of the source, or that of the result if it has one. */
function colours(output, source, { to, inpaints }) {
  const made = new Uint8ClampedArray(source.length);
  for (let pixel = 0; pixel < source.length / 4; pixel++) {
    const at = 4 * pixel, known = inpaints && source[at + 3] > 0;
    for (let channel = 0; channel < 3; channel++) {
      made[at + channel] = known ? source[at + channel] : output[to * pixel + (to === 1 ? 0 : channel)];
    }
    made[at + 3] = inpaints ? 255 : to === 4 ? output[at + 3] : source[at + 3];
  }
  return made;
}

/** Return the model's second input for a domain or attributes; null if it has none. */
function target({ domains, attributes }, to) {
  if (!domains.length) return null;
  return attributes ? Float32Array.from(domains, (name) => Number(to.includes(name))) : BigInt64Array.of(BigInt(domains.indexOf(to[0])));
}

async function styleOf(about, seed, example) {
  if (!example) return Float32Array.from(normal(seed, about.styles));
  const { width, height, data } = await read(example, LARGEST);
  const encoder = about.encoder && await Model.open(about.encoder, say);
  if (!encoder) throw new Error(`${about.name} came without its style encoder: give a number instead`);
  try {
    return await encoder.run(tensor(background(data, width, height, about.encoder.background), about.encoder), [height, width], {});
  } finally {
    await encoder.close();
  }
}
