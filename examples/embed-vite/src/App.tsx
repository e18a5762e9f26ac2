import { useState } from "react";
import { Chat } from "./Chat";

const TEAS = [
  { name: "Sencha", from: "Shizuoka", text: "Steamed, bright green, tastes of grass and the sea." },
  { name: "Darjeeling", from: "West Bengal", text: "The first flush of spring, light and flowery." },
  { name: "Lapsang Souchong", from: "Fujian", text: "Dried over pine fires. You like it, or you do not." },
];

export function App() {
  const [open, setOpen] = useState(false);
  const [basket, setBasket] = useState<string[]>([]);
  return (
    <>
      <main>
        <h1>Tea shop</h1>
        <p>Basket: {basket.length === 0 ? "empty" : basket.join(", ")}</p>
        {TEAS.map(({ name, from, text }) => (
          <section key={name}>
            <h2>{name}</h2>
            <p>{text} From {from}.</p>
            <button type="button" onClick={() => setBasket((it) => [...it, name])}>Put into the basket</button>
          </section>
        ))}
      </main>
      <button type="button" className="open" aria-expanded={open} onClick={() => setOpen((it) => !it)}>Chat</button>
      <aside hidden={!open} aria-label="Chat"><Chat basket={basket} /></aside>
    </>
  );
}
