// The strength of a new password, measured by the server that will judge it.
// The pages of visitors have this script alone: it stands for itself.

const registerForm = /** @type {HTMLFormElement | null} */ (document.querySelector("form[data-register]"));
const passwordInput = registerForm && /** @type {HTMLInputElement | null} */ (registerForm.querySelector("[data-strength]"));
/** @type {Record<string, string>} */
const strengthWords = JSON.parse(document.body.dataset.words || "{}");
/** @type {number | undefined} */
let measureTimer;
let measured = 0;

async function measure() {
  const meter = registerForm && /** @type {HTMLMeterElement | null} */ (registerForm.querySelector("meter.pw"));
  const help = document.querySelector("#w-help");
  if (!registerForm || !passwordInput?.value || !meter || !help) return;
  const mine = ++measured;
  const body = new URLSearchParams();
  for (const name of ["csrf", "name", "username", "password"]) {
    body.set(name, /** @type {HTMLInputElement} */ (registerForm.elements.namedItem(name)).value);
  }
  const response = await fetch(registerForm.dataset.register || "", { method: "POST", body }).catch(() => null);
  if (mine !== measured || !response?.ok) return;
  const { score } = await response.json();
  meter.hidden = false;
  meter.value = score;
  help.textContent = strengthWords[`strength.${score}`] ?? "";
}

passwordInput?.addEventListener("input", () => {
  clearTimeout(measureTimer);
  measureTimer = setTimeout(measure, 250);
});
