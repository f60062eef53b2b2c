// Passkeys. The server makes the options and judges the answer; this asks the
// browser in between, and only where the browser can.

const passkeyWork = /** @type {HTMLElement | null} */ (document.querySelector("[data-passkey]"));
const passkeyForm = /** @type {HTMLFormElement | null} */ (passkeyWork && passkeyWork.closest("form"));
/** @type {Record<string, string>} */
const passkeyWords = JSON.parse(passkeyWork?.dataset.words || "{}");
let passkeyBusy = false;

/** @param {string} text in base64url */
function passkeyBytes(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
}

/** @param {ArrayBuffer | null | undefined} buffer */
function passkeyText(buffer) {
  if (!buffer) return undefined;
  const text = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** A refusal that is already in words. */
class PasskeyRefused extends Error {}

/**
 * @param {string | undefined} url
 * @param {object} body
 */
async function passkeySend(url, body) {
  const response = await fetch(url || "", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Eider-Csrf": document.body.dataset.csrf || "" },
    body: JSON.stringify(body),
  });
  const json = (response.headers.get("Content-Type") || "").startsWith("application/json");
  const answer = json ? await response.json() : {};
  if (!response.ok || !json) throw new PasskeyRefused(answer.error || passkeyWords.failed);
  return answer;
}

/**
 * The options of the server with bytes where it wrote text.
 * @param {any} options
 */
function passkeyOptions(options) {
  const known = (/** @type {any[] | undefined} */ list) => list?.map((c) => ({ ...c, id: passkeyBytes(c.id) }));
  const out = { ...options, challenge: passkeyBytes(options.challenge) };
  if (options.user) out.user = { ...options.user, id: passkeyBytes(options.user.id) };
  if (options.excludeCredentials) out.excludeCredentials = known(options.excludeCredentials);
  if (options.allowCredentials) out.allowCredentials = known(options.allowCredentials);
  return out;
}

/**
 * What the authenticator said, with text where it wrote bytes.
 * @param {any} credential
 */
function passkeyAnswer(credential) {
  const said = credential.response;
  return {
    id: credential.id,
    rawId: passkeyText(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment || undefined,
    clientExtensionResults: {},
    response: {
      clientDataJSON: passkeyText(said.clientDataJSON),
      attestationObject: passkeyText(said.attestationObject),
      transports: said.getTransports?.(),
      authenticatorData: said.attestationObject ? undefined : passkeyText(said.authenticatorData),
      signature: passkeyText(said.signature),
      userHandle: passkeyText(said.userHandle),
    },
  };
}

/** @param {string} text empty to hide it */
function passkeySay(text) {
  const place = /** @type {HTMLElement | null} */ (document.querySelector("[data-passkey-error]"));
  const words = place?.querySelector("span");
  if (!place || !words) return;
  place.hidden = !text;
  words.textContent = text;
}

/** @param {unknown} error */
function passkeyFault(error) {
  if (error instanceof PasskeyRefused) return error.message;
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "AbortError") return passkeyWords.cancelled;
  if (name === "InvalidStateError") return passkeyWords.already;
  return passkeyWords.failed;
}

/** @param {HTMLElement} work */
async function passkeyRun(work) {
  if (passkeyBusy) return;
  passkeyBusy = true;
  passkeySay("");
  const field = (/** @type {string} */ name) => /** @type {HTMLInputElement | null} */ (passkeyForm?.elements.namedItem(name));
  try {
    const making = work.dataset.passkey === "create";
    const begun = await passkeySend(work.dataset.begin, making ? { name: field("name")?.value, password: field("password")?.value } : {});
    const publicKey = passkeyOptions(begun.publicKey);
    const credential = making ? await navigator.credentials.create({ publicKey }) : await navigator.credentials.get({ publicKey });
    const done = await passkeySend(work.dataset.finish, {
      credential: passkeyAnswer(credential), remember: Boolean(field("remember")?.checked), next: field("next")?.value || "",
    });
    location.assign(done.next);
  } catch (error) {
    passkeySay(passkeyFault(error));
    passkeyBusy = false;
  }
}

// An address in numbers has no passkeys (WebAuthn 5.1.2: a domain is needed).
if (passkeyWork && window.PublicKeyCredential && !/^[\d.]+$|:/.test(location.hostname)) {
  passkeyWork.hidden = false;
  for (const none of document.querySelectorAll("[data-passkey-none]")) none.remove();
  const kind = passkeyWork === passkeyForm ? "submit" : "click";
  passkeyWork.addEventListener(kind, (event) => {
    event.preventDefault();
    passkeyRun(passkeyWork);
  });
}
