import { Link } from "gatsby";
import * as React from "react";

export default function Roses() {
  return (
    <main>
      <h1>Roses</h1>
      <p><Link to="/">Back</Link></p>
      <h2>Cutting</h2>
      <p>When the forsythia is in flower, down to three eyes.</p>
    </main>
  );
}

export const Head = () => <><title>Roses</title><meta name="description" content="Cutting and feeding." /></>;
