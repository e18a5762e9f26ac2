/** The tools of the plugin. A string that is thrown is told to the model, which may mend it. */
export const tools = {
  TOOL: {
    description: "Greets somebody, and counts how often.",
    parameters: { who: { type: "string", description: "Whom to greet" } },
    examples: ["greet {who}"],
    run({ who }, ctx) {
      if (!who) throw "say whom to greet";
      // `kitfox call` has no thread to show it in.
      if (ctx("thread")) ctx("progress", "sparkle", `Greeting ${who}`);
      return { greeting: `Hello, ${who}!`, times: count(ctx) };
    },
  },
};

/** What `kv` keeps may change meanwhile: then it is done again. */
function count(ctx) {
  for (;;) {
    const before = ctx("kv.user.get", "times");
    const times = (before ?? 0) + 1;
    if (ctx("kv.user.compare_and_set", "times", before, times)) return times;
  }
}
