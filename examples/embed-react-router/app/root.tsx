import { Links, Meta, Outlet, Scripts, ScrollRestoration } from "react-router";
import { Chat } from "./Chat";
import "./style.css";

export default function Root() {
  return (
    <html lang="en">
      <head>
        <meta charSet="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <Meta />
        <Links />
      </head>
      <body>
        <main><Outlet /></main>
        <aside aria-label="Chat"><Chat /></aside>
        <ScrollRestoration />
        <Scripts />
      </body>
    </html>
  );
}
