// A plugin of Kitfox with one tool.
import { invoke } from "kitfox:plugin/host@0.1.0";

/** Calls a member of `ctx` by the name that it has in scripts. */
const ctx = (member, ...args) => JSON.parse(invoke(member, JSON.stringify(args)));

const tools = {
  TOOL: {
    description: "Greets somebody.",
    parameters: { who: { type: "string", description: "Whom to greet" } },
    examples: ["say hello to {who}"],
    run({ who }) {
      // Told to the model, which may mend it.
      if (!who) throw "say whom to greet";
      const greeted = (ctx("kv.all.get", "greeted") ?? 0) + 1;
      ctx("kv.all.set", "greeted", greeted);
      ctx("log", "info", `greeted ${greeted} by now`);
      return { greeting: `Hello, ${who}!`, greeted };
    },
  },
};

export function describe() {
  const described = Object.entries(tools).map(([name, { run, ...tool }]) => ({ name, ...tool }));
  return JSON.stringify({ tools: described });
}

export function call(handler, argument) {
  const tool = tools[handler.val];
  if (handler.tag !== "tool" || !tool) throw `there is no ${handler.tag} ${handler.val}`;
  return JSON.stringify(tool.run(JSON.parse(argument)) ?? null);
}
