// What the other modules share: words, fragments, the swap of regions.
// Everything here improves pages that work without it.

document.documentElement.classList.add("js");

/** @type {Record<string, string>} */
const words = JSON.parse(document.body.dataset.words || "{}");
const plurals = new Intl.PluralRules(document.documentElement.lang);

// The one Trusted Types policy. Only parse() below uses it, and what is
// parsed was rendered by our own server.
const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("eider", { createHTML: (html) => html })
  : { createHTML: (/** @type {string} */ html) => html };

/**
 * The word of a key, with {0} filled.
 * @param {string} key
 * @param {string | number} [value]
 */
export function word(key, value = "") {
  return (words[key] ?? key).replaceAll("{0}", String(value));
}

/**
 * The word of a key for a number.
 * @param {string} key
 * @param {number} n
 */
export function count(key, n) {
  const text = words[`${key}.${plurals.select(n)}`] ?? words[`${key}.other`] ?? key;
  return text.replaceAll("{0}", String(n)).replaceAll("%d", String(n));
}

/**
 * The elements of a fragment, not yet in the document. Scripts in it never run.
 * @param {string} html
 * @returns {Document}
 */
export function parse(html) {
  return new DOMParser().parseFromString(/** @type {string} */ (policy.createHTML(html)), "text/html");
}

/**
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {T | null}
 */
export function one(selector, root = document) {
  return /** @type {T | null} */ (root.querySelector(selector));
}

/**
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {HTMLElement[]}
 */
export function all(selector, root = document) {
  return [...root.querySelectorAll(selector)].map((e) => /** @type {HTMLElement} */ (e));
}

/**
 * Listens on the document for events of elements that may be swapped.
 * @param {string} type
 * @param {string} selector
 * @param {(event: any, element: any) => void} handle
 * @param {boolean} [capture]
 */
export function on(type, selector, handle, capture = false) {
  document.addEventListener(type, (event) => {
    const from = /** @type {Element} */ (event.target);
    const element = from instanceof Element ? from.closest(selector) : null;
    if (element) handle(event, element);
  }, capture);
}

/** @param {string} name @param {unknown} [detail] */
export function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(`eider:${name}`, { detail }));
}

/** @param {string} name @param {(detail: any) => void} handle */
export function hear(name, handle) {
  document.addEventListener(`eider:${name}`, (event) => handle(/** @type {CustomEvent} */ (event).detail));
}

export function csrfToken() {
  return document.body.dataset.csrf || "";
}

/**
 * Asks for a fragment. The answer's own address is what the page shows then.
 * @param {string} url
 * @param {string} fragment
 * @param {RequestInit & {quiet?: boolean}} [options]
 */
export function ask(url, fragment, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { "Eider-Fragment": fragment, ...(/** @type {Record<string, string>} */ (options.headers) || {}) };
  if (options.quiet) headers["Eider-Quiet"] = "1";
  return fetch(url, { ...options, headers, credentials: "same-origin" });
}

/**
 * Puts the regions of a fragment in the place of those with the same id.
 * Regions that are busy with the user's own input are never touched, and news
 * on the page leave only for other news.
 * @param {string} html
 * @returns {boolean} whether the fragment had any region
 */
export function swap(html) {
  const doc = parse(html);
  const focused = document.activeElement?.id;
  const focusedRow = document.activeElement?.closest(".row")?.id;
  const scroll = one("#rows")?.scrollTop ?? 0;
  const checked = new Set(all(".row input:checked").map((e) => /** @type {HTMLInputElement} */ (e).value));
  const before = one("#list");
  const same = before?.dataset.here;
  let found = false;
  for (const fresh of [...doc.body.children]) {
    const stale = fresh.id ? document.getElementById(fresh.id) : null;
    if (!stale || stale.closest("[data-permanent]")) continue;
    found = true;
    if (fresh.id === "toast" && !fresh.childElementCount) continue;
    stale.replaceWith(document.adoptNode(fresh));
  }
  const list = one("#list");
  if (list && list !== before && list.dataset.here === same) {
    // The same list again: selection and scroll stay.
    for (const box of all(".row input", list)) {
      const input = /** @type {HTMLInputElement} */ (box);
      input.checked = checked.has(input.value);
    }
    const rows = one("#rows");
    if (rows) rows.scrollTop = scroll;
  }
  if (document.activeElement === document.body) {
    // Who goes through the list by keyboard stays where they are.
    const place = focused ? document.getElementById(focused) : focusedRow ? one(`#${focusedRow} a`) : null;
    place?.focus({ preventScroll: true });
  }
  if (found) tell("swapped");
  return found;
}

/**
 * Swaps what was asked for the list at an address, unless another list has
 * come in its place: also while the answer's body was on its way.
 * @param {Response} response
 * @param {string | undefined} here
 * @returns {Promise<boolean>} false when the fragment had no region
 */
export async function swapFor(response, here) {
  const html = await response.text();
  return one("#list")?.dataset.here !== here || swap(html);
}

/** @param {Response} response */
export function retitle(response) {
  const title = response.headers.get("Eider-Title");
  if (title) {
    document.title = decodeURIComponent(title);
    tell("titled");
  }
}
