// One model in ONNX Runtime Web: on the graphics card (WebGPU) if it computes the same pixels there, else in WebAssembly.
const FILES = new URL("../", import.meta.url);
const MEAN = 0.5;  // levels by which results may differ from those of i2i on average
const PROVIDERS = [
  { name: "webgpu", file: "ort.webgpu.bundle.min.mjs", where: () => "graphics card" },
  { name: "wasm", file: "ort.wasm.bundle.min.mjs", where: (ort) => threads(ort.env.wasm.numThreads) },
];

const threads = (count) => (count > 1 ? `${count} threads` : "1 thread");

async function hasWebGpu() {
  try {
    return Boolean(await navigator.gpu?.requestAdapter());
  } catch {
    return false;
  }
}

export class Model {
  constructor(about, ort, session, where) {
    Object.assign(this, { about, ort, session, where });
  }

  /** Return a model that computes the pixels of i2i here. */
  static async open(about, say) {
    const bytes = await download(about, say);
    let failure;
    for (const { name, file, where } of PROVIDERS) {
      if (name === "webgpu" && !await hasWebGpu()) continue;
      let model;
      try {
        say(`Opening ${about.name} …`);
        const ort = await import(new URL(`ort/${file}`, FILES));
        ort.env.logLevel = "error";
        ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
        const session = await ort.InferenceSession.create(bytes, { executionProviders: [name] });
        model = new Model(about, ort, session, where(ort));
        if (await model.agrees()) return model;
        failure = new Error(`${about.name}: this browser computes other pixels than i2i`);
      } catch (error) {
        failure = error;
      }
      await model?.close();
    }
    throw failure;
  }

  /** True if the model's result of its sample is the one that i2i computed. */
  async agrees() {
    const { sample } = this.about;
    if (!sample) return true;
    const [height, width] = sample.size, count = height * width * this.about.channels;
    const bytes = new Uint8Array(await (await get(sample.file)).arrayBuffer());
    const target = sample.target && (this.about.attributes ? Float32Array.from(sample.target)
      : BigInt64Array.from(sample.target, BigInt));
    const style = sample.style && Float32Array.from(sample.style);
    const made = await this.run(bytes.slice(0, count), sample.size, { target, style });
    let sum = 0, largest = 0;
    made.forEach((value, at) => {
      const difference = Math.abs(value - bytes[count + at]);
      sum += difference;
      largest = Math.max(largest, difference);
    });
    return largest <= sample.levels && sum <= MEAN * made.length;
  }

  /** Return the output of an image [h, w, channels] and of the second inputs that are not null. */
  async run(image, [height, width], { target, style }) {
    const { Tensor } = this.ort, [first, ...more] = this.session.inputNames;
    const feeds = { [first]: new Tensor("uint8", new Uint8Array(image), [1, height, width, this.about.channels]) };
    for (const name of more) {
      const values = name === "style" ? style : target;
      feeds[name] = name === "style" ? new Tensor("float32", values, [1, values.length])
        : values instanceof Float32Array ? new Tensor("float32", values, [1, values.length]) : new Tensor("int64", values, [1]);
    }
    const results = await this.session.run(feeds);
    return results[this.session.outputNames[0]].getData();
  }

  close() {
    return this.session.release();
  }
}

async function get(file) {
  let answer;
  try {
    answer = await fetch(new URL(file, FILES));
  } catch {
    throw new Error(`${file} could not be loaded`);
  }
  if (!answer.ok) throw new Error(`${file}: ${answer.status} ${answer.statusText}`);
  return answer;
}

/** Return the bytes of a model's file, and say how much of it has come. */
async function download({ name, file, bytes }, say) {
  const data = new Uint8Array(bytes), reader = (await get(file)).body.getReader();
  let count = 0;
  for (let part; !(part = await reader.read()).done; count += part.value.length) {
    if (count + part.value.length > bytes) throw new Error(`${file} is not the file that models.json describes`);
    data.set(part.value, count);
    say(`Loading ${name}: ${(count / 1e6).toFixed(1)} of ${(bytes / 1e6).toFixed(1)} MB …`);
  }
  if (count < bytes) throw new Error(`${file} is not the file that models.json describes`);
  return data;
}
