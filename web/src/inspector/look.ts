import { css } from "lit";

export const inspectorStyles = css`
  :host {
    --text: light-dark(#24211d, #ece8e1); --muted: light-dark(#655e54, #a8a094); --line: light-dark(#e4dfd6, #38342e); --ground: light-dark(#faf8f5, #1c1a17);
    --card: light-dark(#fff, #25221e); --hover: light-dark(#f1ede6, #2f2b26); --accent: light-dark(#b84f18, #f0935a); --good: light-dark(#22733f, #77c795);
    --bad: light-dark(#b3261e, #f2a19a); --bad-soft: light-dark(#fdf0ee, #37201d); --model: light-dark(#6a4fc0, #b3a0f0); --tool: light-dark(#b84f18, #f0935a);
    --mono: ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, monospace;
    display: flex; flex-direction: column; min-height: 0; height: 100%; container-type: inline-size;
    background: var(--ground); color: var(--text); font: 14px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif;
  }
  :host([hidden]) { display: none; }
  *, ::before { box-sizing: border-box; }
  button, select, input { font: inherit; color: inherit; }
  button { cursor: pointer; }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
  h2, h3, p, ul, dl, dd, pre { margin: 0; padding: 0; }
  ul { list-style: none; }
  code, pre, .mono { font-family: var(--mono); font-size: .86em; }
  .muted { color: var(--muted); }
  .num { font-variant-numeric: tabular-nums; white-space: nowrap; }

  .head { display: flex; align-items: center; gap: 10px; padding: 12px 12px 8px 16px; }
  h2 { font-size: 15px; font-weight: 650; }
  .live { display: inline-flex; align-items: center; gap: 6px; color: var(--muted); font-size: 12px; }
  .live::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: var(--muted); }
  .live.on::before { background: var(--good); box-shadow: 0 0 0 3px color-mix(in srgb, var(--good) 22%, transparent); }
  .grow { flex: 1; min-width: 0; }
  .icon-button { display: grid; place-items: center; width: 32px; height: 32px; border: 0; border-radius: 8px; background: none; color: var(--muted); }
  .icon-button:hover { background: var(--hover); color: var(--text); }
  svg { width: 16px; height: 16px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; flex: none; }
  .facts { display: flex; flex-wrap: wrap; gap: 2px 14px; padding: 0 16px 10px; color: var(--muted); font-size: 12.5px; }
  .facts code { color: var(--text); }
  .who { display: inline-flex; align-items: center; gap: 6px; }
  .who select, .who input { max-width: 11rem; padding: 1px 6px; border: 1px solid var(--line); border-radius: 6px; background: var(--card); font-size: 12.5px; }

  [role="tablist"] { display: flex; gap: 2px; padding: 0 12px; border-bottom: 1px solid var(--line); }
  [role="tab"] { position: relative; padding: 8px 10px; border: 0; background: none; color: var(--muted); font-weight: 550; }
  [role="tab"][aria-selected="true"] { color: var(--text); }
  [role="tab"][aria-selected="true"]::after { content: ""; position: absolute; inset: auto 8px -1px; height: 2px; border-radius: 2px; background: var(--accent); }
  [role="tab"]:hover { color: var(--text); }
  .count { margin-inline-start: 5px; color: var(--muted); font-size: 12px; font-weight: 400; }
  [role="tabpanel"] { flex: 1; min-height: 0; padding: 14px 16px 24px; overflow: hidden auto; overscroll-behavior: contain; }
  [role="tabpanel"]:focus-visible { outline-offset: -2px; }

  .notes { display: grid; gap: 8px; padding: 10px 16px 0; }
  .note { padding: 10px 12px; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
  .note.new { border-color: color-mix(in srgb, var(--good) 45%, transparent); animation: arrive .4s ease-out; }
  .note.new b { color: var(--good); }
  .error { padding: 10px 12px; border: 1px solid color-mix(in srgb, var(--bad) 35%, transparent); border-radius: 10px; background: var(--bad-soft); overflow-wrap: anywhere; }
  .error .place { display: inline-block; color: var(--bad); font-weight: 600; }
  .error .remedy { margin-top: 4px; color: var(--text); }
  .error .remedy::before { content: "→ "; color: var(--bad); }
  .errors { display: grid; gap: 8px; max-height: 40cqh; overflow: auto; }
  @keyframes arrive { from { translate: 0 -6px; } }

  section + section { margin-top: 20px; }
  h3 { display: flex; align-items: baseline; margin-bottom: 6px; font-size: 12px; font-weight: 650; letter-spacing: .04em; text-transform: uppercase; color: var(--muted); }
  .list { border: 1px solid var(--line); border-radius: 12px; background: var(--card); overflow: hidden; }
  .list > * + * { border-top: 1px solid var(--line); }
  .entry, summary { display: flex; align-items: center; gap: 8px; min-width: 0; padding: 8px 12px; }
  summary { cursor: pointer; list-style: none; }
  summary::-webkit-details-marker { display: none; }
  summary:hover { background: var(--hover); }
  summary:focus-visible { outline-offset: -2px; }
  .name { font-weight: 550; overflow-wrap: anywhere; }
  .about { flex: 1; min-width: 0; overflow: hidden; color: var(--muted); text-overflow: ellipsis; white-space: nowrap; }
  .fresh { animation: fresh 3s ease-out; }
  @keyframes fresh { from { background: color-mix(in srgb, var(--good) 14%, transparent); } }
  .fold { display: grid; gap: 8px; padding: 2px 12px 12px; overflow-wrap: anywhere; }
  .tag { flex: none; padding: 0 7px; border: 1px solid var(--line); border-radius: 99px; color: var(--muted); font-size: 11.5px; }
  .tag.ready, .tag.done { color: var(--good); border-color: color-mix(in srgb, var(--good) 40%, transparent); }
  .tag.bad, .tag.failed { color: var(--bad); border-color: color-mix(in srgb, var(--bad) 40%, transparent); }
  .tag.running { color: var(--accent); border-color: color-mix(in srgb, var(--accent) 45%, transparent); }
  .path { color: var(--muted); font-family: var(--mono); font-size: 12px; overflow-wrap: anywhere; }
  dt { display: inline; }
  dl { display: grid; gap: 3px; }
  dd { padding-inline-start: 12px; color: var(--muted); }
  pre { max-height: 22rem; padding: 9px 11px; overflow: auto; border-radius: 8px; background: var(--hover); line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4; }
  h3.small { display: block; margin-bottom: 3px; letter-spacing: 0; text-transform: none; font-size: 12px; font-weight: 600; color: var(--muted); }
  .try { justify-self: start; padding: 3px 10px; border: 1px solid var(--line); border-radius: 99px; background: none; font-size: 13px; text-align: start; }
  .try:hover { border-color: var(--accent); color: var(--accent); }

  .turn { border: 1px solid var(--line); border-radius: 12px; background: var(--card); overflow: hidden; }
  .turn + .turn { margin-top: 12px; }
  .turn-head { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 10px; padding: 9px 12px; border-bottom: 1px solid var(--line); font-size: 13px; }
  .turn-head .name { text-transform: capitalize; }
  .turn .error { border-width: 0 0 1px; border-radius: 0; }
  .step > summary { display: grid; grid-template-columns: 16px minmax(6.5rem, 1fr) minmax(3rem, 1.2fr) 4.2rem; padding: 6px 12px; }
  .step + .step { border-top: 1px solid color-mix(in srgb, var(--line) 60%, transparent); }
  .step.model { --c: var(--model); }
  .step.tool { --c: var(--tool); }
  .step.failed { --c: var(--bad); }
  .step svg { color: var(--c); }
  .step .name { overflow: hidden; font-family: var(--mono); font-size: 12.5px; text-overflow: ellipsis; white-space: nowrap; overflow-wrap: normal; }
  .step .num { color: var(--muted); font-size: 12px; text-align: end; }
  .track { position: relative; height: 8px; border-radius: 4px; background: var(--hover); }
  .track i { position: absolute; inset-block: 0; min-width: 3px; border-radius: 4px; background: var(--c); }
  .track i.wait { opacity: .4; }
  .pairs { display: flex; flex-wrap: wrap; gap: 2px 14px; color: var(--muted); font-size: 12.5px; }
  .pairs b { color: var(--text); font-weight: 550; }
  .legend { display: flex; gap: 14px; margin-bottom: 10px; color: var(--muted); font-size: 12px; }
  .legend i { display: inline-block; width: 9px; height: 9px; margin-inline-end: 5px; border-radius: 3px; }
  .legend .m { background: var(--model); }
  .legend .t { background: var(--tool); }

  .hint { display: grid; gap: 7px; padding: 13px 14px; border: 1px solid var(--line); border-radius: 12px; background: var(--card); }
  .hint + .hint { margin-top: 12px; }
  .hint b { font-size: 14.5px; }
  .file { display: flex; align-items: center; gap: 6px; min-width: 0; }
  .file code { padding: 1px 7px; border-radius: 6px; background: var(--hover); overflow-wrap: anywhere; }
  .copied { color: var(--good); font-size: 12px; }
  .sample { position: relative; }
  .sample .icon-button { position: absolute; top: 3px; right: 3px; width: 28px; height: 28px; background: var(--hover); }
  .empty { padding: 26px 12px; color: var(--muted); text-align: center; text-wrap: balance; }

  @container (max-width: 21rem) { .step > summary { grid-template-columns: 16px 1fr 4rem; } .track { display: none; } }
  @media (pointer: coarse) { .icon-button { width: 40px; height: 40px; } [role="tab"] { padding-block: 11px; } .entry, summary { min-height: 44px; } .who select, .who input { font-size: 16px; } }
  @media (prefers-reduced-motion: reduce) { *, ::before { animation: none !important; } }
  @media (forced-colors: active) { .track i { background: CanvasText; } }
`;
