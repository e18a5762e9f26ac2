import { Link } from "react-router";

export const meta = () => [{ title: "Bread" }, { name: "description", content: "Flour, water, salt, and a night." }];

export default function Bread() {
  return (
    <>
      <h1>Bread</h1>
      <p><Link to="/">Back</Link></p>
      <h2>What you need</h2>
      <p>500 g of flour, 350 g of water, 10 g of salt, 3 g of yeast, and a night.</p>
    </>
  );
}
