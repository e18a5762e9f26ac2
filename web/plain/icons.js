/** The icons that widgets, tasks and progress may name, as strokes in a box of 24 by 24. */

const SVG = "http://www.w3.org/2000/svg";

const RING = "M20 12a8 8 0 1 1-16 0 8 8 0 0 1 16 0Z";
const PAGE = "M7 3.5h7l4 4v13H7zM14 3.5v4h4";
const PERSON = "M15.5 8a3.5 3.5 0 1 1-7 0 3.5 3.5 0 0 1 7 0ZM5 20c.6-4 3.3-6 7-6s6.4 2 7 6";
const STAR = "m12 4 2.4 5.2 5.6.7-4.1 3.9 1 5.6-4.9-2.7-4.9 2.7 1-5.6L4 9.9l5.6-.7Z";
const PEN = "m6 18 .8-4L16 4.8a2 2 0 0 1 3.2 3.2L10 17.2Z";
const FRAME = "M5 5h14v14H5z";
const SPARK = "M12 4c.8 5 3 7.2 8 8-5 .8-7.2 3-8 8-.8-5-3-7.2-8-8 5-.8 7.2-3 8-8Z";
const SCREEN = "M4 5h16v11H4zM9 20h6M12 16v4";
const point = (x, y) => `M${x - 1} ${y}a1 1 0 1 0 2 0a1 1 0 1 0 -2 0Z`;
const ARROW_OUT = "M9 6H6v12h12v-3M13 5h6v6M19 5l-8 8";

