// The roles of the design as Tailwind colours, radii and fonts. The values
// themselves live in static/src/theme.css, once.
const roles = [
  "canvas", "surface", "raised", "sunken", "hover", "press", "line", "line-2", "control",
  "text", "text-2", "text-3", "accent", "accent-2", "on-accent", "accent-soft", "accent-line",
  "focus", "link", "danger", "danger-2", "danger-soft", "ok", "ok-soft", "warn", "warn-soft",
  "star", "mark", "scrim",
];

export default {
  content: ["./templates/*.templ"],
  theme: {
    colors: Object.fromEntries(roles.map((role) => [role, `var(--${role})`])),
    fontFamily: { sans: "var(--font)", mono: "var(--mono)" },
    borderRadius: { 1: "var(--r-1)", 2: "var(--r-2)", 3: "var(--r-3)", 4: "var(--r-4)", full: "50%" },
  },
};
