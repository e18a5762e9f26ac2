/** Where the user writes. */
import { css } from "lit";

export const composer = css`
  kitfox-chat-composer { position: relative; display: block; }
  .composer { position: relative; display: flex; flex-direction: column; padding: calc(var(--kf-unit) * 2); border: 1px solid var(--kf-line); border-radius: var(--kf-composer-radius); background: var(--kf-raised); box-shadow: var(--kf-shadow); transition: border-color .12s; }
  .composer:focus-within { border-color: var(--kf-strong-line); }
  .composer.barred { background: var(--kf-ground); box-shadow: none; }
  .writing { position: relative; display: grid; }
  .message, .mirror { grid-area: 1 / 1; width: 100%; min-height: 2.4em; max-height: min(14em, 38vh); padding: .4em .6em; border: 0; background: none; font-size: max(1em, 16px); line-height: 1.5; letter-spacing: normal; white-space: pre-wrap; overflow-wrap: anywhere; }
  .message { display: block; position: relative; field-sizing: content; resize: none; outline: none; scrollbar-width: thin; scrollbar-color: var(--kf-line) transparent; }
  .message::placeholder { color: var(--kf-muted); opacity: 1; }
  .mirror { overflow: hidden; color: transparent; pointer-events: none; }
  .mirror mark { border-radius: .3em; background: var(--kf-accent-soft); box-shadow: 0 0 0 .12em var(--kf-accent-soft); color: transparent; }
  .composer-row { display: flex; flex-wrap: wrap; align-items: center; gap: .3em; margin-top: .15em; }
  .send { display: grid; flex: none; place-items: center; width: 2.25em; height: 2.25em; margin-inline-start: .25em; padding: 0; border: 0; border-radius: var(--kf-send-radius, 50%); background: var(--kf-accent); color: var(--kf-on-accent); transition: filter .12s, opacity .12s; }
  .send:hover:not(:disabled) { filter: brightness(1.08); }
  .send:disabled { background: var(--kf-hover); color: var(--kf-muted); }
  .send .icon { stroke-width: 2.25; }
  .send .icon.filled { width: .95em; height: .95em; }
  .at { font-size: 1.1em; line-height: 1; }
  .files { display: none; }
  .chip { display: inline-flex; align-items: center; gap: .4em; min-height: 2.1em; padding: .2em .75em; border: 1px solid transparent; border-radius: 99em; background: none; color: var(--kf-muted); font-size: .9em; }
  .chip:hover { background: var(--kf-hover); color: var(--kf-text); }
  .chip.chosen, .chip[aria-pressed="true"] { background: var(--kf-accent-soft); color: var(--kf-link); }
  .chip .icon { width: 1.1em; height: 1.1em; }
  .model { display: inline-flex; align-items: center; gap: .3em; max-width: 14em; min-height: 2.25em; padding: .2em .6em; border: 0; border-radius: var(--kf-control-radius); background: none; color: var(--kf-muted); font-size: .9em; }
  .model span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  .model:hover { background: var(--kf-hover); color: var(--kf-text); }
  .model .icon { width: 1em; height: 1em; }
  .recording { background: var(--kf-danger-soft); color: var(--kf-danger) !important; animation: kf-pulse 1.4s ease-in-out infinite; }
  .uploads { display: flex; flex-wrap: wrap; gap: .45em; padding: .3em .35em .5em; }
  .upload { position: relative; display: flex; align-items: center; gap: .5em; max-width: min(16em, 100%); padding: .3em .3em .3em .7em; overflow: hidden; border: 1px solid var(--kf-line); border-radius: .8em; background: var(--kf-surface); font-size: .875em; }
  .upload > .icon { color: var(--kf-accent); }
  .upload img { width: 2em; height: 2em; margin-inline-start: -.35em; border-radius: .5em; object-fit: cover; }
  .upload progress { position: absolute; inset: auto 0 0; border-radius: 0; }
  .composer-quote { display: flex; align-items: center; gap: .6em; margin: .2em .35em .3em; padding: .3em .35em .3em .75em; border-inline-start: 3px solid var(--kf-accent); border-radius: .3em; background: var(--kf-ground); color: var(--kf-muted); font-size: .9em; }
  .composer-quote span { flex: 1; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; line-clamp: 2; overflow: hidden; overflow-wrap: anywhere; }
  .drop-hint { position: absolute; inset: -1px; display: none; align-items: center; justify-content: center; gap: .6em; border: 2px dashed var(--kf-accent); border-radius: inherit; background: color-mix(in srgb, var(--kf-accent-soft) 94%, transparent); color: var(--kf-link); font-weight: 500; pointer-events: none; }
  .dropping .drop-hint { display: flex; }
  .alert { display: flex; align-items: center; gap: .7em; margin-bottom: .6em; padding: .5em .5em .5em .9em; border-radius: var(--kf-radius); font-size: .9em; animation: kf-appear .18s ease-out; }
  .alert span { flex: 1; min-width: 0; overflow-wrap: anywhere; }

  .asking { gap: .6em; padding: calc(var(--kf-unit) * 4); }
  .asking > .icon-button { position: absolute; inset-block-start: .7em; inset-inline-end: .7em; }
  .asking legend { padding: 0 2em 0 0; margin-bottom: .7em; font-weight: 600; overflow-wrap: anywhere; }
  [dir="rtl"] .asking legend { padding: 0 0 0 2em; }
  .asking .step { display: block; color: var(--kf-muted); font-size: .8em; font-weight: 500; }
  .asking fieldset .muted { margin: -.4em 0 .6em; font-size: .925em; }
  .choices { display: grid; gap: .4em; max-height: min(20em, 42vh); overflow-y: auto; padding: 2px; }
  .choice { display: flex; align-items: center; gap: .7em; min-height: 2.75em; padding: .4em .85em; border: 1px solid var(--kf-line); border-radius: min(var(--kf-control-radius), .9em); cursor: pointer; overflow-wrap: anywhere; }
  .choice:hover { border-color: var(--kf-strong-line); }
  .choice:has(input:checked) { border-color: var(--kf-accent); background: var(--kf-accent-soft); }
  .choice > input[type="radio"], .choice > input[type="checkbox"] { flex: none; width: 1.1em; height: 1.1em; accent-color: var(--kf-accent); }
  .choice .bare { flex: 1; min-width: 0; padding: .2em 0; border: 0; background: none; outline: none; font-size: max(1em, 16px); }
  .choice:has(.bare:focus-visible) { outline: 2px solid var(--kf-accent); outline-offset: 1px; }
  .choice .bare::placeholder { color: var(--kf-muted); opacity: 1; }
  .asking .field { font-size: max(1em, 16px); }
`;
