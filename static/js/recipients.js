// Addresses as chips. The named input stays the carrier of the value; the
// chips and the input one types in have no name.
import { all, one, word } from "./core.js";

const shape = /^[^\s@<>]+@[^\s@<>]+$/;

/**
 * Cuts a list at commas and semicolons outside of quotes and angle brackets.
 * @param {string} text
 * @returns {string[]}
 */
export function splitAddresses(text) {
  const out = [];
  let part = "";
  let quoted = false;
  let angle = false;
  for (const c of text) {
    if (c === '"') quoted = !quoted;
    else if (c === "<") angle = true;
    else if (c === ">") angle = false;
    if ((c === "," || c === ";" || c === "\n") && !quoted && !angle) {
      out.push(part.trim());
      part = "";
    } else part += c;
  }
  out.push(part.trim());
  return out.filter(Boolean);
}

/** @param {string} text */
function partsOf(text) {
  const found = /^(.*)<([^<>]*)>\s*$/s.exec(text);
  const name = found ? found[1].trim().replace(/^"(.*)"$/, "$1") : "";
  return { name, address: (found ? found[2] : text).trim() };
}

/** @param {string} text @param {() => void} changed */
function makeChip(text, changed) {
  const { name, address } = partsOf(text);
  const chip = document.createElement("span");
  chip.className = shape.test(address) ? "chip" : "chip bad";
  chip.dataset.address = text;
  chip.title = shape.test(address) ? address : word("js.badaddress", text);
  const label = document.createElement("bdi");
  label.textContent = name || address;
  const remove = document.createElement("button");
  remove.type = "button";
  remove.setAttribute("aria-label", word("js.remove", name || address));
  remove.textContent = "×";
  remove.addEventListener("click", () => {
    const fields = chip.parentElement;
    chip.remove();
    changed();
    fields && one("[data-typing]", fields)?.focus();
  });
  const pad = document.createElement("span");
  pad.className = "pad";
  chip.append(pad, label, remove);
  return chip;
}

/** @param {HTMLElement} line */
function dressLine(line) {
  const carrier = /** @type {HTMLInputElement | null} */ (one("input[name]", line));
  const fields = one(".fields", line);
  if (!carrier || !fields) return;
  const typing = /** @type {HTMLInputElement} */ (carrier.cloneNode());
  typing.removeAttribute("name");
  typing.value = "";
  typing.placeholder = " ";
  typing.dataset.typing = "";
  carrier.removeAttribute("id");
  carrier.removeAttribute("autofocus");
  carrier.type = "hidden";
  fields.append(typing);
  const collect = () => {
    carrier.value = [...all(".chip", fields).map((c) => c.dataset.address), typing.value.trim()].filter(Boolean).join(", ");
  };
  const changed = () => {
    collect();
    carrier.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const settleTyped = (/** @type {string} */ text) => {
    for (const part of splitAddresses(text)) typing.before(makeChip(part, changed));
    typing.value = "";
    changed();
  };
  for (const part of splitAddresses(carrier.value)) typing.before(makeChip(part, changed));
  typing.addEventListener("input", () => {
    if (/[,;\n]\s*$/.test(typing.value) && splitAddresses(`${typing.value}x`).length > 1) settleTyped(typing.value);
    else collect();
  });
  typing.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!/[,;\n]/.test(text)) return;
    event.preventDefault();
    settleTyped(`${typing.value}${text}`);
  });
  typing.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (typing.value.trim()) settleTyped(typing.value);
    } else if (event.key === "Backspace" && !typing.value) {
      all(".chip", fields).at(-1)?.remove();
      changed();
    }
  });
  typing.addEventListener("blur", () => typing.value.trim() && settleTyped(typing.value));
  line.addEventListener("click", (event) => /** @type {Element} */ (event.target).closest("button, input, .err") || typing.focus());
}

/** @param {HTMLFormElement} form */
export function dressRecipients(form) {
  const lines = all("[data-recipients]", form);
  for (const line of lines) dressLine(line);
  let place = lines[0] && one(".fields", lines[0]);
  for (const line of lines) {
    if (!("empty" in line.dataset)) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn quiet add";
    button.textContent = word(`js.${line.dataset.recipients}`);
    button.addEventListener("click", () => {
      delete line.dataset.empty;
      button.remove();
      one("[data-typing]", line)?.focus();
    });
    place?.after(button);
    place = button;
  }
}
