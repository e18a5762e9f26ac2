// The functions of wit/kitfox.wit that plugin.ts calls.
declare module "kitfox:plugin/host@0.1.0" {
  /** Calls a member of `ctx` with a JSON array, and gives JSON. What it throws has the text of the error as `payload`. */
  export function invoke(member: string, args: string): string;
}
