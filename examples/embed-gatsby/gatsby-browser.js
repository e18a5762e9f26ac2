import * as React from "react";
import { Chat } from "./src/components/Chat";
import "./src/style.css";

/** Beside every page, and the same while the visitor goes from page to page. */
export const wrapRootElement = ({ element }) => <>{element}<Chat server={process.env.GATSBY_KITFOX || "http://localhost:8000"} /></>;
