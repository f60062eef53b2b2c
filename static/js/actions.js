// Stars, bulk actions and the reader's toolbar show their effect at once;
// the form goes to the server behind it. What fails comes back.
import { all, ask, count, csrfToken, hear, on, one, swap, tell, word } from "./core.js";
import { isPhone, visit } from "./nav.js";
import { selectedRows } from "./select.js";
import { failed, sayToast } from "./toast.js";

// Verbs that take a message out of the list it is in.
const leaving = new Set(["archive", "delete", "junk", "notjunk", "move"]);

// Requests under way; until they are answered the server still has the rows.
let pending = 0;

/** @param {string} ref */
function rowOf(ref) {
  return document.getElementById(`m-${ref}`);
}

/** @param {HTMLElement} row @param {boolean} unread */
export function showUnread(row, unread) {
  if (row.classList.contains("unread") === unread) return;
  row.classList.toggle("unread", unread);
  const link = one("a", row);
  if (!unread) one("a > .vh", row)?.remove();
  else if (link) {
    const note = document.createElement("span");
    note.className = "vh";
    note.textContent = `${word("row.unread")} `;
    link.prepend(note);
  }
}

/** @param {Element | null} button @param {boolean} starred */
export function showStar(button, starred) {
  if (!button) return;
  button.setAttribute("aria-pressed", String(starred));
  if (button.matches(".star")) button.setAttribute("name", starred ? "unstar" : "star");
  else button.setAttribute("value", starred ? "unstar" : "star");
}

/** @param {HTMLElement} row */
export function removeRow(row) {
  row.classList.add("going");
  setTimeout(() => {
    const group = row.parentElement;
    row.remove();
    if (group && !group.children.length) {
      group.previousElementSibling?.matches(".day") && group.previousElementSibling.remove();
      group.remove();
    }
    if (!one(".row") && !pending) tell("emptied");
  }, 150);
}

/**
 * @param {string} verb
 * @param {string[]} refs
 */
function showEffect(verb, refs) {
  for (const ref of refs) {
    const row = rowOf(ref);
    const inReader = one("#reader")?.dataset.id === ref;
    if (verb === "star" || verb === "unstar") {
      showStar(row && one(".star", row), verb === "star");
      if (inReader) showStar(one(".starred"), verb === "star");
    } else if (row && (verb === "read" || verb === "unread")) {
      showUnread(row, verb === "unread");
    } else if (row && leaving.has(verb)) {
      removeRow(row);
    }
  }
}

/**
 * Runs a verb on messages: effect first, then the request.
 * @param {string} verb
 * @param {string[]} refs
 * @param {{to?: string, quiet?: boolean}} [options]
 */
export async function act(verb, refs, options = {}) {
  const list = one("#list");
  if (!list || !refs.length) return;
  const opened = one("#reader")?.dataset.id;
  const closes = leaving.has(verb) && opened !== undefined && refs.includes(opened);
  const next = closes ? neighbour(refs) : null;
  showEffect(verb, refs);
  const body = new URLSearchParams({ csrf: csrfToken(), back: list.dataset.here || location.pathname });
  if (options.to) body.set("to", options.to);
  else body.set("do", verb);
  for (const ref of refs) body.append("id", ref);
  const mailbox = refs[0].slice(0, refs[0].lastIndexOf("-"));
  if (!options.quiet && leaving.has(verb)) sayToast(count(`done.${verb}`, refs.length));
  tell("changed");
  if (next) visit(next, "reader");
  pending++;
  try {
    // What was shown as done goes on when the page is left meanwhile.
    const response = await ask(`/mail/${encodeURIComponent(mailbox)}`, "toast", { method: "POST", body, quiet: options.quiet, keepalive: true });
    if (!response.ok) throw new Error(String(response.status));
    if (response.status !== 204) swap(await response.text());
    if (closes && !next) await visit(list.dataset.here ?? "/", "main");
    else if (leaving.has(verb) && !one(".row:not(.going)")) tell("emptied");
  } catch {
    if (options.quiet) return;
    failed();
    visit(list.dataset.here || location.href, closes ? "main" : "list", false);
  } finally {
    pending--;
  }
}

// On a desktop the reader goes on to the next message; on a phone back to the list.
/** @param {string[]} gone */
function neighbour(gone) {
  if (isPhone()) return null;
  const rows = all(".row").filter((row) => !gone.includes(row.id.slice(2)) || row.classList.contains("on"));
  const at = rows.findIndex((row) => row.classList.contains("on"));
  const row = rows[at + 1] ?? rows[at - 1];
  const link = row && /** @type {HTMLAnchorElement | null} */ (one("a", row));
  return link ? link.href : null;
}

on("submit", "form[data-act]", (event, form) => {
  const button = event.submitter;
  if (!button || event.defaultPrevented) return;
  event.preventDefault();
  const row = button.closest(".row");
  const open = one("#reader")?.dataset.id;
  if (button.name === "star" || button.name === "unstar") return void act(button.name, [button.value]);
  const refs = form.id === "act" ? (open ? [open] : []) : row ? [row.id.slice(2)] : selectedRows().map((r) => r.id.slice(2));
  if (button.name === "to") act("move", refs, { to: button.value });
  else act(button.value, refs);
});

// The shared toolbar moves into the row under the pointer or the focus.
/** @type {Element | null} */
let tools = null;
/** @param {Element} row */
function moveTools(row) {
  if (!tools) {
    const template = /** @type {HTMLTemplateElement | null} */ (one("#row-tools"));
    tools = template ? /** @type {Element} */ (template.content.cloneNode(true)).firstElementChild ?? null : null;
    tools?.querySelectorAll("button").forEach((b) => b.setAttribute("tabindex", "-1"));
  }
  if (tools && tools.parentElement !== row) row.append(tools);
}
on("pointerover", ".row", (_, row) => moveTools(row));
on("focusin", ".row > a", (_, link) => moveTools(link.closest(".row")));

// A message counts as read once it is really shown.
let told = "";
/** @type {number | undefined} */
let shownFor;
function markShown() {
  const reader = one("#reader");
  clearTimeout(shownFor);
  if (reader?.dataset.mark !== "true" || document.hidden) return;
  const ref = reader.dataset.id || "";
  if (ref === told) return;
  shownFor = setTimeout(() => {
    told = ref;
    act("read", [ref], { quiet: true });
  }, 300);
}
hear("visited", () => {
  told = "";
  markShown();
});
document.addEventListener("visibilitychange", markShown);
markShown();
