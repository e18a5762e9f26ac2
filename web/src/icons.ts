/** Icons by the protocol's names, and by Lucide's own (`lucide:cat`). */
import { type TemplateResult, html, noChange } from "lit";
import { Directive, type ElementPart, directive } from "lit/directive.js";
import {
  ArrowDown, ArrowUp, Atom, Award, BadgeCheck, Bolt, Book, BookOpen, Bot, BriefcaseBusiness, Bug, Calendar, ChartColumn, ChartLine, Check, ChevronDown, ChevronLeft,
  ChevronRight, ChevronsLeft, ChevronsRight, Circle, CircleAlert, CircleCheck, CircleQuestionMark, Clock, Code, Compass, Copy, Ellipsis, EllipsisVertical, ExternalLink, File,
  FileText, FlaskConical, Globe, Grid3x3, History, House, IdCard, Image, Images, Info, KeyRound, Layers, LifeBuoy, Lightbulb, Lock, Mail, Map as MapIcon, MapPin, Maximize2, Menu, MessageCircleDashed,
  Mic, Minimize2, Monitor, Moon, Notebook, NotebookPen, PanelLeft, PanelLeftClose, PanelLeftOpen, PanelRight, PanelRightClose, PanelRightOpen, Paperclip, PartyPopper, Pencil, PenLine, Phone, Play, Plus, Quote, RefreshCw, Search, Settings,
  SlidersHorizontal, Smartphone, Sparkle, Sparkles, Square, SquareCode, SquarePen, SquareStack, Star, Sun, Tag, TextInitial, ThumbsDown, ThumbsUp, Trash2, TriangleAlert, User, WandSparkles, X, Zap, Box, type IconNode,
} from "lucide";

/** The protocol's names, the header's, and our own for controls. */
const NAMES: Record<string, IconNode> = {
  agent: Bot, analytics: ChartLine, atom: Atom, batch: Layers, bolt: Zap, "book-open": BookOpen, "book-closed": Book, "book-clock": History, bug: Bug,
  calendar: Calendar, chart: ChartColumn, check: Check, "check-circle": CircleCheck, "check-circle-filled": BadgeCheck, "chevron-left": ChevronLeft,
  "chevron-right": ChevronRight, "chevron-down": ChevronDown, "circle-question": CircleQuestionMark, clock: Clock, compass: Compass, confetti: PartyPopper, cube: Box,
  desktop: Monitor, document: FileText, "dots-horizontal": Ellipsis, "dots-vertical": EllipsisVertical, "dots-horizontal-circle": Ellipsis,
  "dots-vertical-circle": EllipsisVertical, "empty-circle": Circle, "external-link": ExternalLink, globe: Globe, keys: KeyRound, lab: FlaskConical, images: Images,
  info: Info, lifesaver: LifeBuoy, lightbulb: Lightbulb, mail: Mail, "map-pin": MapPin, maps: MapIcon, mobile: Smartphone, name: Tag, notebook: Notebook,
  "notebook-pencil": NotebookPen, "page-blank": File, phone: Phone, play: Play, plus: Plus, profile: User, "profile-card": IdCard, reload: RefreshCw, star: Star, "star-filled": Star,
  search: Search, sparkle: Sparkle, "sparkle-double": Sparkles, "square-code": SquareCode, "square-image": Image, "square-text": TextInitial, suitcase: BriefcaseBusiness,
  "settings-slider": SlidersHorizontal, user: User, wreath: Award, write: Pencil, "write-alt": PenLine, "write-alt2": WandSparkles,
  "sidebar-left": PanelLeft, "sidebar-right": PanelRight, "sidebar-open-left": PanelLeftOpen, "sidebar-open-right": PanelRightOpen,
  "sidebar-open-left-alt": PanelLeftOpen, "sidebar-open-right-alt": PanelRightOpen, "sidebar-floating-left": PanelLeft, "sidebar-floating-right": PanelRight,
  "sidebar-floating-open-left": PanelLeftOpen, "sidebar-floating-open-right": PanelRightOpen, "sidebar-collapse-left": PanelLeftClose,
  "sidebar-collapse-right": PanelRightClose, "collapse-left": PanelLeftClose, "collapse-right": PanelRightClose, "open-left": PanelLeftOpen,
  "open-right": PanelRightOpen, "double-chevron-left": ChevronsLeft, "double-chevron-right": ChevronsRight, home: House, "home-alt": House,
  "back-small": ChevronLeft, "back-large": ChevronLeft, "expand-large": Maximize2, "collapse-large": Minimize2, "expand-small": Maximize2, "collapse-small": Minimize2,
  "chat-temporary": MessageCircleDashed, "settings-cog": Settings, grid: Grid3x3, menu: Menu, "menu-inverted": Menu, hamburger: Menu, compose: SquarePen,
  "light-mode": Sun, "dark-mode": Moon, close: X,
  send: ArrowUp, down: ArrowDown, stop: Square, attach: Paperclip, microphone: Mic, copy: Copy, retry: RefreshCw, good: ThumbsUp, bad: ThumbsDown,
  delete: Trash2, alert: CircleAlert, warning: TriangleAlert, lock: Lock, history: History, quote: Quote, tools: Bolt, code: Code, unknown: SquareStack,
};

const FILLED = new Set(["star-filled", "stop", "check-circle-filled"]);

/** All of Lucide, loaded once something asks for an icon that is not among ours. */
let rest: Record<string, IconNode> | undefined;
let loading: Promise<void> | undefined;

function find(name: string): IconNode | undefined {
  if (!name.startsWith("lucide:")) return Object.hasOwn(NAMES, name) ? NAMES[name] : undefined;
  const own = name.slice(7).split("-").map((it) => it.charAt(0).toUpperCase() + it.slice(1)).join("");
  return rest && Object.hasOwn(rest, own) ? rest[own] : undefined;
}

function load(): Promise<void> {
  loading ??= fetch(new URL("lucide.json", import.meta.url))
    .then(async (it) => { if (it.ok) rest = (await it.json()) as Record<string, IconNode>; })
    .catch(() => undefined);
  return loading;
}

/** An icon as an element of its own, hidden from readers. */
export function iconElement(name: string): SVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  fill(svg, name);
  return svg;
}

function fill(svg: Element, name: string): void {
  const node = find(name);
  svg.classList.toggle("filled", FILLED.has(name));
  const parts = (node ?? Box).map(([tag, attributes]) => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) if (value !== undefined) part.setAttribute(key, String(value));
    return part;
  });
  svg.replaceChildren(...parts);
  if (!node && name.startsWith("lucide:") && !rest) void load().then(() => { if (rest) fill(svg, name); });
}

class IconDirective extends Directive {
  #name?: string;

  override render(_name: string): unknown {
    return noChange;
  }

  override update({ element }: ElementPart, [name]: [string]): unknown {
    if (name !== this.#name) fill(element, name);
    this.#name = name;
    return noChange;
  }
}

const drawn = directive(IconDirective);

/** An icon in a template; what it means, the text beside it or the label of its button says. */
export function icon(name: string): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" ${drawn(name)}></svg>`;
}
