// What makes a component of the tools in tools.js.
import { invoke } from "kitfox:plugin/host@0.1.0";

import { tools } from "./tools.js";

/** Calls a member of `ctx` by the name that it has in scripts. */
const ctx = (member, ...args) => JSON.parse(invoke(member, JSON.stringify(args)));

export function describe() {
  const described = Object.entries(tools).map(([name, { run, ...tool }]) => ({ name, ...tool }));
  return JSON.stringify({ tools: described });
}

export function call({ tag, val }, argument) {
  if (tag !== "tool" || !Object.hasOwn(tools, val)) throw `there is no ${tag} ${val}`;
  return JSON.stringify(tools[val].run(JSON.parse(argument), ctx) ?? null);
}
