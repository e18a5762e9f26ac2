/** Messages and all else in a thread. */
import { css } from "lit";

export const transcript = css`
  .transcript { display: flex; flex-direction: column; max-width: var(--kf-column); margin: 0 auto; padding: .75em 0 2em; }
  .transcript[aria-busy="true"] > kitfox-chat-item { opacity: .6; }
  .earlier { display: flex; margin: .75em auto 0; }
  kitfox-chat-item { display: block; }
  kitfox-chat-item:empty { display: none; }
  kitfox-chat-item:not(:nth-last-child(-n + 12)) { content-visibility: auto; contain-intrinsic-size: auto 8em; }
  kitfox-chat-item > * { margin-block: calc(var(--kf-unit) * 2.25); }
  .item { min-width: 0; }
  .item.assistant { margin-block: calc(var(--kf-unit) * 2.5) calc(var(--kf-unit) * 1.25); }

  .user { display: flex; flex-direction: column; align-items: flex-end; gap: .4em; margin-block: calc(var(--kf-unit) * 4) calc(var(--kf-unit) * 3); }
  kitfox-chat-item:first-child .user { margin-top: calc(var(--kf-unit) * 2); }
  .bubble { max-width: min(85%, 36em); padding: calc(var(--kf-unit) * 2) calc(var(--kf-unit) * 4); border-radius: var(--kf-bubble-radius); border-end-end-radius: min(.35em, var(--kf-bubble-radius)); background: var(--kf-bubble); overflow-wrap: anywhere; }
  .words { white-space: pre-wrap; unicode-bidi: isolate; }
  .words.folded { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 8; line-clamp: 8; overflow: hidden; }
  .fold { margin: .35em 0 .1em; padding: 0; border: 0; background: none; color: var(--kf-muted); font-size: .875em; font-weight: 500; text-decoration: underline; text-underline-offset: .2em; }
  .pending { opacity: .7; }
  .quote { margin-bottom: .4em; padding-inline-start: .75em; border-inline-start: 3px solid var(--kf-strong-line); color: var(--kf-muted); font-size: .925em; overflow-wrap: anywhere; }
  .tag, .entity { display: inline-flex; align-items: center; gap: .25em; padding: 0 .4em; border: 0; border-radius: .4em; background: var(--kf-accent-soft); color: var(--kf-link); font: inherit; font-weight: 500; white-space: nowrap; }
  button.tag:hover, button.entity:hover { text-decoration: underline; }
  .entity .icon { width: .95em; height: .95em; }
  .attachments { display: flex; flex-wrap: wrap; justify-content: flex-end; gap: .4em; max-width: min(85%, 36em); }
  .file { display: inline-flex; align-items: center; gap: .5em; max-width: 100%; padding: .5em .8em; border: 1px solid var(--kf-line); border-radius: var(--kf-radius); background: var(--kf-raised); font-size: .9em; }
  .file .icon { color: var(--kf-accent); }
  .file-name { min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  .preview { display: block; max-width: min(15em, 100%); max-height: 12em; border: 1px solid var(--kf-line); border-radius: var(--kf-radius); object-fit: cover; }
  img.broken { min-width: 6em; min-height: 3em; padding: 1em; background: var(--kf-bubble); color: var(--kf-muted); font-size: .85em; }

  .item-bar { display: flex; gap: .1em; margin: .15em 0 0 -.45em; opacity: 0; transition: opacity .12s; }
  [dir="rtl"] .item-bar { margin: .15em -.45em 0 0; }
  kitfox-chat-item[data-last] .item-bar, kitfox-chat-item:hover .item-bar, kitfox-chat-item:focus-within .item-bar { opacity: 1; }
  @media (hover: none) { .item-bar { opacity: 1; } }
  .stopped { margin-top: .35em; color: var(--kf-muted); font-size: .875em; }
  .working { display: flex; align-items: center; gap: .7em; min-height: 2.4em; margin-block: calc(var(--kf-unit) * 2); color: var(--kf-muted); font-size: .95em; }
  .working .icon { color: var(--kf-accent); }

  .sources { margin-top: .6em; font-size: .9em; }
  .sources summary { display: inline-flex; align-items: center; gap: .45em; padding: .25em .75em; border: 1px solid var(--kf-line); border-radius: 99em; color: var(--kf-muted); cursor: pointer; list-style: none; }
  .sources summary::-webkit-details-marker { display: none; }
  .sources summary:hover { border-color: var(--kf-strong-line); color: var(--kf-text); }
  .sources summary .icon { width: 1em; height: 1em; }
  .sources .count, .source .number { min-width: 1.5em; padding: 0 .35em; border-radius: 99em; background: var(--kf-hover); font-size: .85em; font-variant-numeric: tabular-nums; text-align: center; }
  .sources ol { display: grid; gap: .15em; margin-top: .5em; }
  .source { display: flex; align-items: baseline; gap: .6em; min-width: 0; padding: .3em .5em; border-radius: .5em; color: inherit; text-decoration: none; }
  .source > .icon { align-self: center; width: 1.05em; height: 1.05em; color: var(--kf-muted); }
  a.source:hover { background: var(--kf-hover); }
  .source-title { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  a.source .source-title { color: var(--kf-link); }
  .source-place { flex: none; max-width: 40%; overflow: hidden; font-size: .875em; text-overflow: ellipsis; white-space: nowrap; }

  .workflow { font-size: .95em; }
  .workflow-head { display: inline-flex; align-items: center; gap: .55em; max-width: 100%; padding: .2em 0; color: var(--kf-muted); cursor: pointer; list-style: none; }
  p.workflow-head { cursor: default; }
  summary.workflow-head::-webkit-details-marker, .call summary::-webkit-details-marker { display: none; }
  .workflow-head:hover { color: var(--kf-text); }
  .workflow-icon .icon { display: block; width: 1.1em; height: 1.1em; }
  .workflow-title { min-width: 0; overflow-wrap: anywhere; }
  .chevron .icon { display: block; width: .95em; height: .95em; transition: transform .15s; }
  details[open] > summary .chevron .icon { transform: rotate(90deg); }
  [dir="rtl"] details:not([open]) > summary .chevron .icon { transform: scaleX(-1); }
  .tasks { display: flex; flex-direction: column; margin: .35em 0 .25em; padding-inline-start: .1em; }
  .tasks > li { position: relative; padding-bottom: .65em; }
  .tasks > li:not(:last-child)::before { content: ""; position: absolute; inset-block: 1.75em .1em; inset-inline-start: .5em; width: 1px; background: var(--kf-line); }
  .task { display: flex; gap: .75em; min-width: 0; color: var(--kf-muted); }
  .task-mark { display: grid; flex: none; place-items: center; width: 1.1em; height: 1.6em; }
  .task-mark .icon { width: 1.1em; height: 1.1em; }
  .task-mark .spinner { width: .95em; height: .95em; }
  .dot { width: .4em; height: .4em; border-radius: 50%; background: var(--kf-strong-line); }
  .task-body { flex: 1; min-width: 0; }
  .task-title, .workflow-title { overflow-wrap: anywhere; text-align: -webkit-match-parent; text-align: match-parent; }
  .task-done .icon { width: .95em; height: .95em; margin-inline-start: .45em; vertical-align: -.1em; color: var(--kf-good); }
  .task.is-complete > .task-mark:has(> .icon:only-of-type) { color: var(--kf-muted); }
  .task .markdown { font-size: .95em; }
  .queries { display: flex; flex-wrap: wrap; gap: .35em; margin-top: .35em; }
  .query { display: inline-flex; align-items: center; gap: .4em; max-width: 100%; padding: .1em .65em; border: 1px solid var(--kf-line); border-radius: 99em; font-size: .9em; overflow-wrap: anywhere; }
  .query .icon { width: .9em; height: .9em; }
  .task-sources { display: grid; margin: .2em 0 0 -.5em; }
  [dir="rtl"] .task-sources { margin: .2em -.5em 0 0; }
  .task-item { padding: .6em .9em; border: 1px solid var(--kf-line); border-radius: var(--kf-radius); background: var(--kf-raised); font-size: .95em; }
  .task-item .task { color: inherit; }
  .task-item .task-mark, .task-item .markdown { color: var(--kf-muted); }

  .picture { position: relative; display: inline-block; max-width: min(100%, 30em); overflow: hidden; border-radius: var(--kf-radius); background: var(--kf-bubble); vertical-align: top; }
  .picture img { display: block; max-width: 100%; max-height: 30em; min-width: 6em; }
  .picture.growing { min-width: min(20em, 100%); }
  .picture.growing img { filter: saturate(.85); }
  .picture-text { display: flex; flex-direction: column; align-items: center; justify-content: center; gap: .5em; width: min(20em, 80vw); max-width: 100%; aspect-ratio: 4 / 3; padding: 1em; color: var(--kf-muted); font-size: .9em; text-align: center; }
  .picture progress { position: absolute; inset: auto 0 0; border-radius: 0; }
  .picture progress[data-unknown]::-webkit-progress-value { width: 100% !important; animation: kf-pulse 1.4s infinite; }

  .card { display: flex; align-items: flex-start; gap: .75em; padding: .75em .6em .75em 1em; border-radius: var(--kf-radius); font-size: .95em; animation: kf-appear .18s ease-out; }
  [dir="rtl"] .card { padding: .75em 1em .75em .6em; }
  .card > .icon { margin-top: .18em; }
  .card-body { flex: 1; min-width: 0; color: var(--kf-text); overflow-wrap: anywhere; }
  .card.info, .alert.info { background: var(--kf-info-soft); } .card.info > .icon, .alert.info > .icon { color: var(--kf-info); }
  .card.warning, .alert.warning { background: var(--kf-warning-soft); } .card.warning > .icon, .alert.warning > .icon { color: var(--kf-warning); }
  .card.danger, .alert.danger { background: var(--kf-danger-soft); } .card.danger > .icon, .alert.danger > .icon { color: var(--kf-danger); }
  .effect { display: flex; align-items: baseline; gap: .55em; color: var(--kf-muted); font-size: .875em; overflow-wrap: anywhere; }
  .effect .icon { align-self: center; width: 1em; height: 1em; }
  .placeholder { display: flex; align-items: center; gap: .6em; padding: .75em 1em; border: 1px dashed var(--kf-line); border-radius: var(--kf-radius); color: var(--kf-muted); font-size: .9em; }

  .asked, .call { padding: .85em 1.1em; border: 1px solid var(--kf-line); border-radius: var(--kf-radius); background: var(--kf-raised); font-size: .95em; }
  .asked-list { margin-bottom: .75em; }
  .answers { display: grid; gap: .6em; }
  .answers dt { color: var(--kf-muted); font-size: .9em; }
  .answers dd { overflow-wrap: anywhere; }
  .call { padding: .6em .95em; }
  .call summary, .call-head { display: flex; align-items: center; gap: .6em; min-width: 0; color: var(--kf-muted); cursor: pointer; overflow-wrap: anywhere; }
  .call-head { cursor: default; }
  .call code { font-size: .9em; color: var(--kf-text); }
  .json { max-height: 16em; margin-top: .6em; padding: .6em .8em; overflow: auto; border-radius: .6em; background: var(--kf-bubble); font-size: .82em; line-height: 1.5; white-space: pre-wrap; overflow-wrap: anywhere; }
  .call-form { display: grid; gap: .5em; margin-top: .75em; }
  .call-form .field { font-size: .9em; }

  .skeleton { display: grid; gap: .9em; padding: 1em 0; }
  .skeleton i { height: 1em; border-radius: .4em; background: var(--kf-bubble); animation: kf-pulse 1.6s ease-in-out infinite; }
  .skeleton i:nth-child(1) { width: 40%; height: 2.4em; margin-inline-start: auto; border-radius: 1.2em; } .skeleton i:nth-child(2) { width: 92%; } .skeleton i:nth-child(3) { width: 84%; } .skeleton i:nth-child(4) { width: 58%; }
  @container frame (max-width: 34em) { .bubble, .attachments { max-width: 92%; } }
`;

