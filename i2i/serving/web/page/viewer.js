// The picture and its translation: the slider between both, and the zoom.
const [result, viewer, stage, before, after, cut, zoom] = ["result", "viewer", "stage", "before", "after", "cut", "zoom"]
  .map((id) => document.getElementById(id));

function setCut(percent) {
  cut.value = percent;
  stage.style.setProperty("--cut", `${cut.value}%`);
}

function setZoom(value) {
  const old = Number(zoom.dataset.old ?? 1), x = viewer.scrollLeft + viewer.clientWidth / 2;
  const y = viewer.scrollTop + viewer.clientHeight / 2;
  zoom.value = value;
  zoom.dataset.old = zoom.value;
  stage.style.setProperty("--zoom", zoom.value);
  stage.classList.toggle("pixels", zoom.value > 2);
  stage.classList.toggle("enlarged", zoom.value > 1);
  const ratio = Number(zoom.value) / old;  // what was in the middle stays there
  viewer.scrollTo(x * ratio - viewer.clientWidth / 2, y * ratio - viewer.clientHeight / 2);
}

/** Let the picture fill the viewer at zoom 1, enlarged three times at most. */
function fit() {
  const { naturalWidth: width, naturalHeight: height } = before;
  if (!width) return;
  stage.style.setProperty("--fit", `${Math.min(viewer.clientWidth, 0.6 * innerHeight * width / height, 3 * width)}px`);
}

function drag(event) {
  if (event.pointerType === "touch" || event.buttons & 1) {
    const box = stage.getBoundingClientRect();
    setCut(Math.round(100 * (event.clientX - box.left) / box.width));
  }
}

before.onload = fit;
addEventListener("resize", fit);
cut.oninput = () => setCut(cut.value);
zoom.oninput = () => setZoom(zoom.value);
stage.onpointerdown = drag;
stage.onpointermove = drag;
viewer.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  setZoom(Number(zoom.value) * (event.deltaY < 0 ? 1.25 : 0.8));
}, { passive: false });
addEventListener("keydown", (event) => {
  if (result.hidden || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  if (event.key === "+" || event.key === "=") setZoom(Number(zoom.value) + 0.5);
  if (event.key === "-") setZoom(Number(zoom.value) - 0.5);
  if (event.key === "[") setCut(Number(cut.value) - 5);
  if (event.key === "]") setCut(Number(cut.value) + 5);
});
