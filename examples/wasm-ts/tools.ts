import { calculate } from "./calculate.ts";

/** Calls a member of `ctx` by the name that it has in scripts. */
export type Ctx = (member: string, ...args: unknown[]) => any;

export interface Tool {
  description: string;
  parameters: Record<string, object>;
  examples?: string[];
  run(args: any, ctx: Ctx): unknown;
}

/** The tools of the plugin. A string that is thrown is told to the model, which may mend it. */
export const tools: Record<string, Tool> = {
  calculate: {
    description:
      "Calculates with units and checks that they go together: lengths, areas, volumes, masses, times, speeds, energy, " +
      "power, pressure, bytes. As `3 ft + 20 cm in inch`, `60 mi/h * 90 min in km`, `5 GB / (100 Mbit/s) in min`.",
    parameters: {
      expression: { type: "string", description: "With + - * / ^ and brackets; `in UNIT` at its end converts" },
    },
    examples: ["calculate {expression}"],
    run: ({ expression }: { expression: string }) => `${expression.trim()} = ${calculate(expression)}`,
  },
};
