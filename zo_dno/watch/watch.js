"use strict";
// The page works without this file, which replaces the cards that have changed.
const cards = document.querySelector("#cards");
const live = document.querySelector("#live");
const versions = new Map();
const POLL = 3000;

async function cardOf(key) {
  const response = await fetch(`card/${key}`);
  if (!response.ok) return null;
  const template = document.createElement("template");
  template.innerHTML = await response.text();  // our own, in which every text of others is escaped
  return template.content.firstElementChild;
}

async function show(state) {
  for (const [key, version] of state.cards) {
    const old = document.getElementById(`card-${key}`);
    if (old && versions.get(key) === version) continue;
    const fresh = await cardOf(key);
    if (!fresh) continue;
    versions.set(key, version);
    const focused = old?.contains(document.activeElement) ? document.activeElement.name : "";
    for (const image of fresh.querySelectorAll("img")) await image.decode().catch(() => {});  // no flicker
    old ? old.replaceWith(fresh) : cards.append(fresh);
    if (focused) fresh.querySelector(`[name="${focused}"]`)?.focus();
  }
  const wanted = new Set(state.cards.map(([key]) => `card-${key}`));
  for (const card of [...cards.children]) if (!wanted.has(card.id)) card.remove();
  state.cards.forEach(([key], i) => {
    const card = document.getElementById(`card-${key}`);
    if (card && cards.children[i] !== card) cards.insertBefore(card, cards.children[i] ?? null);
  });
  document.querySelector("#none").hidden = state.cards.length > 0;
  document.querySelector("#left-out").hidden = !state.left_out;
  document.querySelector("#left-out span").textContent = state.left_out;
}

let next = null, busy = false;
async function take(state) {
  next = state;
  if (busy) return;  // the newest state is shown after the one at hand
  busy = true;
  try {
    while (next) {
      const now = next;
      next = null;
      await show(now);
    }
  } catch { versions.clear(); } finally { busy = false; }
}

async function poll() {
  try {
    const response = await fetch("state");
    if (response.status === 401) return location.reload();
    await take(await response.json());
    live.textContent = "live";
  } catch { live.textContent = "no connection; trying again"; }
  setTimeout(poll, POLL);
}

if ("EventSource" in window) {
  const source = new EventSource("changes");
  source.onmessage = (event) => { live.textContent = "live"; take(JSON.parse(event.data)); };
  source.onopen = () => { live.textContent = "live"; };
  source.onerror = () => {
    live.textContent = "no connection; trying again";
    if (source.readyState === EventSource.CLOSED) setTimeout(poll, POLL);
  };
} else poll();
