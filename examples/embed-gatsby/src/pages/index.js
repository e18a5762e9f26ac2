import { Link } from "gatsby";
import * as React from "react";

export default function Index() {
  return (
    <main>
      <h1>Garden</h1>
      <p>What to do this month. See <Link to="/roses">roses</Link>.</p>
      <h2>March</h2>
      <p>Sow peas, cut the apple trees, leave the hedges to the birds.</p>
    </main>
  );
}

export const Head = () => <><title>Garden</title><meta name="description" content="What to do this month." /></>;
