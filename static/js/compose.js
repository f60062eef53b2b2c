// The composer: docked on a desktop, saved a second after the last key,
// files uploaded at once. It is the plain form all the time.
import { all, ask, csrfToken, on, one, parse, swap, tell, word } from "./core.js";
import { isPhone } from "./nav.js";
import { dressRecipients } from "./recipients.js";
import { failed, sayToast } from "./toast.js";

let dirty = false;
/** @type {number | undefined} */
let saveTimer;
// Requests on one draft go one after the other: each knows the version before it.
/** @type {Promise<unknown>} */
let queue = Promise.resolve();
let busy = 0;

/** @returns {HTMLFormElement | null} */
function composeForm() {
  return one("#compose-form");
}

// The form has a field named action, which hides the property of that name.
/** @param {HTMLFormElement} form */
function actionOf(form) {
  return form.getAttribute("action") || "/compose";
}

function isDocked() {
  return one("#composer > #compose") !== null;
}

/** @param {string} text */
function showSaved(text) {
  const place = one("#compose [data-saved]");
  if (place) place.textContent = text;
}

/** @template T @param {() => Promise<T>} job @returns {Promise<T>} */
function enqueue(job) {
  busy++;
  const run = queue.then(job, job);
  queue = run.catch(() => undefined).finally(() => busy--);
  return run;
}

/** @param {Record<string, string>} extra @param {FileList | File[]} [files] */
function draftData(extra, files) {
  const form = composeForm();
  const data = form ? new FormData(form) : new FormData();
  data.delete("files");
  for (const file of files ?? []) data.append("files", file);
  for (const [name, value] of Object.entries(extra)) data.append(name, value);
  return data;
}

/** @param {string} html */
function takeState(html) {
  const fresh = one("#compose-state", parse(html));
  const stale = one("#compose-state");
  if (!fresh || !stale) return false;
  stale.replaceWith(document.adoptNode(fresh));
  showSaved(fresh.dataset.status || "");
  return true;
}

/** @param {Record<string, string>} [extra] */
export function saveDraft(extra = { do: "save" }) {
  clearTimeout(saveTimer);
  const form = composeForm();
  if (!form) return Promise.resolve();
  dirty = false;
  showSaved(word("js.saving"));
  return enqueue(async () => {
    if (composeForm() !== form) return;
    const response = await ask(actionOf(form), "draft", { method: "POST", body: draftData(extra) });
    if (!takeState(await response.text()) || !response.ok) throw new Error(String(response.status));
  }).catch(() => {
    dirty = true;
    showSaved(word("js.unsaved"));
  });
}

/** @param {File[]} files */
function attachFiles(files) {
  const form = composeForm();
  const list = one("#compose [data-uploads]");
  if (!form || !list || !files.length) return;
  const item = document.createElement("li");
  item.className = "file";
  const name = document.createElement("b");
  name.className = "ell";
  name.textContent = files.map((f) => f.name).join(", ");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", word("js.uploading", name.textContent));
  item.append(document.createElement("span"), name, bar);
  list.append(item);
  list.hidden = false;
  enqueue(() => new Promise((resolve, reject) => {
    // fetch has no progress of an upload.
    const request = new XMLHttpRequest();
    request.open("POST", actionOf(form));
    request.setRequestHeader("Eider-Fragment", "draft");
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) bar.value = event.loaded / event.total;
    };
    request.onload = () => (request.status === 200 && takeState(request.responseText) ? resolve(undefined) : reject(new Error(String(request.status))));
    request.onerror = () => reject(new Error("network"));
    request.send(draftData({ do: "attach" }, files));
  })).catch(failed).finally(() => {
    item.remove();
    list.hidden = !list.children.length;
  });
}

/** Makes the form on the page a live one. */
function dress() {
  const section = one("#compose");
  const form = composeForm();
  if (!section || !form || section.dataset.dressed) return;
  section.dataset.dressed = "";
  dressRecipients(form);
  showSaved(one("#compose-state", section)?.dataset.status || "");
  form.addEventListener("input", () => {
    dirty = true;
    showSaved(word("js.unsaved"));
    clearTimeout(saveTimer);
    saveTimer = setTimeout(saveDraft, 1000);
  });
  const files = /** @type {HTMLInputElement | null} */ (one("#compose-files", form));
  files?.addEventListener("change", (event) => {
    event.stopPropagation();
    attachFiles([...(files.files ?? [])]);
    files.value = "";
  });
  for (const type of ["dragover", "dragleave", "drop"]) {
    section.addEventListener(type, (event) => {
      const transfer = /** @type {DragEvent} */ (event).dataTransfer;
      if (!transfer?.types.includes("Files")) return;
      event.preventDefault();
      section.classList.toggle("drag", type === "dragover");
      if (type === "drop") attachFiles([...transfer.files]);
    });
  }
}

