// What makes a component of the tools in tools.ts.
import { invoke } from "kitfox:plugin/host@0.1.0";

import { tools, type Ctx } from "./tools.ts";

const ctx: Ctx = (member, ...args) => JSON.parse(invoke(member, JSON.stringify(args)));

export function describe(): string {
  const described = Object.entries(tools).map(([name, { run, ...tool }]) => ({ name, ...tool }));
  return JSON.stringify({ tools: described });
}

export function call({ tag, val }: { tag: string; val: string }, argument: string): string {
  if (tag !== "tool" || !Object.hasOwn(tools, val)) throw `there is no ${tag} ${val}`;
  return JSON.stringify(tools[val].run(JSON.parse(argument), ctx) ?? null);
}
