/** Where the parts of the chat stand. */
import { css } from "lit";

export const frame = css`
  .frame { position: relative; display: flex; height: 100%; container: frame / inline-size; }
  .main { position: relative; display: flex; flex: 1; flex-direction: column; min-width: 0; min-height: 0; }
  .bar { display: flex; align-items: center; gap: .35em; flex: none; min-height: 3.4em; padding: .5em .75em; }
  .bar .title { flex: 1; min-width: 0; padding-inline: .35em; overflow: hidden; font-size: .95em; font-weight: 600; text-overflow: ellipsis; white-space: nowrap; }
  .scroll { position: relative; flex: 1; min-height: 0; padding: 0 1.25em; overflow: hidden auto; overscroll-behavior: contain; scrollbar-gutter: stable both-edges; scrollbar-width: thin; scrollbar-color: var(--kf-line) transparent; outline-offset: -3px; }
  .starting .scroll { display: flex; flex-direction: column; }
  .dock { position: relative; flex: none; width: 100%; padding: 0 1.25em max(.9em, env(safe-area-inset-bottom)); }
  .dock::before { content: ""; position: absolute; inset: auto 0 100%; height: 1.75em; background: linear-gradient(to top, var(--kf-surface), transparent); pointer-events: none; }
  .dock > * { max-width: var(--kf-column); margin-inline: auto; }
  .latest { position: absolute; z-index: 2; inset-block-end: calc(100% + .6em); inset-inline-start: calc(50% - 1.15em); display: grid; place-items: center; width: 2.3em; height: 2.3em; padding: 0; border: 1px solid var(--kf-line); border-radius: 50%; background: var(--kf-raised); box-shadow: var(--kf-shadow); animation: kf-appear .15s ease-out; }
  [dir="rtl"] :is(.bar, .history-head, .new-chat) .icon { transform: scaleX(-1); }
  .disclaimer { padding: .5em 1em 0; color: var(--kf-muted); font-size: .78em; text-align: center; }
  .disclaimer.strong { color: var(--kf-text); }

  kitfox-chat-history { display: flex; flex-direction: column; width: 17em; background: var(--kf-ground); }
  .docked > kitfox-chat-history { flex: none; border-inline-end: 1px solid var(--kf-line); }
  .docked > kitfox-chat-history:not(.shown) { display: none; }
  .frame:not(.docked) > kitfox-chat-history { position: absolute; z-index: 9; inset-block: 0; inset-inline-start: 0; width: min(19em, 86%); box-shadow: var(--kf-float); transform: translateX(-105%); visibility: hidden; transition: transform .2s ease, visibility .2s; }
  .frame[dir="rtl"]:not(.docked) > kitfox-chat-history { transform: translateX(105%); }
  .frame:not(.docked) > kitfox-chat-history.shown { transform: none; visibility: visible; }
  .backdrop { position: absolute; z-index: 8; inset: 0; background: rgb(20 16 12 / 32%); opacity: 0; visibility: hidden; transition: opacity .2s, visibility .2s; }
  .backdrop.on { opacity: 1; visibility: visible; }
  .history-head { display: flex; align-items: center; justify-content: space-between; min-height: 3.4em; padding: .5em .5em .5em .95em; }
  [dir="rtl"] .history-head { padding: .5em .95em .5em .5em; }
  .history-head h2, .history-head .brand { min-width: 0; overflow: hidden; font-size: .95em; font-weight: 650; letter-spacing: -.01em; text-overflow: ellipsis; white-space: nowrap; }
  .new-chat { display: flex; align-items: center; gap: .6em; margin: 0 .6em .4em; padding: .5em .7em; border: 1px solid var(--kf-line); border-radius: var(--kf-control-radius); background: var(--kf-raised); font-size: .925em; font-weight: 500; text-align: start; }
  .new-chat:hover { border-color: var(--kf-strong-line); }
  kitfox-chat-history nav { flex: 1; min-height: 0; padding: 0 .6em 1em; overflow-y: auto; overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: var(--kf-line) transparent; }
  .none { padding: .75em .7em; color: var(--kf-muted); font-size: .875em; }
  .age { padding: 1.2em .85em .35em; color: var(--kf-muted); font-size: .75em; font-weight: 600; }
  .thread { position: relative; display: flex; align-items: center; border-radius: var(--kf-control-radius); }
  .thread-title { display: flex; align-items: center; gap: .5em; flex: 1; min-width: 0; min-height: 2.25em; padding: .35em .7em; border: 0; border-radius: inherit; background: none; font-size: .9em; text-align: start; }
  .thread-title bdi { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  .thread:hover, .thread:focus-within, .thread.open { background: var(--kf-hover); }
  .thread .icon-button { width: 0; overflow: hidden; opacity: 0; }
  .thread:hover .icon-button, .thread:focus-within .icon-button, .thread.rename .icon-button { width: 1.9em; opacity: 1; }
  .thread:hover .icon-button:last-child, .thread:focus-within .icon-button:last-child { margin-inline-end: .2em; }
  @media (hover: none) { .thread .icon-button { width: 1.9em; opacity: 1; } }
  .thread.rename { gap: .2em; padding: .15em; }
  .thread.rename .field { padding: .25em .6em; font-size: .9em; }
  .more { margin: .5em auto 0; display: flex; }
  .account { display: flex; align-items: center; gap: .5em; padding-block: .6em max(.6em, env(safe-area-inset-bottom)); padding-inline: .95em .6em; border-top: 1px solid var(--kf-line); font-size: .9em; }
  .account bdi { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }

  .start { display: flex; flex: 1; flex-direction: column; align-items: center; justify-content: safe center; gap: 1.75em; width: 100%; max-width: var(--kf-column); margin: 0 auto; padding: 2em 0 3em; }
  .start .greeting { max-width: 22em; font-size: 1.75em; font-weight: 600; letter-spacing: -.02em; line-height: 1.25; text-align: center; text-wrap: balance; }
  .prompts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(17em, 100%), 1fr)); gap: .6em; width: 100%; }
  .prompts button { display: flex; align-items: center; gap: .8em; width: 100%; height: 100%; min-height: 3.4em; padding: .7em 1em; border: 1px solid var(--kf-line); border-radius: var(--kf-radius); background: var(--kf-raised); font-size: .95em; line-height: 1.4; text-align: start; transition: border-color .12s, box-shadow .12s; }
  .prompts button:hover { border-color: var(--kf-strong-line); box-shadow: var(--kf-shadow); }
  .prompts .icon { color: var(--kf-accent); }
  .note { max-width: 36em; color: var(--kf-muted); font-size: .9em; text-align: center; }

  @container frame (max-width: 34em) {
    .scroll, .dock { padding-inline: .9em; }
    .scroll { scrollbar-gutter: auto; }
    .start { gap: 1.25em; padding: 1em 0 1.5em; }
    .start .greeting { font-size: 1.45em; }
    .prompts { grid-template-columns: 1fr; }
    .prompts button { min-height: 3em; padding: .55em .85em; }
    .bar { min-height: 3.1em; padding: .4em .5em; }
  }
  @media (prefers-reduced-motion: reduce) {
    *, *::before, *::after { animation-duration: .001s !important; animation-iteration-count: 1 !important; transition-duration: .001s !important; scroll-behavior: auto !important; }
    .shimmer { background: none; color: var(--kf-muted); }
  }
  @media (forced-colors: active) {
    .shimmer { background: none; color: CanvasText; }
    .send, .button, .bubble, .composer, .card, .menu, .prompts button { border: 1px solid ButtonText; }
    .menu [role="option"].active, .menu button:focus-visible { outline: 2px solid Highlight; }
    .pulse, .dot { background: CanvasText; forced-color-adjust: none; }
  }
  @media print {
    :host, .frame, .main, .scroll { height: auto; overflow: visible; }
    .dock, .bar, kitfox-chat-history, .item-bar { display: none !important; }
  }
`;