/** @param {string} url */
export async function openComposer(url) {
  const dock = one("#composer");
  if (!dock || isPhone() || (one("#compose") && !isDocked())) {
    location.assign(url);
    return;
  }
  try {
    if (dirty) await saveDraft();
    await queue;
    const response = await ask(url, "compose");
    const section = response.ok ? one("#compose", parse(await response.text())) : null;
    if (!section) throw new Error(String(response.status));
    dock.replaceChildren(document.adoptNode(section));
    section.setAttribute("role", "dialog");
    dirty = false;
    dress();
    (one("#compose [data-typing]:placeholder-shown") ?? one("#compose [autofocus]") ?? one("#compose-text"))?.focus();
    const text = /** @type {HTMLTextAreaElement | null} */ (one("#compose-text"));
    text?.setSelectionRange(0, 0);
    if (one("#compose-form [name=to]")?.getAttribute("value")) text?.focus();
  } catch {
    location.assign(url);
  }
}

/** Closes the docked composer and keeps the draft. */
async function closeComposer() {
  if (!isDocked()) return;
  if (dirty) await saveDraft();
  await queue;
  one("#composer")?.replaceChildren();
  one("#conversation")?.focus({ preventScroll: true });
}


on("click", "a[data-compose]", (event, link) => {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || isPhone() || !one("#composer")) return;
  event.preventDefault();
  openComposer(link.href);
});

on("click", "[data-close]", async (event, link) => {
  event.preventDefault();
  if (isDocked()) return void closeComposer();
  if (dirty) await saveDraft();
  await queue;
  location.assign(link.href);
});

on("click", "#compose-state button[name=remove]", (event, button) => {
  event.preventDefault();
  saveDraft({ remove: button.value });
});

on("submit", "#compose-form", async (event, form) => {
  const button = event.submitter;
  const verb = button?.value;
  if (verb === "save") {
    event.preventDefault();
    return void saveDraft();
  }
  clearTimeout(saveTimer);
  dirty = false;
  if (!isDocked()) {
    // The plain form goes its way, after what is still under way.
    if (busy) {
      event.preventDefault();
      await queue;
      form.requestSubmit(button);
    }
    return;
  }
  event.preventDefault();
  if (form.dataset.sending) return;
  form.dataset.sending = "1";
  showSaved(verb === "send" ? word("js.sending") : "");
  const buttons = all("footer button", form);
  for (const b of buttons) /** @type {HTMLButtonElement} */ (b).disabled = true;
  try {
    const response = await enqueue(() => ask(actionOf(form), "draft", { method: "POST", body: draftData({ do: verb }) }));
    const html = await response.text();
    const again = one("#compose", parse(html));
    if (again) {
      one("#composer")?.replaceChildren(document.adoptNode(again));
      dress();
      one("#compose .err")?.closest(".line")?.querySelector("input")?.focus();
      return;
    }
    if (!response.ok) throw new Error(String(response.status));
    one("#composer")?.replaceChildren();
    if (!swap(html) && verb === "discard") sayToast(word("js.discarded"));
    tell("changed");
  } catch {
    delete form.dataset.sending;
    dirty = true;
    for (const b of buttons) /** @type {HTMLButtonElement} */ (b).disabled = false;
    showSaved(word("js.unsaved"));
    failed();
  }
});

on("keydown", "#compose", (event, section) => {
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key === "Enter") {
    event.preventDefault();
    one("button[value=send]", section)?.click();
  } else if (command && event.key.toLowerCase() === "s") {
    event.preventDefault();
    saveDraft();
  } else if (event.key === "Escape" && isDocked()) {
    event.stopPropagation();
    closeComposer();
  }
});

// What was typed in the last second goes along when the page is left.
addEventListener("pagehide", () => {
  const form = composeForm();
  if (dirty && form && csrfToken()) ask(actionOf(form), "draft", { method: "POST", body: draftData({ do: "save" }), keepalive: true }).catch(() => undefined);
});

dress();
