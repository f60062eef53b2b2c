// The keyboard: single keys act where nobody types. Every key does what a
// link or button on the page does.
import { all, ask, on, one, parse } from "./core.js";
import { act } from "./actions.js";
import { visit } from "./nav.js";
import { selectedRows, selectWhere, toggleRow } from "./select.js";
import { undoLast } from "./toast.js";

let first = "";
/** @type {number | undefined} */
let forget;

/** @returns {HTMLElement | null} */
function currentRow() {
  return document.activeElement?.closest(".row") ?? one(".row.on");
}

/** The messages a verb is for: the selected, else the focused row, else the open one. */
function targets() {
  const chosen = selectedRows();
  if (chosen.length) return chosen.map((row) => row.id.slice(2));
  const row = document.activeElement?.closest(".row");
  if (row) return [row.id.slice(2)];
  const open = one("#reader")?.dataset.id;
  return open ? [open] : [];
}

/** @param {number} step */
function moveBy(step) {
  const rows = all(".row:not(.going)");
  const now = currentRow();
  const at = now ? rows.indexOf(now) : -1;
  const row = rows[at < 0 ? 0 : at + step];
  const link = row && /** @type {HTMLAnchorElement | null} */ (one("a", row));
  if (!link) return;
  link.focus();
  row.scrollIntoView({ block: "nearest" });
  if (one("#reader")?.dataset.id) visit(link.href, "reader");
}

/** @param {string} use */
function goTo(use) {
  const link = /** @type {HTMLAnchorElement | null} */ (one(`[data-folder][data-use="${use}"]`));
  if (link) visit(link.href, "main");
}

/** @param {string} selector */
function press(selector) {
  const element = one(selector);
  element?.click();
  return element !== null;
}

/** @param {boolean} starred */
function starOf(starred) {
  const refs = targets();
  const firstStar = refs[0] && document.getElementById(`m-${refs[0]}`)?.querySelector(".star");
  const isStarred = (firstStar || one(".starred"))?.getAttribute("aria-pressed") === "true";
  act(starred && isStarred ? "unstar" : "star", refs);
}

function openMove() {
  const scope = selectedRows().length ? ".bulk" : "#act";
  const menu = /** @type {HTMLDetailsElement | null} */ (one(`${scope} [data-move]`));
  if (!menu) return;
  menu.open = true;
  one("button", menu)?.focus();
}

function back() {
  if (one("details.drop[open]")) return one("details.drop[open]")?.removeAttribute("open");
  if (selectedRows().length) return selectWhere(() => false);
  const open = one("#reader")?.dataset.id;
  const here = one("#list")?.dataset.here;
  if (open && here) visit(here, "main").then(() => document.getElementById(`m-${open}`)?.querySelector("a")?.focus());
}

async function showKeys() {
  const link = /** @type {HTMLAnchorElement | null} */ (one("a[data-keys]"));
  if (!link) return;
  const response = await ask(link.href, "keys").catch(() => null);
  const sheet = response?.ok ? one("#keys", parse(await response.text())) : null;
  if (!sheet) return location.assign(link.href);
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "keys-title");
  dialog.append(document.adoptNode(sheet));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (target !== dialog && !target.closest("[data-close-keys]")) return;
    event.preventDefault();
    dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
}

const isUnread = (/** @type {Element} */ row) => row.classList.contains("unread");
const isStarred = (/** @type {Element} */ row) => one(".star", row)?.getAttribute("aria-pressed") === "true";

/** @type {Record<string, () => unknown>} */
const keymap = {
  j: () => moveBy(1),
  k: () => moveBy(-1),
  o: () => press(".row:focus-within > a") || press(".row > a"),
  u: back,
  Escape: back,
  x: () => currentRow() && toggleRow(/** @type {HTMLElement} */ (currentRow()), false),
  X: () => currentRow() && toggleRow(/** @type {HTMLElement} */ (currentRow()), true),
  "* a": () => selectWhere(() => true),
  "* n": () => selectWhere(() => false),
  "* r": () => selectWhere((row) => !isUnread(row)),
  "* u": () => selectWhere(isUnread),
  "* s": () => selectWhere(isStarred),
  "* t": () => selectWhere((row) => !isStarred(row)),
  c: () => press(".compose-btn"),
  r: () => press('[data-answer="reply"]'),
  a: () => press('[data-answer="replyall"]') || press('[data-answer="reply"]'),
  f: () => press('[data-answer="forward"]'),
  e: () => act("archive", targets()),
  y: () => act("archive", targets()),
  "#": () => act("delete", targets()),
  Delete: () => act("delete", targets()),
  "!": () => act(one('#act [value="notjunk"]') ? "notjunk" : "junk", targets()),
  s: () => starOf(true),
  v: openMove,
  I: () => act("read", targets()),
  U: () => act("unread", targets()),
  z: undoLast,
  "/": () => one(".search input")?.focus(),
  "[": () => press('.pager [rel="prev"]'),
  "]": () => press('.pager [rel="next"]'),
  "?": showKeys,
  "g i": () => goTo("inbox"),
  "g s": () => goTo("starred"),
  "g t": () => goTo("sent"),
  "g d": () => goTo("drafts"),
  "g a": () => goTo("archive"),
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = /** @type {Element} */ (event.target);
  const box = /** @type {HTMLInputElement} */ (target);
  const isText = target.closest("textarea, select, [contenteditable], dialog") || (target.matches("input") && box.type !== "checkbox");
  if (isText) return;
  const name = first ? `${first} ${event.key}` : event.key;
  clearTimeout(forget);
  first = "";
  const run = keymap[name];
  if (run) {
    event.preventDefault();
    run();
  } else if (event.key === "g" || event.key === "*") {
    first = event.key;
    forget = setTimeout(() => (first = ""), 1500);
  }
});

on("click", "a[data-keys]", (event) => {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  showKeys();
});
