// One socket per tab follows the mailbox on the screen. It comes back with
// growing pauses and catches up from the last journal id it saw.
import { all, ask, count, hear, on, one, parse, swapFor, tell, word } from "./core.js";
import { removeRow, showStar, showUnread } from "./actions.js";
import { selectedRows } from "./select.js";

const place = one("#live");
/** @type {WebSocket | null} */
let socket = null;
let since = place?.dataset.since || "";
let tries = 0;
let closing = false;
let waiting = 0;
/** @type {number | undefined} */
let again;
/** @type {number | undefined} */
let lostTimer;
let isLost = false;
/** @type {HTMLElement[]} */
let held = [];
let baseTitle = document.title;

function viewOf() {
  return { mailbox: one("#list")?.dataset.mailbox || "" };
}

function greet() {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ view: viewOf(), since, token: place?.dataset.token }));
}

function connect() {
  if (!place || socket) return;
  clearTimeout(again);
  closing = false;
  const url = new URL(place.dataset.url || "/live", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(url);
  socket.onopen = () => {
    tries = 0;
    clearTimeout(lostTimer);
    lostTimer = undefined;
    showLost(false);
    greet();
  };
  socket.onmessage = (event) => {
    try {
      receive(JSON.parse(event.data));
    } catch (error) {
      console.error(error);
    }
  };
  socket.onclose = () => {
    socket = null;
    if (closing) return;
    lostTimer ??= setTimeout(() => showLost(true), 3000);
    const pause = Math.min(30, 2 ** tries++) * 1000;
    again = setTimeout(connect, pause * (0.75 + Math.random() / 2));
  };
}

function disconnect() {
  closing = true;
  clearTimeout(again);
  clearTimeout(lostTimer);
  lostTimer = undefined;
  socket?.close();
  socket = null;
}

/** @param {boolean} value */
function showLost(value) {
  isLost = value;
  const banner = one("[data-lost]");
  if (banner) banner.hidden = !value;
}

/** @param {any} frame */
function receive(frame) {
  const row = frame.uid === undefined ? null : document.getElementById(`m-${frame.mailbox}-${frame.uid}`);
  switch (frame.op) {
    case "new":
      if (!row) arrive(frame);
      break;
    case "flags":
      if (row) reflag(row, frame.flags || {});
      reflagReader(frame);
      break;
    case "gone":
      held = held.filter((waitingRow) => waitingRow.id !== `m-${frame.mailbox}-${frame.uid}`);
      if (row) removeRow(row);
      showPill();
      break;
    case "counters":
      for (const mailbox of frame.mailboxes || []) recount(mailbox);
      break;
    case "resync":
      resync();
      break;
  }
  if (frame.id) since = frame.id;
  if (frame.op !== "at") tell("changed");
}

/** @param {HTMLElement} row @param {{seen?: boolean, flagged?: boolean}} flags */
function reflag(row, flags) {
  if (flags.seen !== undefined) showUnread(row, !flags.seen);
  if (flags.flagged !== undefined) showStar(one(".star", row), flags.flagged);
}

/** @param {any} frame */
function reflagReader(frame) {
  if (one("#reader")?.dataset.id === `${frame.mailbox}-${frame.uid}` && frame.flags?.flagged !== undefined) showStar(one(".starred"), frame.flags.flagged);
}

// New mail comes into the list only where it moves nothing that the user
// works on; otherwise it offers itself.
/** @param {any} frame */
function arrive(frame) {
  const list = one("#list");
  if (!list || frame.mailbox !== list.dataset.mailbox || !frame.html) return;
  const fresh = one(".row", parse(frame.html));
  if (!fresh) return;
  const row = document.adoptNode(fresh);
  if (isOldNews(list, row)) return;
  met.add(row.id);
  held = held.filter((waitingRow) => waitingRow.id !== row.id);
  if (isCalm(list)) insertRow(row);
  else {
    held.push(row);
    showPill();
  }
}

// The rows that this tab has shown or was told of.
/** @type {Set<string>} */
let met = new Set();
function meet() {
  if (met.size > 5000) met = new Set();
  for (const row of all(".row")) met.add(row.id);
}

/** @param {HTMLElement} list */
function isFirstPage(list) {
  return !list.dataset.query && !list.dataset.filter && !list.dataset.newer;
}

// The server tells the last seconds twice, so that nothing is lost while a
// view changes. What belongs on a later page, or was shown on another, is not new.
/** @param {HTMLElement} list @param {HTMLElement} row */
function isOldNews(list, row) {
  if (!isFirstPage(list)) return met.has(row.id);
  const last = all(".row", list).at(-1);
  return one('.pager [rel="next"]', list) !== null && last !== undefined && isBelow(row, last);
}

// The order of the list is that of the store: rows of one second have one, too.
/** @param {HTMLElement} row @param {HTMLElement} other */
function isBelow(row, other) {
  return (row.dataset.order || "") < (other.dataset.order || "");
}

/** @param {HTMLElement} list */
function isCalm(list) {
  return isFirstPage(list) && !held.length && (one("#rows")?.scrollTop ?? 0) < 4 &&
    !selectedRows().length && !document.activeElement?.closest(".row");
}

/** @param {HTMLElement} row */
function insertRow(row) {
  let rows = one("#rows");
  if (rows?.matches(".empty")) {
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.id = "rows";
    rows.replaceWith(scroll);
    rows = scroll;
  }
  if (!rows) return;
  const top = one(".row", rows);
  if (top && isBelow(row, top)) {
    // Not the newest: filed with an older date, or told after a later one.
    resync();
    return;
  }
  let head = one(".day", rows);
  if (head?.textContent !== word("js.today")) {
    head = document.createElement("h3");
    head.className = "day";
    head.textContent = word("js.today");
    rows.prepend(head, document.createElement("ul"));
  }
  row.classList.add("come");
  head.nextElementSibling?.prepend(row);
  tell("arrived", row.id);
}

function showPill() {
  const pill = one("[data-pill]");
  if (!pill) return;
  pill.hidden = held.length === 0;
  const text = one("span", pill);
  if (text && held.length) text.textContent = count("js.new", held.length);
}

on("click", "[data-pill]", (event) => {
  const list = one("#list");
  if (list && !isFirstPage(list)) return; // the link itself goes to the first page
  event.preventDefault();
  const rows = held;
  held = [];
  for (const row of rows) insertRow(row);
  one("#rows")?.scrollTo({ top: 0 });
  showPill();
}, true);

/** @param {{id: string, total: number, unseen: number}} mailbox */
function recount(mailbox) {
  const link = all("[data-folder]").find((e) => e.dataset.folder === mailbox.id);
  const number = link && one("[data-count]", link);
  if (number) {
    const kind = number.dataset.count;
    const n = kind === "total" ? mailbox.total : kind === "unseen" ? mailbox.unseen : 0;
    number.hidden = n === 0;
    number.textContent = n < 1000 ? String(n) : `${Math.floor(n / 100) / 10}k`;
  }
  const list = one("#list");
  if (list && mailbox.id === list.dataset.mailbox) {
    list.dataset.unseen = String(mailbox.unseen);
    showTitle();
  }
}

function showTitle() {
  const n = Number(one("#list")?.dataset.unseen || 0);
  document.title = n > 0 ? `(${n}) ${baseTitle}` : baseTitle;
}

// The server cannot tell the difference any more: the list is asked again,
// which keeps selection and scroll. What is said while it is on its way may
// not be in it, so then it is asked once more.
async function resync() {
  const here = one("#list")?.dataset.here;
  if (!here) return;
  if (waiting++) return;
  const known = held;
  try {
    const response = await ask(here, "list");
    if (response.ok) await swapFor(response, here);
    held = held.filter((row) => !known.includes(row));
    showPill();
  } finally {
    const more = waiting > 1;
    waiting = 0;
    if (more) resync();
  }
}

on("click", "[data-reconnect]", () => {
  tries = 0;
  connect();
});
hear("visited", () => {
  held = [];
  meet();
  greet();
});
hear("titled", () => {
  baseTitle = document.title;
  showTitle();
});
hear("swapped", () => {
  showLost(isLost);
  held = held.filter((row) => !document.getElementById(row.id));
  showPill();
  showTitle();
});
// A page with an open socket cannot be kept for back and forward.
addEventListener("pagehide", disconnect);
addEventListener("pageshow", connect);
meet();
addEventListener("online", () => {
  tries = 0;
  connect();
});
showTitle();
