/** Colours, sizes and faces, each once; a theme sets some of them anew. */
import { css } from "lit";

export const tokens = css`
  :host {
    --kf-hue: 32;
    --kf-tint: 9%;
    --kf-shade: 0%;
    --kf-accent: light-dark(#b84a14, #f0945c);
    --kf-on-accent: light-dark(#fff, #2a1206);
    --kf-link: light-dark(#a2410f, #f3a374);
    --kf-accent-soft: light-dark(#fbeee5, #38261b);
    --kf-surface: light-dark(hsl(var(--kf-hue) calc(var(--kf-tint) * 2.2) calc(99.2% + var(--kf-shade))), hsl(var(--kf-hue) calc(var(--kf-tint) * .85) calc(10.6% + var(--kf-shade))));
    --kf-ground: light-dark(hsl(var(--kf-hue) calc(var(--kf-tint) * 2.2) calc(96.8% + var(--kf-shade))), hsl(var(--kf-hue) calc(var(--kf-tint) * .85) calc(8.2% + var(--kf-shade))));
    --kf-raised: light-dark(#fff, hsl(var(--kf-hue) calc(var(--kf-tint) * .85) calc(15% + var(--kf-shade))));
    --kf-bubble: light-dark(hsl(var(--kf-hue) calc(var(--kf-tint) * 2.2) calc(94.6% + var(--kf-shade))), hsl(var(--kf-hue) calc(var(--kf-tint) * .85) calc(17.5% + var(--kf-shade))));
    --kf-hover: light-dark(hsl(var(--kf-hue) calc(var(--kf-tint) * 1.8) 20% / 6.5%), hsl(var(--kf-hue) var(--kf-tint) 92% / 8%));
    --kf-line: light-dark(hsl(var(--kf-hue) calc(var(--kf-tint) * 1.6) calc(88.5% + var(--kf-shade))), hsl(var(--kf-hue) calc(var(--kf-tint) * .85) calc(23% + var(--kf-shade))));
    --kf-strong-line: light-dark(hsl(var(--kf-hue) calc(var(--kf-tint) * .8) 54%), hsl(var(--kf-hue) calc(var(--kf-tint) * .6) 48%));
    --kf-text: light-dark(hsl(var(--kf-hue) calc(var(--kf-tint) * .8) 12%), hsl(var(--kf-hue) calc(var(--kf-tint) * 1.2) 91%));
    --kf-muted: light-dark(hsl(var(--kf-hue) calc(var(--kf-tint) * .7) 38%), hsl(var(--kf-hue) calc(var(--kf-tint) * .7) 66%));
    --kf-good: light-dark(#23693f, #7fcb9d);
    --kf-good-soft: light-dark(#e4f3e9, #1b3125);
    --kf-danger: light-dark(#a82a25, #f4958c);
    --kf-danger-soft: light-dark(#fcecea, #3b2220);
    --kf-warning: light-dark(#7a5000, #e6bd62);
    --kf-warning-soft: light-dark(#fbf1d8, #362c17);
    --kf-info: light-dark(#2d558c, #96bbec);
    --kf-info-soft: light-dark(#e9f0f9, #1f2a37);
    --kf-discovery: light-dark(#6a3fa0, #c3a5ef);
    --kf-discovery-soft: light-dark(#f2ebfa, #2d2438);
    --kf-shadow: 0 1px 2px light-dark(rgb(60 45 30 / 5%), rgb(0 0 0 / 28%)), 0 6px 20px light-dark(rgb(60 45 30 / 6%), rgb(0 0 0 / 22%));
    --kf-float: 0 2px 6px light-dark(rgb(60 45 30 / 8%), rgb(0 0 0 / 35%)), 0 12px 36px light-dark(rgb(60 45 30 / 14%), rgb(0 0 0 / 40%));
    --kf-mono: ui-monospace, "SF Mono", "Cascadia Code", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
    --kf-sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans Arabic", "Noto Sans JP", "Helvetica Neue", "Liberation Sans", sans-serif;
    --kf-size: 16px;
    --kf-unit: 4px;
    --kf-control-radius: .75em;
    --kf-radius: 1em;
    --kf-bubble-radius: 1.25em;
    --kf-composer-radius: 1.5em;
    --kf-column: 46em;

    display: block;
    position: relative;
    height: 100%;
    min-height: 0;
    overflow: hidden;
    background: var(--kf-surface);
    color: var(--kf-text);
    font: 400 var(--kf-size)/1.6 var(--kf-sans);
    text-size-adjust: 100%;
    -webkit-text-size-adjust: 100%;
    -webkit-font-smoothing: antialiased;
  }
  :host([hidden]) { display: none; }

  *, *::before, *::after { box-sizing: border-box; }
  [hidden] { display: none !important; }
  h1, h2, h3, p, ul, ol, dl, dd, dt, figure, blockquote, fieldset, pre { margin: 0; padding: 0; }
  fieldset { min-width: 0; border: 0; }
  ul, ol { list-style: none; }
  button, input, textarea, select { margin: 0; color: inherit; font: inherit; letter-spacing: inherit; }
  button { cursor: pointer; }
  button:disabled { cursor: default; }
  a { color: var(--kf-link); text-decoration-thickness: .06em; text-underline-offset: .18em; }
  code, pre, kbd, .mono { font-family: var(--kf-mono); }
  :focus-visible { outline: 2px solid var(--kf-accent); outline-offset: 2px; }
  .muted { color: var(--kf-muted); }
  .space { flex: 1; }
  .sr-only { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  .icon { flex: none; width: 1.25em; height: 1.25em; fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; }
  .icon.filled { fill: currentColor; }
`;

