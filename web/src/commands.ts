/** What `/` offers in the composer. No DOM. */
import type { ChatOptions, Command, CommandSelection, Entity } from "./options";

/** A command that gives nothing, an entity to insert, or further commands to choose from. */
export interface RunnableCommand extends Command {
  icon: string;
  run: () => Promise<Entity | RunnableCommand[] | undefined> | Promise<void>;
}

/** The page's commands for a query, and those of our own that it names. */
export async function commandsFor(query: string, options: ChatOptions["commands"], own: readonly RunnableCommand[]): Promise<RunnableCommand[]> {
  const wanted = query.toLowerCase();
  const found = (await options?.onSearch?.(query)) ?? [];
  return [...found.map((it) => runnable(it, options)), ...own.filter((it) => it.id.toLowerCase().startsWith(wanted) || it.label.toLowerCase().includes(wanted))];
}

function runnable(command: Command, options: ChatOptions["commands"]): RunnableCommand {
  const run = async (): Promise<Entity | RunnableCommand[] | undefined> => {
    const selection = (await options?.onSelect?.(command)) as CommandSelection | undefined;
    if (!selection) return undefined;
    return selection.type === "entity" ? selection.entity : selection.commands.map((it) => runnable(it, options));
  };
  return { ...command, icon: command.icon ?? "bolt", run };
}
