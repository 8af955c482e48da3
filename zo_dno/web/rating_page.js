"use strict";
// The page works without this file, which adds keys, ranking by taps, enlarged images, clicks that survive a lost
// connection, and pages that follow the search.
const body = document.body;
const form = document.querySelector("main form[data-n]");
const pictures = [...document.querySelectorAll(".picture")];
const lost = document.querySelector("#lost");
const phase = body.dataset.phase;
const reload = () => location.replace("./");  // leaves no entry for Back, and a reload would submit a form again

// Small images are enlarged by whole numbers of the screen's pixels, so that they stay crisp, unless that would leave much
// of the place empty. Browsers scale the others well.
const SMALL = 128, LEAST = 0.8;
function crisp(image) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const card = image.closest(".card");
  Object.assign(image.style, { width: "", height: "", imageRendering: "" });
  if (card) card.style.width = "";
  card?.classList.remove("crisp");
  if (!width || Math.max(width, height) > SMALL) return;
  const box = image.getBoundingClientRect(), fitting = Math.min(box.width / width, box.height / height) * devicePixelRatio;
  const times = Math.floor(fitting);
  if (times < 2 || times < LEAST * fitting) return;
  const scale = times / devicePixelRatio;
  if (card) card.style.width = `${card.getBoundingClientRect().width - box.width + width * scale}px`;  // no empty strips
  card?.classList.add("crisp");
  Object.assign(image.style, { width: `${width * scale}px`, height: `${height * scale}px`, imageRendering: "pixelated" });
}
const all = () => document.querySelectorAll("main img, aside img, dialog img");
const crispAll = () => all().forEach(crisp);
all().forEach((image) => image.complete ? crisp(image) : image.addEventListener("load", () => crisp(image)));
addEventListener("resize", crispAll);

// Enlarged images

const zoom = document.querySelector("#zoom");
let shown = null;
let held = false;  // an image was held, so the click that follows chooses nothing
const enlargeable = [...document.querySelectorAll("main img, aside img")];
function enlarge(image) {
  shown = image;
  const large = Object.assign(document.createElement("img"), { src: image.src, alt: image.alt });
  zoom.querySelector("div").replaceChildren(large);
  zoom.querySelector("p").textContent = image.closest("figure")?.querySelector("figcaption")?.textContent ?? image.alt;
  if (!zoom.open) zoom.showModal();
  large.complete ? crisp(large) : large.addEventListener("load", () => crisp(large));
}
const step = (by) => enlarge(enlargeable.at((enlargeable.indexOf(shown) + by) % enlargeable.length));
zoom.addEventListener("click", () => { if (!held) zoom.close(); });
addEventListener("pointerdown", () => { held = false; }, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => { held = false; }, 100), true);  // after its click
zoom.addEventListener("close", () => shown?.closest("button, [tabindex]")?.focus());
zoom.addEventListener("keydown", (event) => {
  event.stopPropagation();
  if (event.key === "z") zoom.close();
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
  const picked = form?.querySelectorAll(".images img")[Number(event.key) - 1];
  if (picked) enlarge(picked);
});

for (const image of enlargeable) {
  const choosing = image.closest(".picture");
  if (choosing) {
    const rung = image.closest(".rung"), held_at = rung ? image : choosing;
    let timer;
    const release = () => clearTimeout(timer);
    held_at.addEventListener("pointerdown", (event) => { if (event.button === 0) timer = setTimeout(() => { held = true; enlarge(image); }, 450); });
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) held_at.addEventListener(end, release);
    choosing.addEventListener("contextmenu", (event) => { if (held) event.preventDefault(); });  // of a long tap
    choosing.addEventListener("click", (event) => { if (held) { event.preventDefault(); event.stopImmediatePropagation(); held = false; } }, true);
    if (rung) continue;  // a row has no place for a button at each image
    const button = Object.assign(document.createElement("button"), { type: "button", className: "enlarge", textContent: "⤢", title: "Enlarge" });
    button.setAttribute("aria-label", `enlarge ${image.alt}`);
    button.addEventListener("click", () => enlarge(image));
    choosing.after(button);
  } else {
    Object.assign(image, { tabIndex: 0, role: "button" }).classList.add("enlargeable");
    image.setAttribute("aria-label", `enlarge ${image.alt}`);
    image.addEventListener("click", () => enlarge(image));
    image.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); enlarge(image); } });
  }
}

// Ranking by taps

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

// Marking any number

function liking() {
  const words = form.querySelector(".send span");
  const show = () => {
    const marked = form.querySelectorAll(":checked").length;
    words.textContent = marked ? `Send ${marked} liked` : "None of them";
  };
  form.addEventListener("change", show);
  show();
}
if (form && body.dataset.mode === "like") liking();

// Sending; a click that does not reach the server is kept by the browser, and sent once it responds

