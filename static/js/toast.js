// Short news at the bottom: ten seconds, longer while pointer or focus is on
// it; some stay until dismissed. Undo also on key Z.
import { ask, hear, on, one, swapFor, tell, word } from "./core.js";

/** @type {number | undefined} */
let leaves;

function toastBox() {
  return one("#toast > .toast");
}

function startToast() {
  clearTimeout(leaves);
  const box = toastBox();
  if (!box) return;
  if (box.dataset.sticky !== undefined && !one("[data-dismiss]", box)) addDismiss(box);
  if (box.dataset.sticky === undefined) leaves = setTimeout(() => box.matches(":hover, :focus-within") ? startToast() : box.remove(), 10_000);
}

/** @param {HTMLElement} box */
function addDismiss(box) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.dismiss = "";
  button.textContent = word("js.dismiss");
  box.append(button);
}

/**
 * @param {string} text
 * @param {boolean} [bad]
 */
export function sayToast(text, bad = false) {
  const box = document.createElement("div");
  box.className = bad ? "toast bad" : "toast";
  box.textContent = text;
  one("#toast")?.replaceChildren(box);
  startToast();
}

export function failed() {
  sayToast(word("js.failed"), true);
}

export function undoLast() {
  one("#toast [data-undo]")?.click();
}

on("click", "[data-dismiss]", (_, button) => button.closest(".toast").remove());

on("submit", "#toast form", async (event, form) => {
  event.preventDefault();
  const body = new URLSearchParams(/** @type {any} */ (new FormData(form, event.submitter)));
  const list = one("#list")?.dataset.here;
  if (list) body.set("back", list);
  form.remove();
  try {
    const response = await ask(form.action, list ? "list" : "toast", { method: "POST", body });
    if (!response.ok || !await swapFor(response, list)) throw new Error(String(response.status));
    tell("changed");
  } catch {
    failed();
  }
});

hear("swapped", startToast);
startToast();
