// Translations by the service that the page comes from.
export const FORMATS = ["png", "jpeg", "webp", "avif", "tiff", "bmp"];
export const PROMISE = "Pictures go to this service and nowhere else, and are not kept.";

/** Fetch from the service; throw an Error with its own sentence. */
async function ask(path, token, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: token ? { Authorization: `Bearer ${token}` } : {} });
  } catch {
    throw new Error("The service does not answer.");
  }
  if (answer.ok) return answer;
  let detail = `${answer.status} ${answer.statusText}`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch { /* an answer of something in between */ }
  throw Object.assign(new Error(detail), { status: answer.status, wait: Number(answer.headers.get("Retry-After")) });
}

/** Return what is known about each model; none while they are loaded. */
export async function loadModels(token) {
  return (await (await ask("v1/models", token)).json()).models;
}

/** Return the translation of a picture as {data: Blob, note}. */
export async function translate(picture, { model, to, seed, example, mask, format, token }) {
  const given = new URLSearchParams();
  const quoted = (name) => (/[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);
  if (to) given.set("to", to.map(quoted).join(","));
  if (seed && !example) given.set("seed", seed);
  if (format) given.set("format", format);
  let body = picture;
  if (example || mask) {
    body = new FormData();
    body.append("picture", picture, picture.name || "picture");
    if (example) body.append("style", example);
    if (mask) body.append("mask", mask);
  }
  const answer = await ask(`v1/translate/${encodeURIComponent(model.name)}?${given}`, token, { method: "POST", body });
  return { data: await answer.blob(), note: answer.headers.get("I2I-Lost") ?? "" };
}
