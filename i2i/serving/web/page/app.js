// The page: pictures go through a model one after another. backend.js is service.js, or browser.js of a page for browsers alone.
import * as backend from "./backend.js";
import "./viewer.js";
import { live } from "./webcam.js";

const [status, model, domain, domainLabel, attributes, seed, seedLabel, mask, format, token, tokenLabel, drop, files, shot] = [
  "status", "model", "domain", "domain-label", "attributes", "seed", "seed-label", "mask", "format", "token", "token-label",
  "drop", "files", "shot",
].map((id) => document.getElementById(id));
const [result, before, after, save, note, queue, progress, list] = [
  "result", "before", "after", "save", "note", "queue", "progress", "list",
].map((id) => document.getElementById(id));

const [example, exampleLabel, folder, webcam, promise, noMask] = [
  "example", "example-label", "folder", "webcam", "promise", "no-mask",
].map((id) => document.getElementById(id));

const ENDINGS = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/avif": "avif", "image/tiff": "tif",
  "image/bmp": "bmp", "image/x-portable-anymap": "ppm", "image/jp2": "jp2" };
const jobs = [];  // {file, state: "waiting" | "working" | "done" | "failed", source, result, name, note, item}
let models = [], shown = null, working = false;

function say(text, bad = false) {
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

async function loadModels() {
  try {
    models = await backend.loadModels(token.value);
  } catch (error) {
    say(error.message, true);
    tokenLabel.hidden &&= error.status !== 401;
    if (error.status !== 401) setTimeout(loadModels, 3000);
    return;
  }
  if (!models.length) {
    say("The models are being loaded …");
    setTimeout(loadModels, 1000);
    return;
  }
  const chosen = model.value;
  model.replaceChildren(...models.map((each) => new Option(`${each.name} (${each.way.replace("->", "→")})`, each.name)));
  if (models.some((each) => each.name === chosen)) model.value = chosen;
  showSettings();
  say("Ready.");
  work();  // on what was chosen meanwhile
}

/** Show what the chosen model can be asked for: a domain, attributes, or a style. */
function showSettings() {
  const about = models.find((each) => each.name === model.value);
  const one = about.domains.length > 0 && !about.attributes;
  domainLabel.hidden = !one;
  attributes.hidden = !about.attributes;
  seedLabel.hidden = exampleLabel.hidden = !about.styles;
  domain.replaceChildren(...about.domains.map((name) => new Option(name)));
  attributes.replaceChildren(attributes.firstElementChild, ...about.domains.map((name) => {
    const label = document.createElement("label"), box = document.createElement("input");
    Object.assign(box, { type: "checkbox", value: name });
    label.append(box, name);
    return label;
  }));
}

/** Translate a picture with the settings of the moment; return the result as {data: Blob, note}. */
function send(picture) {
  const about = models.find((each) => each.name === model.value);
  return backend.translate(picture, {
    model: about,
    to: about.attributes ? [...attributes.querySelectorAll(":checked")].map((box) => box.value)
      : about.domains.length ? [domain.value] : null,
    seed: about.styles ? seed.value || "0" : null,
    example: about.styles ? example.files[0] : null,
    mask: mask.files[0],
    format: format.value,
    token: token.value,
  }, say);
}

function add(chosen) {
  for (const file of chosen) {
    const item = document.createElement("li"), button = document.createElement("button"), state = document.createElement("span");
    button.type = "button";
    button.textContent = file.name || "pasted picture";
    const job = { file, state: "waiting", source: URL.createObjectURL(file), button, stateText: state };
    button.onclick = () => show(job);
    item.append(button, state);
    list.append(item);
    jobs.push(job);
  }
  refresh();
  work();
}

/** Translate what waits, one after another, each with the settings of the moment, once the models are known. */
async function work() {
  if (working || !models.length) return;
  working = true;
  for (let job; (job = jobs.find((each) => each.state === "waiting")); ) {
    job.state = "working";
    refresh();
    await translate(job);
    if (job.stale) job.state = "waiting";  // other settings were chosen meanwhile
    if (!job.stale && (!shown || shown === job || !jobs.some((each) => each.state === "waiting"))) show(job);
    refresh();
  }
  working = false;
}

async function translate(job) {
  say(`Translating ${job.button.textContent} …`);
  for (;;) {
    try {
      job.stale = false;
      const by = model.value, stem = (job.file.name || "picture").replace(/\.[^.]*$/, "");
      const { data, note } = await send(job.file);
      if (job.result) URL.revokeObjectURL(job.result);
      Object.assign(job, { state: "done", result: URL.createObjectURL(data), note });
      job.name = `${stem}-${by}.${ENDINGS[data.type] ?? "png"}`;
      say("Done.");
      return;
    } catch (error) {
      if (error.status === 429 || (error.status === 503 && error.wait)) {  // busy: wait as long as it says
        say(`${error.message} …`);
        await new Promise((wait) => setTimeout(wait, 1000 * Math.min(error.wait || 1, 30)));
        continue;
      }
      tokenLabel.hidden &&= error.status !== 401;
      Object.assign(job, { state: "failed", note: error.message.replace(/^image: /, "") });  // its name stands before
      say(error.message, true);
      return;
    }
  }
}

function show(job) {
  shown = job.button ? job : null;  // a frame of the webcam is not translated again
  result.hidden = job.state !== "done";
  if (job.state === "done") {
    before.src = job.source;
    after.src = job.result;
    save.href = job.result;
    save.download = job.name;
    note.textContent = job.note;
  }
  refresh();
}

function refresh() {
  const over = jobs.filter((job) => job.state === "done" || job.state === "failed").length;
  queue.hidden = jobs.length === 0;
  progress.max = jobs.length;
  progress.value = over;
  for (const job of jobs) {
    job.button.disabled = job.state !== "done";
    job.button.setAttribute("aria-current", String(job === shown));
    const text = job.state === "failed" ? job.note : { waiting: "waits", working: "in work …", done: "done" }[job.state];
    if (job.stateText.textContent !== text) job.stateText.textContent = text;
    job.stateText.classList.toggle("bad", job.state === "failed");
  }
}

/** Translate again what is shown, or else what is in work, after other settings were chosen. */
function again() {
  const job = shown ?? jobs.find((each) => each.state === "working");
  if (!job) return;
  if (job.state === "working") job.stale = true;
  else job.state = "waiting";
  work();
}

promise.textContent = backend.PROMISE;
for (const name of backend.FORMATS) format.append(new Option(name.toUpperCase(), name));
for (const picture of [before, after]) {
  picture.onerror = () => { note.textContent = "This browser cannot show the format; the result can be downloaded."; };
}
document.getElementById("settings").onsubmit = (event) => event.preventDefault();
model.onchange = () => { showSettings(); again(); };
for (const each of [domain, attributes, format, example]) each.onchange = again;
mask.onchange = () => { noMask.hidden = !mask.files.length; again(); };
noMask.onclick = () => { mask.value = ""; mask.onchange(); mask.focus(); };
seed.onchange = () => { example.value = ""; again(); };
token.onchange = () => (models.length ? again() : loadModels());
for (const input of [files, shot]) input.onchange = () => { add(input.files); input.value = ""; };
folder.onchange = () => {
  add([...folder.files].filter((file) => file.type.startsWith("image/")));
  folder.value = "";
};
webcam.hidden = !navigator.mediaDevices?.getUserMedia;
webcam.onclick = () => live(webcam, send, say, (source, data, rate) => {
  show({ state: "done", source, result: data, name: "webcam.jpg", note: `${rate.toFixed(1)} pictures a second` });
});
addEventListener("paste", (event) => add([...event.clipboardData.files].filter((file) => file.type.startsWith("image/"))));
addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); add([...event.dataTransfer.files]); });
loadModels();