/** A name → its strokes; those that begin with `!` are filled. */
const PATHS = new Map(Object.entries({
  agent: `M6 9h12v9H6zM12 9V5M9.5 13v1M14.5 13v1M4 12v3M20 12v3`,
  analytics: "M5 19V11M10 19V5M15 19v-6M20 19V8",
  atom: "M12 12v.1M12 5c2 0 3.5 3 3.5 7S14 19 12 19s-3.5-3-3.5-7S10 5 12 5ZM5 12c0-2 3-3.5 7-3.5s7 1.5 7 3.5-3 3.5-7 3.5-7-1.5-7-3.5Z",
  batch: "M4 9h11v11H4zM8 9V5h12v11h-5",
  bolt: "M13 3 6 13.5h5L10 21l8-11h-5.5Z",
  "book-open": "M12 7c-2-1.6-4.5-2-8-2v13c3.5 0 6 .4 8 2 2-1.6 4.5-2 8-2V5c-3.5 0-6 .4-8 2ZM12 7v13",
  "book-closed": "M6 18.5V5.5c0-1 .8-2 2-2h10v13H8c-1.2 0-2 .8-2 2s.8 2 2 2h10v-4",
  "book-clock": "M11 20.5H8c-1.2 0-2-.8-2-2v-13c0-1 .8-2 2-2h10v6M20 17a4 4 0 1 1-8 0 4 4 0 0 1 8 0ZM16 15v2l1.5 1",
  bug: "M8 10a4 4 0 0 1 8 0v5a4 4 0 0 1-8 0zM12 6v13M4 9l4 2M20 9l-4 2M4 19l4-3M20 19l-4-3M4 14h4M20 14h-4",
  calendar: "M5 6.5h14v13H5zM5 10.5h14M9 4v4M15 4v4",
  chart: "M4 4v16h16M8 15l3.5-4 3 2.5L19 8",
  check: "m5 12.5 4.5 4.5L19 7.5",
  "check-circle": `${RING}M8.5 12.3l2.4 2.4 4.6-5`,
  "check-circle-filled": `!${RING}`,
  "chevron-left": "m14.5 6-6 6 6 6",
  "chevron-right": "m9.5 6 6 6-6 6",
  "circle-question": `${RING}M9.7 10a2.3 2.3 0 1 1 3.2 2.1c-.6.3-.9.7-.9 1.4M12 16v.2`,
  clock: `${RING}M12 7.5V12l3 2`,
  compass: `${RING}M15 9l-1.8 4.2L9 15l1.8-4.2Z`,
  confetti: "m4 20 4-10 6 6ZM14 4v3M18 9h3M17 5l-2.5 2.5M19 14l1.5.5M10 4l.5 1.5",
  cube: "m12 3.5 7.5 4.2v8.6L12 20.5l-7.5-4.2V7.7ZM4.5 7.7 12 12l7.5-4.3M12 12v8.5",
  desktop: SCREEN,
  document: `${PAGE}M10 12h5M10 15.5h5`,
  dot: "!M14 12a2 2 0 1 1-4 0 2 2 0 0 1 4 0Z",
  "dots-horizontal": `!${point(6, 12)}${point(12, 12)}${point(18, 12)}`,
  "dots-vertical": `!${point(12, 6)}${point(12, 12)}${point(12, 18)}`,
  "empty-circle": RING,
  "external-link": ARROW_OUT,
  globe: `${RING}M4.3 10h15.4M4.3 14h15.4M12 4c-4.5 5-4.5 11 0 16 4.5-5 4.5-11 0-16Z`,
  keys: "M11 15.5a3.5 3.5 0 1 1-7 0 3.5 3.5 0 0 1 7 0ZM10 13l9-9M15 8l3 3M18 5l2 2",
  lab: "M10 4v6l-5 8.5c-.5 1 0 2 1 2h12c1 0 1.5-1 1-2L14 10V4M8.5 4h7M7.5 15h9",
  images: "M4 8h12v12H4zM8 8V4h12v12h-4M4 17l3.5-4 3 3 2-2 3.5 4",
  info: `${RING}M12 11v5M12 8v.2`,
  lifesaver: `${RING}M15 12a3 3 0 1 1-6 0 3 3 0 0 1 6 0ZM6.3 6.3l3.6 3.6M17.7 6.3l-3.6 3.6M6.3 17.7l3.6-3.6M17.7 17.7l-3.6-3.6`,
  lightbulb: "M9 16c-1.8-1.2-3-3-3-5.5a6 6 0 1 1 12 0c0 2.5-1.2 4.3-3 5.5v1.5H9ZM10 20.5h4",
  mail: "M4 6h16v12H4zM4 7l8 6.5L20 7",
  "map-pin": "M12 20.5c-4-4-6.5-7.2-6.5-10.5a6.5 6.5 0 1 1 13 0c0 3.3-2.5 6.5-6.5 10.5ZM14.3 10a2.3 2.3 0 1 1-4.6 0 2.3 2.3 0 0 1 4.6 0Z",
  maps: "m4 7 5.5-2 5 2L20 5v12l-5.5 2-5-2L4 19ZM9.5 5v12M14.5 7v12",
  mobile: "M7.5 3.5h9v17h-9zM11 17.5h2",
  name: "M4 6.5h16v11H4zM7 14c.4-1.5 1.4-2.2 2.7-2.2s2.3.7 2.7 2.2M11.2 9.5a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0ZM15 10.5h3M15 13.5h3",
  notebook: "M7 3.5h11v17H7zM10 3.5v17M5 8h3M5 12h3M5 16h3",
  "notebook-pencil": "M14 20.5H7v-17h11v6M5 8h3M5 12h3M5 16h3M14 17.5l5-5 1.5 1.5-5 5-2 .5Z",
  "page-blank": PAGE,
  phone: "M7 4h3l1.5 4-2 1.5c.8 2 2.5 3.9 4.5 5l2-2 4 1.5v3c0 1.5-1 2.5-2.5 2.5C11 19.5 5 13 4.5 6.5 4.5 5 5.5 4 7 4Z",
  play: "M8 5v14l11-7Z",
  plus: "M12 5v14M5 12h14",
  profile: PERSON,
  "profile-card": "M4 5.5h16v13H4zM7 15.5c.4-1.6 1.5-2.4 3-2.4s2.6.8 3 2.4M11.6 10a1.6 1.6 0 1 1-3.2 0 1.6 1.6 0 0 1 3.2 0ZM15.5 10h2M15.5 13h2",
  reload: "M19 12a7 7 0 1 1-2-4.9L19.5 9.5M19.5 5v4.5H15",
  star: STAR,
  "star-filled": `!${STAR}`,
  search: "M16.5 10.5a6 6 0 1 1-12 0 6 6 0 0 1 12 0ZM15 15l5 5",
  sparkle: SPARK,
  "sparkle-double": "M10 6c.7 4 2.5 5.8 6.5 6.5-4 .7-5.8 2.5-6.5 6.5-.7-4-2.5-5.8-6.5-6.5 4-.7 5.8-2.5 6.5-6.5ZM18 4c.2 1.6.9 2.3 2.5 2.5-1.6.2-2.3.9-2.5 2.5-.2-1.6-.9-2.3-2.5-2.5 1.6-.2 2.3-.9 2.5-2.5Z",
  "square-code": `${FRAME}M10 9.5 7.5 12l2.5 2.5M14 9.5l2.5 2.5-2.5 2.5`,
  "square-image": `${FRAME}M5 16l4-4.5 4 4 2-2 4 4M15.5 9.5v.1`,
  "square-text": `${FRAME}M8.5 9h7M8.5 12h7M8.5 15h4`,
  suitcase: "M4 8h16v11H4zM9 8V5h6v3M4 13h16",
  "settings-slider": "M4 8h9M17 8h3M4 16h3M11 16h9M17 8a2 2 0 1 1-4 0 2 2 0 0 1 4 0ZM11 16a2 2 0 1 1-4 0 2 2 0 0 1 4 0Z",
  user: PERSON,
  wreath: "M9 19c-4-2-6-6-4.5-12M15 19c4-2 6-6 4.5-12M5 11l3-1M5.5 15l3.5-2M19 11l-3-1M18.5 15 15 13M8 20.5c2-1.5 6-1.5 8 0",
  write: PEN,
  "write-alt": `${PEN}M13 20h7`,
  "write-alt2": "M11 5H5v14h14v-6M10 14l.6-3 7.4-7.4 2.4 2.4L13 13.4Z",
}));

const UNKNOWN = "M12 5.5 18.5 12 12 18.5 5.5 12Z";

/** The icon of that name, also with `lucide:` before it; a plain diamond where this page has none. */
export function namedIcon(name) {
  const known = typeof name === "string" ? PATHS.get(name.replace(/^lucide:/, "")) : undefined;
  const strokes = known ?? UNKNOWN;
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of [["class", "icon"], ["viewBox", "0 0 24 24"], ["aria-hidden", "true"]]) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", strokes.replace("!", ""));
  if (strokes.startsWith("!")) path.setAttribute("fill", "currentColor");
  svg.append(path);
  if (name === "check-circle-filled") {
    const tick = document.createElementNS(SVG, "path");
    tick.setAttribute("d", "M8.5 12.3l2.4 2.4 4.6-5");
    tick.setAttribute("class", "icon-hole");
    svg.append(tick);
  }
  return svg;
}