export const controls = css`
  .icon-button { position: relative; display: inline-grid; place-items: center; flex: none; width: 2.25em; height: 2.25em; padding: 0; border: 0; border-radius: var(--kf-control-radius); background: none; color: var(--kf-muted); transition: background-color .12s, color .12s; }
  .icon-button:hover:not(:disabled) { background: var(--kf-hover); color: var(--kf-text); }
  .icon-button:disabled { opacity: .45; }
  .icon-button.small { width: 1.9em; height: 1.9em; }
  .icon-button.small .icon { width: 1.05em; height: 1.05em; }
  .icon-button[aria-pressed="true"] { color: var(--kf-accent); }
  .icon-button[aria-pressed="true"] .icon { fill: color-mix(in srgb, var(--kf-accent) 22%, transparent); }
  .badge { position: absolute; inset-block-start: .1em; inset-inline-end: .1em; min-width: 1.5em; padding: 0 .35em; border-radius: 99em; background: var(--kf-danger); color: var(--kf-surface); font-size: .68em; font-weight: 650; line-height: 1.5em; text-align: center; }
  .button { display: inline-flex; align-items: center; gap: .45em; min-height: 2.3em; padding: .3em .95em; border: 1px solid var(--kf-line); border-radius: var(--kf-control-radius); background: var(--kf-raised); color: var(--kf-text); font-size: .9em; font-weight: 500; transition: background-color .12s, border-color .12s; }
  .button:hover:not(:disabled) { border-color: var(--kf-strong-line); }
  .button .icon { width: 1.1em; height: 1.1em; }
  .button.quiet { border-color: transparent; background: none; color: var(--kf-muted); }
  .button.quiet:hover:not(:disabled) { background: var(--kf-hover); color: var(--kf-text); }
  .button.primary { border-color: var(--kf-accent); background: var(--kf-accent); color: var(--kf-on-accent); }
  .button.primary:hover:not(:disabled) { filter: brightness(1.06); }
  .button.danger { border-color: transparent; background: light-dark(#a82a25, #f4958c); color: light-dark(#fff, #330c09); }
  a.button { text-decoration: none; white-space: nowrap; }
  .button:disabled { opacity: .5; }
  .field { width: 100%; padding: .5em .75em; border: 1px solid var(--kf-strong-line); border-radius: min(var(--kf-control-radius), .8em); background: var(--kf-raised); color: var(--kf-text); resize: vertical; }
  .field:focus-visible, .field:focus { border-color: var(--kf-accent); outline: 1px solid var(--kf-accent); outline-offset: 0; }
  .card-row { display: flex; flex-wrap: wrap; gap: .5em; margin-top: .75em; }
  progress { appearance: none; display: block; width: 100%; height: 3px; border: 0; border-radius: 3px; background: var(--kf-line); overflow: hidden; accent-color: var(--kf-accent); }
  progress::-webkit-progress-bar { background: var(--kf-line); }
  progress::-webkit-progress-value { background: var(--kf-accent); transition: width .2s; }
  progress::-moz-progress-bar { background: var(--kf-accent); }
  .spinner { display: inline-block; width: 1em; height: 1em; border: 2px solid var(--kf-line); border-top-color: var(--kf-accent); border-radius: 50%; animation: kf-turn .8s linear infinite; }
  .pulse { flex: none; display: inline-block; width: .6em; height: .6em; border-radius: 50%; background: var(--kf-accent); animation: kf-pulse 1.3s ease-in-out infinite; }
  .shimmer { background: linear-gradient(90deg, var(--kf-muted) 30%, color-mix(in srgb, var(--kf-muted) 35%, var(--kf-surface)) 50%, var(--kf-muted) 70%) 100% 0 / 250% 100%; -webkit-background-clip: text; background-clip: text; color: transparent; animation: kf-shimmer 1.8s linear infinite; }
  @keyframes kf-turn { to { transform: rotate(1turn); } }
  @keyframes kf-pulse { 50% { opacity: .35; transform: scale(.75); } }
  @keyframes kf-shimmer { to { background-position: 0 0; } }
  @keyframes kf-appear { from { opacity: 0; transform: translateY(4px); } }

  .menu { position: absolute; z-index: 6; inset-block-end: calc(100% + .5em); inset-inline-start: 0; min-width: 14em; max-width: min(22em, 80vw); max-height: min(20em, 45vh); padding: .35em; overflow-y: auto; border: 1px solid var(--kf-line); border-radius: min(var(--kf-radius), 1em); background: var(--kf-raised); box-shadow: var(--kf-float); animation: kf-appear .12s ease-out; }
  .anchor { position: relative; display: flex; }
  .anchor.end .menu { inset-inline: auto 0; }
  .menu button, .menu [role="option"] { display: flex; align-items: center; gap: .65em; width: 100%; min-height: 2.4em; padding: .35em .65em; border: 0; border-radius: min(var(--kf-control-radius), .65em); background: none; font-size: .925em; text-align: start; cursor: pointer; }
  .menu button:hover, .menu button:focus-visible, .menu [role="option"].active { background: var(--kf-hover); outline-offset: -2px; }
  .menu button > span, .menu [role="option"] > bdi { flex: 1; min-width: 0; }
  .menu button > .icon, .menu [role="option"] > .icon { color: var(--kf-muted); }
  .menu [aria-disabled="true"] { opacity: .55; cursor: default; }
  .menu hr { margin: .3em .4em; border: 0; border-top: 1px solid var(--kf-line); }
  .two-lines { display: grid; line-height: 1.35; padding-block: .15em; }
  .two-lines small { color: var(--kf-muted); font-size: .86em; }
  .suggestions { inset-inline: 0; max-width: none; }
  .suggestions .group { padding: .5em .8em .2em; color: var(--kf-muted); font-size: .75em; font-weight: 600; }
  .suggestions .nothing { padding: .5em .7em; color: var(--kf-muted); font-size: .9em; cursor: default; }
  .entity-preview { margin-top: .35em; padding: .5em; border-top: 1px solid var(--kf-line); }
  .floating { position: absolute; z-index: 7; width: 20em; max-width: calc(100% - 1em); border-radius: var(--kf-radius); background: var(--kf-raised); box-shadow: var(--kf-float); animation: kf-appear .12s ease-out; }

  dialog.confirm { width: min(26em, calc(100vw - 2em)); padding: 1.5em; border: 1px solid var(--kf-line); border-radius: var(--kf-radius); background: var(--kf-raised); color: var(--kf-text); font: inherit; box-shadow: var(--kf-float); }
  dialog.confirm::backdrop { background: rgb(20 16 12 / 45%); }
  dialog.confirm h2 { font-size: 1.1em; font-weight: 600; }
  dialog.confirm p { margin-top: .4em; color: var(--kf-muted); overflow-wrap: anywhere; }
  dialog.confirm .card-row { justify-content: flex-end; margin-top: 1.4em; }
`;
