// The sandboxed frames of HTML messages tell their height. They have an
// opaque origin, so the sender is known by its window alone.
import { all, hear, on, one, swapFor, ask } from "./core.js";

const tallest = 200_000;

addEventListener("message", (event) => {
  const height = event.data?.eider === "height" ? Number(event.data.h) : Number.NaN;
  if (!Number.isFinite(height) || height < 0) return;
  for (const frame of all("iframe[data-frame]")) {
    if (/** @type {HTMLIFrameElement} */ (frame).contentWindow !== event.source) continue;
    /** @type {HTMLIFrameElement} */ (frame).height = String(Math.min(tallest, Math.ceil(height) + 2));
    frame.dataset.sized = "";
  }
});

// A message that the list lost gives the empty reader back its words.
hear("emptied", async () => {
  const here = one("#list")?.dataset.here;
  if (!here) return;
  const response = await ask(here, "list").catch(() => null);
  if (response?.ok) await swapFor(response, here);
});

on("toggle", "details.drop", (_, details) => {
  if (details.open) details.querySelector(".pop :is(a, button)")?.scrollIntoView({ block: "nearest" });
}, true);
