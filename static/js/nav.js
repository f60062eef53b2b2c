// Links and search forms marked data-nav fetch only the regions that change.
// The address, back and forward are those of plain links; every failure ends
// in a plain navigation.
import { all, ask, hear, on, one, retitle, swap, tell } from "./core.js";

let journey = 0;
/** @type {Map<string, Promise<Response>>} */
const fetched = new Map();

export function isPhone() {
  return matchMedia("(width < 640px)").matches;
}

/**
 * Shows an address. push is false when the browser moved already.
 * @param {string} url
 * @param {string} fragment
 * @param {boolean} [push]
 */
export async function visit(url, fragment, push = true) {
  const mine = ++journey;
  const wait = fragment === "reader" ? 0 : setTimeout(showSkeleton, 200);
  try {
    const early = fetched.get(`${fragment} ${url}`);
    fetched.clear();
    const response = await (early ?? ask(url, fragment));
    const html = await response.clone().text();
    clearTimeout(wait);
    if (mine !== journey) return;
    if (!response.ok || !swap(html)) {
      location.assign(response.redirected ? response.url : url);
      return;
    }
    const shown = response.redirected ? response.url : url;
    if (push) history.pushState({ fragment }, "", shown);
    retitle(response);
    tell("visited", { fragment, url: shown });
    settle(fragment);
  } catch {
    clearTimeout(wait);
    if (mine === journey) location.assign(url);
  }
}

function showSkeleton() {
  const rows = one("#rows");
  const skeleton = /** @type {HTMLTemplateElement | null} */ (one("#skeleton"));
  const copy = skeleton && /** @type {Element} */ (skeleton.content.cloneNode(true)).firstElementChild;
  if (!rows || !copy) return;
  copy.id = "rows";
  rows.replaceWith(copy);
}

/** @param {string} fragment */
function settle(fragment) {
  if (location.hash === "#sidebar") history.replaceState(history.state, "", location.pathname + location.search);
  markOpen();
  if (fragment === "reader") {
    const reader = one("#conversation");
    if (reader) reader.scrollTop = 0;
    if (isPhone()) reader?.focus({ preventScroll: true });
  } else if (fragment === "list") {
    one("#rows a")?.focus({ preventScroll: true });
  }
}

// The open row follows the reader without the list being asked again.
export function markOpen() {
  const id = one("#reader")?.dataset.id;
  for (const row of all(".row")) {
    const open = row.id === `m-${id}`;
    row.classList.toggle("on", open);
    const link = one("a", row);
    if (open) link?.setAttribute("aria-current", "true");
    else link?.removeAttribute("aria-current");
  }
}

/** @param {MouseEvent} event */
function plainClick(event) {
  return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey && !event.defaultPrevented;
}

on("click", "a[data-nav]", (event, link) => {
  if (!plainClick(event) || link.origin !== location.origin || !one("#list")) return;
  event.preventDefault();
  visit(link.href, link.dataset.nav);
});

on("submit", "form[data-nav]:not([method=post])", (event, form) => {
  if (!one("#list") || event.defaultPrevented) return;
  event.preventDefault();
  const query = new URLSearchParams(/** @type {any} */ (new FormData(form)));
  visit(`${form.action}?${query}`, form.dataset.nav);
});

addEventListener("popstate", () => {
  if (location.hash) return;
  if (one("#list")?.dataset.here !== undefined) visit(location.href, "main", false);
  else location.reload();
});

// The next message is asked for while the pointer rests on its row. Script
// may not set Sec-Purpose, so the header is our own; a fragment never marks
// as read by itself.
/** @type {number | undefined} */
let resting;
/** @param {HTMLAnchorElement} link */
function prefetch(link) {
  const key = `reader ${link.href}`;
  if (fetched.has(key) || link.origin !== location.origin || link.closest(".on")) return;
  if (fetched.size > 4) fetched.clear();
  const answer = ask(link.href, "reader", { headers: { "Eider-Purpose": "prefetch" } });
  answer.then((r) => r.ok || fetched.delete(key), () => fetched.delete(key));
  fetched.set(key, answer);
}
on("pointerover", '.row > a[data-nav="reader"]', (event, link) => {
  clearTimeout(resting);
  if (event.pointerType === "mouse") resting = setTimeout(() => prefetch(link), 80);
});
on("pointerdown", '.row > a[data-nav="reader"]', (event, link) => event.button === 0 && prefetch(link));
hear("changed", () => fetched.clear());

// An open menu closes on Escape and when another place is pressed.
document.addEventListener("click", (event) => {
  for (const open of all("details.drop[open]")) {
    if (!open.contains(/** @type {Node} */ (event.target))) open.removeAttribute("open");
  }
});
on("click", ".pop.menu a, .pop.menu button", (_, element) => setTimeout(() => element.closest("details")?.removeAttribute("open")));
on("click", "[data-print]", () => window.print());
