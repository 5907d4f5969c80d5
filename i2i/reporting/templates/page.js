"use strict";
for (const box of document.querySelectorAll(".compare")) {
  const slider = box.querySelector("input");
  const move = () => box.style.setProperty("--cut", slider.value + "%");
  slider.addEventListener("input", move);
  move(); // a browser may restore the value of an earlier visit
}

for (const gallery of document.querySelectorAll(".gallery")) {
  const SHOWN = 6;
  const cards = [...gallery.querySelectorAll(".card")];
  const list = gallery.querySelector(".cards");
  const order = gallery.querySelector(".order");
  const [before, after] = [gallery.querySelector(".before"), gallery.querySelector(".after")];
  const pages = Math.ceil(cards.length / SHOWN);
  let page = 0;
  const show = () => {
    const sorted = order.value === "best" ? [...cards].reverse() : cards;
    list.append(...sorted);
    sorted.forEach((card, n) => { card.hidden = Math.floor(n / SHOWN) !== page; });
    gallery.querySelector(".page").textContent = `page ${page + 1} of ${pages}`;
    before.disabled = page === 0;
    after.disabled = page === pages - 1;
  };
  before.addEventListener("click", () => { page -= 1; show(); });
  after.addEventListener("click", () => { page += 1; show(); });
  order.addEventListener("change", () => { page = 0; show(); });
  gallery.querySelector(".controls").hidden = false;
  show();
}

for (const box of document.querySelectorAll(".sheets")) {
  const sheets = [...box.querySelectorAll(".sheet")];
  const slider = box.querySelector("input");
  const show = () => {
    sheets.forEach((sheet, n) => { sheet.hidden = n !== Number(slider.value); });
    const step = sheets[slider.value].dataset.step;
    box.querySelector("output").textContent = step;
    slider.setAttribute("aria-valuetext", `step ${step}`);
  };
  slider.addEventListener("input", show);
  box.querySelector(".controls").hidden = sheets.length < 2;
  show();
}
