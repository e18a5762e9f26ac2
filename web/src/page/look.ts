/** Where chat and inspector stand in the page. */
export const look = new CSSStyleSheet();

look.replaceSync(`
:root { color-scheme: light dark; }
html, body { height: 100%; margin: 0; }
body { display: flex; overflow: hidden; background: light-dark(#fdfdfc, #1c1b1a); font: 16px/1.5 system-ui, sans-serif; }
@supports (height: 100dvh) { body { height: 100dvh; } }
main { position: relative; flex: 1; min-width: 0; height: 100%; }
kitfox-chat, openai-chatkit { display: block; width: 100%; height: 100%; }
kitfox-chat img { display: block; }
kitfox-inspector { flex: none; width: 27rem; border-inline-start: 1px solid light-dark(#e6e2db, #34312d); }
.backdrop { position: fixed; z-index: 10; inset: 0; background: rgb(20 16 12 / 32%); opacity: 0; visibility: hidden; transition: opacity .2s, visibility .2s; }
.backdrop.on { opacity: 1; visibility: visible; }
@media (max-width: 71.99rem) {
  kitfox-inspector { position: fixed; z-index: 11; inset-block: 0; inset-inline-end: 0; width: min(27rem, 92vw); box-shadow: 0 12px 36px rgb(0 0 0 / 25%); }
}
.toast { position: absolute; z-index: 12; inset: 3.75rem 0 auto; display: flex; justify-content: center; padding: 0 1rem; pointer-events: none; }
.toast span { max-width: 36rem; padding: .5rem 1rem; border-radius: 999px; background: light-dark(#2b2621, #efe9e0); color: light-dark(#fdfaf6, #221d18); font-size: .875rem; box-shadow: 0 6px 20px rgb(0 0 0 / 18%); overflow-wrap: anywhere; }
noscript { padding: 2rem; }
`);
