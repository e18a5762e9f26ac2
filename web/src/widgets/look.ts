import { css } from "lit";

export const widgetStyles = css`
  kitfox-widget, kitfox-widget-chart { display: block; min-width: 0; }
  .w-box { contain: content; overflow: auto hidden; max-height: 12000px; font-size: .94rem; line-height: 1.5; }
  .w-box[aria-busy="true"] { opacity: .6; transition: opacity .15s .1s; }
  .w-box *, .w-box ::before { box-sizing: border-box; }
  .theme-light { color-scheme: light; color: var(--kf-text); }
  .theme-dark { color-scheme: dark; color: var(--kf-text); }

  .w-card { overflow: hidden; max-width: 100%; border: 1px solid var(--kf-line); border-radius: var(--kf-radius, 16px); background: var(--kf-raised); }
  .w-card.size-sm { max-width: 22rem; }
  .w-card.size-md { max-width: 30rem; }
  .w-card.size-lg { max-width: 38rem; }
  .w-body { gap: 12px; padding: 16px; }
  .w-status { display: flex; align-items: center; gap: 7px; padding: 10px 16px 0; color: var(--kf-muted); font-size: .85rem; }
  .w-status img { width: 18px; height: 18px; border-radius: 4px; object-fit: contain; }
  .w-status .w-frame { padding: 1px; background: var(--kf-surface); }
  .w-footer { display: flex; flex-wrap: wrap; justify-content: flex-end; gap: 8px; padding: 0 16px 16px; }
  .w-collapsed > summary { padding: 10px 16px; color: var(--kf-muted); cursor: pointer; }
  .w-collapsed > summary .w-status { display: inline-flex; padding: 0; vertical-align: middle; }
  .w-listview .w-status { padding-bottom: 6px; }
  .w-item + .w-item { border-top: 1px solid var(--kf-line); }
  .w-item > .w-row { padding: 12px 16px; }
  .w-clicks { cursor: pointer; }
  .w-clicks:hover { background: var(--kf-hover); }
  .w-clicks > .w-row { outline-offset: -2px; }
  .w-more { width: 100%; padding: 10px; border: 0; border-top: 1px solid var(--kf-line); background: none; color: var(--kf-muted); font: inherit; font-size: .875rem; cursor: pointer; }
  .w-more:hover { background: var(--kf-hover); color: var(--kf-text); }
  .w-basic { gap: 12px; }

  .w-row, .w-col { display: flex; min-width: 0; margin: 0; }
  .w-row { flex-direction: row; align-items: center; gap: 8px; }
  .w-col { flex-direction: column; gap: 8px; }
  .w-col.w-laid { gap: 0; }
  .w-laid, .w-image, .w-field, .w-button { max-width: 100%; }
  .w-row > *, .w-col > * { min-width: 0; }
  .w-row > :is(.w-text, .w-caption, .w-label, .w-title) { flex: 0 1 auto; }
  .w-col:not(.w-aligned) > :is(.w-badge, .w-button:not(.w-block), .w-icon, .w-image) { align-self: flex-start; }
  .w-spacer { flex: 1 1 0; }
  .w-divider { align-self: stretch; flex: none; width: auto; height: 0; margin: 0; border: 0 solid var(--kf-line); border-top-width: 1px; }
  .w-row > .w-divider { width: 0; height: auto; border-top-width: 0; border-inline-start-width: 1px; }
  .w-body > .w-flush { margin-inline: -16px; max-width: none; border-radius: 0; }
  .w-frame { border: 1px solid var(--kf-line); }
  .w-enters { animation: w-enter .25s ease-out; }
  @keyframes w-enter { from { opacity: 0; translate: 0 4px; } }

  .w-text, .w-title, .w-caption, .w-label { margin: 0; overflow-wrap: anywhere; white-space: pre-line; }
  p.w-text:empty { display: none; }
  .w-title { font-size: 1.15rem; font-weight: 600; line-height: 1.3; }
  .w-caption { color: var(--kf-muted); font-size: .85rem; }
  .w-label { color: var(--kf-muted); font-size: .85rem; }
  .w-text.size-xs, .w-label.size-xs, .w-caption.size-sm { font-size: .78rem; }
  .w-text.size-sm, .w-label.size-sm { font-size: .875rem; }
  .w-text.size-md, .w-label.size-md { font-size: .94rem; }
  .w-text.size-lg, .w-label.size-lg { font-size: 1.1rem; }
  .w-text.size-xl, .w-label.size-xl { font-size: 1.25rem; }
  .w-caption.size-lg { font-size: .95rem; }
  .w-title.size-sm { font-size: 1rem; }
  .w-title.size-lg { font-size: 1.3rem; }
  .w-title.size-xl { font-size: 1.5rem; }
  .w-title.size-2xl { font-size: 1.75rem; }
  .w-title.size-3xl { font-size: 2rem; }
  .w-title.size-4xl { font-size: 2.35rem; }
  .w-title.size-5xl { font-size: 2.75rem; }
  .weight-normal { font-weight: 400; }
  .weight-medium { font-weight: 500; }
  .weight-semibold { font-weight: 600; }
  .weight-bold { font-weight: 700; }
  .align-start { text-align: start; }
  .align-center { text-align: center; }
  .align-end { text-align: end; }
  .w-italic { font-style: italic; }
  .w-struck { text-decoration: line-through; }
  .w-truncate { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  .w-clamp { display: -webkit-box; overflow: hidden; -webkit-box-orient: vertical; }
  .w-streaming:not(.w-editable)::after { content: ""; display: inline-block; width: .45em; height: 1em; margin-inline-start: 2px; border-radius: 2px; background: var(--kf-muted); vertical-align: -.12em; animation: w-blink 1s steps(2) infinite; }
  .w-markdown.w-streaming::after { display: none; }
  @keyframes w-blink { to { opacity: 0; } }

  .w-badge { --w-tint: var(--kf-muted); --w-soft: color-mix(in srgb, var(--w-tint) 14%, transparent); display: inline-block; flex: none; max-width: 100%; padding: 1px 9px; overflow: hidden; border-radius: 999px; background: var(--w-soft); color: var(--w-tint); font-size: .8rem; font-weight: 550; text-overflow: ellipsis; white-space: nowrap; }
  .color-primary { --w-tint: var(--kf-accent); --w-on: var(--kf-on-accent); }
  .w-badge.color-secondary { --w-tint: var(--kf-muted); }
  .color-success { --w-tint: var(--kf-good); }
  .color-info { --w-tint: var(--kf-info); }
  .color-discovery { --w-tint: var(--kf-discovery); }
  :is(.color-warning, .color-caution) { --w-tint: var(--kf-warning); }
  .color-danger { --w-tint: var(--kf-danger); }
  .w-badge.color-success { --w-soft: var(--kf-good-soft); }
  .w-badge.color-info { --w-soft: var(--kf-info-soft); }
  .w-badge.color-discovery { --w-soft: var(--kf-discovery-soft); }
  .w-badge.color-warning { --w-soft: var(--kf-warning-soft); }
  .w-badge.color-danger { --w-soft: var(--kf-danger-soft); }
  .w-badge.w-square { border-radius: 6px; }
  .w-badge.size-sm { font-size: .74rem; padding-inline: 7px; }
  .w-badge.size-lg { font-size: .9rem; padding: 3px 11px; }
  .w-badge.variant-solid { background: var(--w-tint); color: var(--kf-surface); }
  .w-badge.variant-outline { background: none; box-shadow: inset 0 0 0 1px var(--w-tint); }

  .w-button { display: inline-flex; align-items: center; justify-content: center; gap: 6px; min-height: 34px; padding: 5px 15px; border: 1px solid transparent; border-radius: var(--kf-control-radius, 10px); background: var(--w-tint, var(--kf-text)); color: var(--w-on, var(--kf-surface)); font: inherit; font-size: .9rem; font-weight: 550; line-height: 1.4; overflow-wrap: anywhere; cursor: pointer; }
  .w-button:hover:not(:disabled) { filter: brightness(1.08); }
  .w-button:is(.variant-soft, .variant-outline, .variant-ghost) { background: color-mix(in srgb, var(--w-tint, var(--kf-text)) 9%, transparent); color: var(--w-tint, var(--kf-text)); }
  .w-button.color-secondary { --w-tint: var(--kf-text); }
  .w-button.variant-outline { border-color: color-mix(in srgb, var(--w-tint, var(--kf-text)) 30%, transparent); background: none; }
  .w-button.variant-ghost { background: none; }
  .w-button:is(.variant-soft, .variant-outline, .variant-ghost):hover:not(:disabled) { background: color-mix(in srgb, var(--w-tint, var(--kf-text)) 16%, transparent); filter: none; }
  .w-button:disabled { opacity: .5; cursor: default; }
  .w-button[aria-busy="true"], .w-clicks [aria-busy="true"] { opacity: .55; cursor: progress; }
  .w-button.size-3xs { min-height: 20px; padding: 0 6px; font-size: .72rem; }
  .w-button.size-2xs { min-height: 24px; padding: 1px 8px; font-size: .76rem; }
  .w-button.size-xs { min-height: 26px; padding: 2px 9px; font-size: .8rem; }
  .w-button.size-sm { min-height: 30px; padding: 3px 11px; font-size: .85rem; }
  .w-button.size-lg { min-height: 38px; padding: 7px 17px; font-size: .96rem; }
  .w-button.size-xl { min-height: 42px; padding: 8px 19px; font-size: 1rem; }
  .w-button.size-2xl { min-height: 46px; padding: 10px 21px; font-size: 1.05rem; }
  .w-button.size-3xl { min-height: 50px; padding: 11px 24px; font-size: 1.1rem; }
  .w-uniform { aspect-ratio: 1; padding: 0; }
  .w-pill { border-radius: 999px; }
  .w-block { display: flex; width: 100%; }
  .icons-sm svg { width: .95em; height: .95em; }
  .icons-lg svg { width: 1.35em; height: 1.35em; }
  .icons-xl svg { width: 1.5em; height: 1.5em; }
  .icons-2xl svg { width: 1.75em; height: 1.75em; }

  .w-icon { display: inline-grid; flex: none; font-size: 1.1rem; }
  .w-icon svg { width: 1em; height: 1em; }
  .w-icon.size-xs { font-size: .8rem; }
  .w-icon.size-sm { font-size: .95rem; }
  .w-icon.size-lg { font-size: 1.3rem; }
  .w-icon.size-xl { font-size: 1.55rem; }
  .w-icon.size-2xl { font-size: 1.9rem; }
  .w-icon.size-3xl { font-size: 2.3rem; }
  .w-image { display: block; flex: none; overflow: hidden; border-radius: 8px; }
  .w-image img { display: block; width: 100%; height: 100%; max-height: 640px; object-fit: cover; }
  .w-no-image { display: flex; align-items: center; justify-content: center; gap: 6px; padding: 6px; background: var(--kf-hover); color: var(--kf-muted); font-size: .78rem; line-height: 1.2; overflow-wrap: anywhere; }
  .w-no-image a { color: inherit; }

  .w-chart { position: relative; align-self: stretch; }
  .w-plot { position: relative; }
  .w-plot svg { display: block; stroke: none; overflow: visible; font: 11px var(--kf-sans, sans-serif); }
  .w-plot text { fill: var(--kf-muted); }
  .w-grid { stroke: var(--kf-line); stroke-opacity: .6; }
  .w-zero { stroke: var(--kf-line); }
  .w-band { fill: var(--kf-text); fill-opacity: .05; }
  .w-dot { stroke: var(--kf-raised); stroke-width: 2; }
  .w-tooltip { position: absolute; top: 8px; display: grid; gap: 2px; max-width: 60%; padding: 7px 10px; border: 1px solid var(--kf-line); border-radius: 8px; background: var(--kf-raised); box-shadow: var(--kf-shadow, 0 4px 16px #0002); font-size: .78rem; pointer-events: none; }
  .w-tooltip span { display: flex; align-items: center; gap: 6px; }
  .w-tooltip em { margin-inline-start: auto; padding-inline-start: 12px; font-style: normal; font-variant-numeric: tabular-nums; }
  .w-tooltip i, .w-legend i { width: 9px; height: 9px; flex: none; border-radius: 3px; }
  .w-legend { display: flex; flex-wrap: wrap; gap: 4px 14px; margin: 6px 0 0; padding: 0; color: var(--kf-muted); font-size: .8rem; list-style: none; }
  .w-legend li { display: flex; align-items: center; gap: 6px; }
  .w-unseen { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  .w-scroll { overflow-x: auto; }
  .w-table { width: 100%; border-collapse: collapse; font-size: .9rem; }
  .w-table td { padding: 7px 10px; border-bottom: 1px solid var(--kf-line); vertical-align: top; }
  .w-head td { color: var(--kf-muted); font-weight: 600; }

  .w-field { width: 100%; min-width: 0; min-height: 38px; padding: 6px 11px; border: 1px solid var(--kf-line); border-radius: var(--kf-control-radius, 10px); background: var(--kf-surface); color: var(--kf-text); font: inherit; font-size: 16px; line-height: 1.4; }
  .w-field:focus-visible { border-color: var(--kf-accent); outline: 2px solid var(--kf-accent); outline-offset: -1px; }
  .w-field:user-invalid { border-color: var(--kf-danger); }
  .w-field::placeholder { color: var(--kf-muted); opacity: 1; }
  .w-field:disabled { opacity: .55; }
  .w-field:is(.variant-soft, .variant-solid) { border-color: transparent; background: var(--kf-hover); }
  .w-field.variant-ghost { border-color: transparent; background: transparent; }
  .w-field.w-pill { border-radius: 999px; padding-inline: 15px; }
  .w-field:is(.size-3xs, .size-2xs, .size-xs) { min-height: 28px; padding-block: 1px; }
  .w-field.size-sm { min-height: 32px; padding-block: 3px; }
  .w-field.size-lg { min-height: 42px; }
  .w-field.size-xl { min-height: 46px; }
  .w-field:is(.size-2xl, .size-3xl) { min-height: 52px; }
  .w-row > :is(.w-field, .w-control) { flex: 1 1 8rem; width: auto; }
  .w-control { display: flex; align-items: center; gap: 4px; min-width: 0; }
  .w-control:not(.w-block) { max-width: 24rem; }
  .w-clear { display: grid; flex: none; place-items: center; width: 28px; height: 28px; border: 0; border-radius: 50%; background: none; color: var(--kf-muted); cursor: pointer; }
  .w-clear:hover { background: var(--kf-hover); color: var(--kf-text); }
  kitfox-widget-combo { flex: 1; min-width: 0; }
  .w-options { position: fixed; inset: auto; margin: 0; padding: 4px; overflow: auto; border: 1px solid var(--kf-line); border-radius: 12px; background: var(--kf-raised); color: var(--kf-text); box-shadow: var(--kf-shadow, 0 8px 30px #0003); font-size: .94rem; list-style: none; }
  .w-options li { padding: 7px 10px; border-radius: 8px; cursor: pointer; overflow-wrap: anywhere; }
  .w-options li:hover, .w-active { background: var(--kf-hover); }
  .w-options [aria-selected="true"] { font-weight: 600; }
  .w-options [aria-disabled="true"] { opacity: .5; cursor: default; }
  .w-options small { display: block; color: var(--kf-muted); font-weight: 400; }
  textarea.w-field { resize: vertical; }
  .w-grows { field-sizing: content; max-height: 20rem; }
  select.w-field { cursor: pointer; }
  .w-editable { width: 100%; padding: 1px 4px; margin-inline: -4px; border: 0; border-bottom: 1px dashed var(--kf-line); border-radius: 4px 4px 0 0; background: none; color: inherit; font: inherit; resize: none; }
  .w-editable:focus { outline: 0; border-bottom: 1px solid var(--kf-accent); background: var(--kf-hover); }
  .w-choices { gap: 6px; }
  .w-choices.w-row { flex-wrap: wrap; gap: 6px 16px; }
  .w-choice { display: flex; align-items: center; gap: 8px; cursor: pointer; overflow-wrap: anywhere; }
  .w-choice > input { flex: none; width: 17px; height: 17px; margin: 0; accent-color: var(--kf-accent); }
  .w-choice:has(> :disabled) { opacity: .55; cursor: default; }

  @media (forced-colors: active) { .w-badge, .w-button { border: 1px solid; } }
  @media (prefers-reduced-motion: reduce) { .w-enters, .w-streaming::after { animation: none; } }
`;
