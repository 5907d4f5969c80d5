// Does what a visitor does: chooses the pictures of `todo`, one after the other, and takes what can be saved.
const tell = (what, said, body) =>
  fetch(what, { method: "POST", headers: { "X-Said": encodeURIComponent(said) }, body });
const wait = async (wanted) => { while (!wanted()) await new Promise((wake) => setTimeout(wake, 20)); };
window.addEventListener("error", (event) => tell("error", event.message));
window.addEventListener("unhandledrejection", (event) => tell("error", String(event.reason?.stack)));

(async () => {
  const [file, target, save, status] = ["file", "target", "save", "status"].map((id) => document.getElementById(id));
  await wait(() => !file.disabled || status.textContent.startsWith("The model does not open"));
  for (const [index, to] of todo.entries()) {
    const picture = await (await fetch(`picture/${index}`)).blob();
    const chosen = new DataTransfer();
    chosen.items.add(new File([picture], "picture.png", { type: "image/png" }));
    for (const option of to ? target.options : []) option.selected = to.split(",").includes(option.value);
    file.files = chosen.files;
    file.dispatchEvent(new Event("change"));
    await wait(() => !file.disabled);
    await tell("result", status.textContent, save.href ? await (await fetch(save.href)).blob() : "");
  }
  await tell("end", `${document.querySelector("h1").textContent}|${crossOriginIsolated}|${status.textContent}`);
  location.href = `/${page + 1}/`;
})();