export const prose = css`
  .markdown { min-width: 0; overflow-wrap: anywhere; }
  .markdown > * { margin-block: 0 .75em; }
  .markdown > :last-child { margin-bottom: 0; }
  .markdown + .markdown { margin-top: .75em; }
  .markdown :is(h1, h2, h3, h4, h5, h6) { margin-block: 1.2em .45em; font-weight: 650; letter-spacing: -.01em; line-height: 1.3; }
  .markdown > :is(h1, h2, h3, h4, h5, h6):first-child { margin-top: 0; }
  .markdown h1 { font-size: 1.35em; } .markdown h2 { font-size: 1.2em; } .markdown h3 { font-size: 1.08em; } .markdown :is(h4, h5, h6) { font-size: 1em; }
  .markdown :is(ul, ol) { padding-inline-start: 1.5em; }
  .markdown ul { list-style: disc; } .markdown ol { list-style: decimal; } .markdown ul ul { list-style: circle; }
  .markdown li { padding-inline-start: .2em; } .markdown li + li { margin-top: .25em; }
  .markdown li > :is(p, ul, ol, figure) { margin-block: .3em; }
  .markdown li::marker { color: var(--kf-muted); }
  .markdown li.has-check { margin-inline-start: -1.4em; list-style: none; }
  .check { display: inline-grid; place-items: center; width: 1.05em; height: 1.05em; margin-inline-end: .5em; border: 1px solid var(--kf-strong-line); border-radius: .28em; vertical-align: -.15em; }
  .check .icon { width: .85em; height: .85em; stroke-width: 3; color: var(--kf-accent); }
  .markdown blockquote { padding-inline-start: 1em; border-inline-start: 3px solid var(--kf-line); color: var(--kf-muted); }
  .markdown blockquote > * + * { margin-top: .5em; }
  .markdown :is(ul, ol, blockquote) :is(ul, ol, blockquote) :is(ul, ol, blockquote) :is(ul, ol, blockquote) :is(ul, ol, blockquote) :is(ul, ol, blockquote), .markdown :is(ul, ol) :is(ul, ol) :is(ul, ol) :is(ul, ol) :is(ul, ol) li { padding-inline-start: 0; border-inline-start-width: 0; }
  .markdown hr { border: 0; border-top: 1px solid var(--kf-line); margin-block: 1.25em; }
  .markdown :not(pre) > code { padding: .12em .35em; border-radius: .35em; background: var(--kf-bubble); font-size: .875em; }
  .deeplink { padding: 0; border: 0; background: none; color: var(--kf-link); text-align: start; text-decoration: underline; text-decoration-thickness: .06em; text-underline-offset: .18em; }
  .markdown code { direction: ltr; unicode-bidi: isolate; }
  .markdown kbd { padding: .05em .4em; border: 1px solid var(--kf-line); border-bottom-width: 2px; border-radius: .35em; font-size: .85em; }
  .markdown img { max-width: 100%; max-height: 28em; border-radius: .75em; vertical-align: middle; }
  .markdown .table { max-width: 100%; overflow-x: auto; border: 1px solid var(--kf-line); border-radius: min(.75em, var(--kf-radius)); }
  .markdown table { width: 100%; border-collapse: collapse; font-size: .94em; }
  .markdown :is(th, td) { padding: .5em .9em; text-align: start; vertical-align: top; overflow-wrap: normal; }
  .markdown :is(th, td)[align="right"] { text-align: end; } .markdown :is(th, td)[align="center"] { text-align: center; }
  .markdown th { background: var(--kf-ground); font-weight: 600; white-space: nowrap; }
  .markdown tr + tr > td, .markdown thead + tbody td { border-top: 1px solid var(--kf-line); }
  .code { overflow: hidden; border: 1px solid var(--kf-line); border-radius: min(.75em, var(--kf-radius)); background: light-dark(hsl(var(--kf-hue) calc(var(--kf-tint) * 2) 97.6%), hsl(var(--kf-hue) calc(var(--kf-tint) * .6) 12.8%)); }
  .code figcaption { display: flex; align-items: center; justify-content: space-between; padding: .15em .3em .15em .9em; color: var(--kf-muted); font: 500 .78em/1.6 var(--kf-sans); }
  .copy-code { display: grid; place-items: center; width: 2.3em; height: 2.3em; padding: 0; border: 0; border-radius: .5em; background: none; color: inherit; }
  .copy-code:hover { background: var(--kf-hover); color: var(--kf-text); }
  .copy-code .icon { width: 1.2em; height: 1.2em; }
  .code pre { padding: .25em .9em .8em; overflow-x: auto; font-size: .86em; line-height: 1.6; outline-offset: -2px; scrollbar-width: thin; }
  .code code { white-space: pre; overflow-wrap: normal; }
  .cite { margin-inline: .12em; font-size: .72em; vertical-align: .25em; line-height: 1; white-space: nowrap; }
  .cite > :is(a, span):not(.entity) { display: inline-block; min-width: 1.55em; padding: .2em .38em; border-radius: 99em; background: var(--kf-hover); color: var(--kf-muted); font-weight: 600; font-variant-numeric: tabular-nums; text-align: center; text-decoration: none; }
  .cite > a:hover { background: var(--kf-accent); color: var(--kf-on-accent); }
  kitfox-chat-item[data-streaming] .assistant > .markdown:last-of-type > :is(p, h1, h2, h3):last-child::after { content: ""; display: inline-block; width: .55em; height: .55em; margin-inline-start: .3em; border-radius: 50%; background: var(--kf-accent); vertical-align: .08em; animation: kf-pulse 1.1s ease-in-out infinite; }

  .hljs-comment, .hljs-quote, .hljs-meta { color: light-dark(#6b6459, #a09788); font-style: italic; }
  .hljs-keyword, .hljs-selector-tag, .hljs-literal, .hljs-doctag, .hljs-section { color: light-dark(#8b2f8f, #d9a0e6); }
  .hljs-string, .hljs-regexp, .hljs-addition, .hljs-template-tag { color: light-dark(#2b6a36, #a3cf92); }
  .hljs-number, .hljs-symbol, .hljs-bullet, .hljs-variable.constant_, .hljs-attr { color: light-dark(#8a4a00, #e6b673); }
  .hljs-title, .hljs-name, .hljs-built_in { color: light-dark(#1f5aa0, #8fbef0); }
  .hljs-type, .hljs-title.class_, .hljs-attribute, .hljs-selector-class, .hljs-selector-id { color: light-dark(#1b6b70, #86cfce); }
  .hljs-deletion { color: light-dark(#a82a25, #f4958c); }
  .hljs-variable, .hljs-template-variable, .hljs-params { color: inherit; }
`;
