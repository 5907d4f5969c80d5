// Translations by this browser alone: a worker runs the models with ONNX Runtime Web.
const FILES = new URL("../", import.meta.url);
const TYPES = { png: "image/png", jpeg: "image/jpeg", webp: "image/webp" };  // that a canvas writes

export const FORMATS = Object.keys(TYPES);
export const PROMISE = "Pictures stay in this browser: the models run here, and nothing is sent.";

let worker, wanted = 0, last = Promise.resolve();

/** Return what is known about each model, from the file that is beside the page. */
export async function loadModels() {
  if (!globalThis.OffscreenCanvas || !globalThis.WebAssembly) throw new Error("This browser is too old to run models; update it.");
  await isolate();
  const answer = await fetch(new URL("models.json", FILES));
  if (!answer.ok) throw new Error(`models.json: ${answer.status} ${answer.statusText}`);
  return (await answer.json()).models;
}

/** Let the page have threads. The headers under which browsers allow them come from a service worker (isolation.js), since
 *  many hosts of files cannot send any. Without them WebAssembly runs on one core. */
async function isolate() {
  if (crossOriginIsolated || !navigator.serviceWorker || sessionStorage.getItem("isolation")) return;
  sessionStorage.setItem("isolation", "tried");  // once: some browsers never allow it
  try {
    await navigator.serviceWorker.register(new URL("isolation.js", FILES));
    await navigator.serviceWorker.ready;
  } catch {
    return;
  }
  location.reload();
  await new Promise(() => {});
}

/** Return the translation of a picture as {data: Blob, note}. Pictures are translated one after another. */
export function translate(picture, settings, say) {
  const result = last.then(() => run(picture, settings, say));
  last = result.catch(() => {});
  return result;
}

async function run(picture, { model, to, seed, example, mask, format }, say) {
  const start = performance.now(), id = ++wanted;
  const type = TYPES[format] ?? (Object.values(TYPES).includes(picture.type) ? picture.type : "image/png");
  worker ??= new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  const answer = await new Promise((done) => {
    worker.onmessage = ({ data }) => (data.say ? say(data.say) : data.id === id && done(data));
    worker.onerror = (event) => done({ error: event.message || "a file of the page is missing", broken: true });
    worker.postMessage({ id, picture, model, to, seed: Number(seed), example, mask, type });
  });
  if (answer.broken) {  // WebAssembly that ran out of memory does not recover
    worker.terminate();
    worker = undefined;
  }
  if (answer.error) throw new Error(answer.error);
  const took = `${((performance.now() - start) / 1000).toFixed(1)} s, ${answer.where}`;
  return { data: answer.data, note: [...answer.lost, took].join("; ") };
}
