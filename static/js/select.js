// The selection: the head's box, ranges with Shift, the number selected.
import { all, hear, on, one, word } from "./core.js";

/** @type {HTMLElement | null} */
let anchor = null;

/** @returns {HTMLElement[]} */
export function selectedRows() {
  return all(".row").filter((row) => boxOf(row)?.checked);
}

/** @param {Element} row @returns {HTMLInputElement | null} */
export function boxOf(row) {
  return one("input[name=id]", row);
}

/** @param {(row: HTMLElement) => boolean} want */
export function selectWhere(want) {
  for (const row of all(".row")) {
    const box = boxOf(row);
    if (box) box.checked = want(row);
  }
  showNumber();
}

/**
 * @param {HTMLElement} row
 * @param {boolean} range
 */
export function toggleRow(row, range) {
  const box = boxOf(row);
  if (!box) return;
  box.checked = range || !box.checked;
  spread(row, range, box.checked);
}

/** @param {HTMLElement} row @param {boolean} range @param {boolean} value */
function spread(row, range, value) {
  const rows = all(".row");
  if (range && anchor?.isConnected) {
    const [from, to] = [rows.indexOf(anchor), rows.indexOf(row)].sort((a, b) => a - b);
    for (const between of rows.slice(from, to + 1)) {
      const box = boxOf(between);
      if (box) box.checked = value;
    }
  }
  anchor = row;
  showNumber();
}

function showNumber() {
  const n = selectedRows().length;
  const place = one("[data-selected]");
  if (place) place.textContent = word("js.selected", n);
}

on("click", ".row input[name=id]", (event, box) => spread(box.closest(".row"), event.shiftKey, box.checked));
on("click", "[data-all]", (event) => {
  event.preventDefault();
  selectWhere(() => true);
});
on("click", "[data-none]", (event) => {
  event.preventDefault();
  selectWhere(() => false);
});
on("keydown", "[data-all]", (event, link) => {
  if (event.key !== " ") return;
  event.preventDefault();
  link.click();
});

function dressHead() {
  const box = one("[data-all]");
  box?.setAttribute("role", "checkbox");
  box?.setAttribute("aria-checked", "false");
  showNumber();
}
hear("swapped", dressHead);
dressHead();
