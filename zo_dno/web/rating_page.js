"use strict";
// The page works without this file, which adds keys, ranking by taps, and a waiting page that reloads by itself.
const body = document.body;
const form = document.querySelector("main form[data-n]");
const pictures = [...document.querySelectorAll(".picture")];

const order = [];
function ranking() {
  document.documentElement.classList.add("scripted");
  const send = form.querySelector(".send");
  const field = Object.assign(document.createElement("input"), { type: "hidden", name: "order" });
  form.append(field);
  const show = () => {
    pictures.forEach((picture, i) => {
      picture.querySelector(".place")?.remove();
      picture.classList.toggle("chosen", order.includes(i));
      if (order.includes(i)) {
        const place = Object.assign(document.createElement("span"), { className: "place", textContent: order.indexOf(i) + 1 });
        picture.append(place);
      }
    });
    field.value = order.map((i) => pictures[i].querySelector("select").name.slice("place-".length)).join(" ");
    send.disabled = order.length < pictures.length;
  };
  const toggle = (i) => {
    const at = order.indexOf(i);
    at < 0 ? order.push(i) : order.splice(at, 1);
    if (order.length === pictures.length - 1) order.push(pictures.findIndex((_, other) => !order.includes(other)));
    show();
  };
  pictures.forEach((picture, i) => picture.addEventListener("click", (event) => { event.preventDefault(); toggle(i); }));
  show();
  return toggle;
}
const toggle = form && body.dataset.mode === "rank" ? ranking() : null;

let sent = false;
document.addEventListener("submit", (event) => {
  if (sent) event.preventDefault();  // a double click
  sent = true;
});

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key;
  if (key === "u") document.querySelector("#undo").requestSubmit();
  if (!form) return;
  if (key === "s") form.querySelector("[name=skip]").click();
  if (body.dataset.mode === "rate") form.querySelector(`[name=rating][value="${key === "x" ? 10 : key}"]`)?.click();
  const picked = { ArrowLeft: 1, ArrowRight: 2 }[body.dataset.mode === "compare" ? key : ""] ?? Number(key);
  if (toggle) {
    if (key === "Enter" && order.length === pictures.length) { event.preventDefault(); form.querySelector(".send").click(); }
    if (pictures[picked - 1]) toggle(picked - 1);
  } else pictures[picked - 1]?.click();
});

if ("waiting" in body.dataset) {
  const poll = async () => {
    try {
      const response = await fetch("state");
      if (response.ok && (await response.text()) !== body.dataset.waiting) return location.replace("./");  // a reload would submit a form again
    } catch { /* the server is unreachable for a moment */ }
    setTimeout(poll, 700);
  };
  poll();
}
