// The strength of a new password, measured by the server that will judge it.
import { one, word } from "./core.js";

const registerForm = /** @type {HTMLFormElement | null} */ (one("form[data-register]"));
const passwordInput = registerForm && /** @type {HTMLInputElement | null} */ (one("[data-strength]", registerForm));
/** @type {number | undefined} */
let measureTimer;
let measured = 0;

async function measure() {
  const meter = registerForm && /** @type {HTMLMeterElement | null} */ (one("meter.pw", registerForm));
  const help = one("#w-help");
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
  help.textContent = word(`strength.${score}`);
}

passwordInput?.addEventListener("input", () => {
  clearTimeout(measureTimer);
  measureTimer = setTimeout(measure, 250);
});