const KEPT = `zo-dno-click ${location.pathname}`;
const kept = {
  get() { try { return JSON.parse(localStorage.getItem(KEPT)); } catch { return null; } },
  set(click) { try { click ? localStorage.setItem(KEPT, JSON.stringify(click)) : localStorage.removeItem(KEPT); } catch { /* a browser without storage keeps it in this page */ } },
};
let sent = false;
async function deliver(click) {
  sent = true;
  kept.set(click);
  for (let wait = 1000; ; wait = Math.min(2 * wait, 5000)) {
    let status = 0;
    try {
      const response = await fetch(click.action, { method: "POST", body: new URLSearchParams(click.fields), redirect: "manual" });
      status = response.type === "opaqueredirect" ? 303 : response.status;
    } catch { /* the server is out of reach */ }
    if (status && status !== 429 && status < 500) break;
    if (!status) say("No connection to the page's server. Your click is kept, and sent as soon as the server responds.");
    await new Promise((resolve) => { setTimeout(resolve, wait); addEventListener("online", resolve, { once: true }); });
  }
  kept.set(null);
  reload();
}
document.addEventListener("submit", (event) => {
  if (event.target.matches(".name")) return;
  let data;
  try { data = new FormData(event.target, event.submitter); } catch { return; }  // an older browser submits by itself
  event.preventDefault();
  if (sent) return;  // a double click
  (event.submitter?.closest(".card") ?? event.submitter)?.classList.add("sent");
  deliver({ action: event.target.getAttribute("action"), fields: [...data.entries()] });
});
if (kept.get()) deliver(kept.get());

// Keys

let one = null;  // the key 1 was pressed, and 0 may follow
function rate(key) {
  const press = (value) => form.querySelector(`[name=rating][value="${value}"]`)?.click();
  if (one !== null) {
    clearTimeout(one);
    one = null;
    return press(key === "0" ? 10 : 1);
  }
  if (key !== "1") return press(key === "x" ? 10 : key);
  form.querySelector('[name=rating][value="1"]').classList.add("sent");
  one = setTimeout(() => rate("Enter"), 800);
}

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=checkbox]), select") || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key;
  if (body.dataset.mode === "rate" && (one !== null || /^[0-9x]$/.test(key))) { event.preventDefault(); return rate(key); }
  if (key === "u") document.querySelector("[data-undo]:enabled")?.click();
  if (key === "z") {
    const at = document.activeElement?.closest(".card, figure, .rungs button")?.querySelector("img") ?? document.querySelector(".card:hover img, figure:hover img, .rung img:hover");
    const image = at ?? enlargeable.at(phase === "end" ? -1 : 0);
    if (image) enlarge(image);
  }
  if (!form) return;
  if (key === "s") form.querySelector("[name=skip]").click();
  const picked = { ArrowLeft: 1, ArrowRight: 2 }[body.dataset.mode === "compare" ? key : ""] ?? Number(key);
  if (toggle) {
    if (key === "Enter" && order.length === pictures.length) { event.preventDefault(); form.querySelector(".send").click(); }
    if (pictures[picked - 1]) toggle(picked - 1);
  } else pictures[picked - 1]?.click();
  if (body.dataset.mode === "like" && key === "Enter" && !event.target.matches("button, summary")) {
    event.preventDefault();
    form.querySelector(".send").click();
  }
});

// Following the search

function say(text) {
  lost.hidden = !text;
  if (lost.textContent !== text) lost.textContent = text;
}
const EVERY = { wait: 700, task: 2000, end: 5000 }[phase];
const AGAIN = 700;  // milliseconds after a look that failed
const PATIENT = 3;  // looks that may fail before the page says so
const GONE = {
  wait: `The page's server does not respond: the search has ended or was stopped, or the connection is lost. Every rating that was sent is kept. To see the result: zo-dno rate ${body.dataset.run}`,
  task: "The page's server does not respond. A click is kept, and sent as soon as it does.",
  end: "",  // all that this page shows is here
};
const own = JSON.parse(body.dataset.state);
let failed = 0;
function differs(now) {
  if (phase === "wait") return JSON.stringify(now) !== JSON.stringify(own);
  return now.phase !== phase && (now.phase === "end" || phase === "end") || phase === "task" && now.round !== own.round;
}
async function look() {  // by its first look, a page also says that it has loaded
  try {
    const response = await fetch("state");
    if (!response.ok) throw response;
    if (differs(await response.json()) && !sent) return reload();
    if (failed >= PATIENT && !sent) say("");
    failed = 0;
  } catch {
    failed += 1;
    if (failed >= PATIENT && !sent) say(GONE[phase]);
  }
  if (!("last" in body.dataset)) setTimeout(look, failed && failed < PATIENT ? AGAIN : EVERY * Math.min(1 + failed / 4, 4));
}
look();
