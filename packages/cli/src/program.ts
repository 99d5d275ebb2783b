/** What can be asked for on the command line. */

import { readFileSync } from "node:fs";
import type { Metadata } from "@elect/core";
import { Command, CommanderError, Option } from "commander";
import { json, milliseconds, wholeNumber } from "./arguments.ts";
import { exitCodes } from "./exit-codes.ts";
import { redact } from "./redact.ts";

interface LookArguments {
  readonly url: string;
  readonly json: boolean;
}

interface RunArguments {
  readonly url: string;
  readonly election: string;
  readonly ttl: number;
  readonly id?: string;
  readonly metadata: Metadata;
  readonly generation: number;
  readonly grace: number;
  readonly once: boolean;
  readonly quiet: boolean;
}

interface DemoArguments {
  readonly url?: string;
  readonly json: boolean;
}

/** Settles with the exit code. */
export async function main(words: readonly string[]): Promise<number> {
  let code: number = exitCodes.ok;
  try {
    await elect((chosen) => (code = chosen)).parseAsync(words, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    const { describe } = await import("./failure.ts");
    const { message, exitCode } = describe(error);
    complain(message);
    return exitCode;
  }
}

function elect(exit: (code: number) => void): Command {
  const program = new Command("elect")
    .description("Exactly one of your processes leads, on the store you already run.")
    .version(version(), "-V, --version")
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(redact(text).replace(/^error:/, "elect:")) })
    .addHelpText("after", examples.elect);

  program
    .command("run")
    .summary("run a command while leader, and never a moment longer")
    .description(
      "Runs CMD while leader of an election. CMD and all it has started is gone before the term can end.",
    )
    .argument("<command...>", "the command and its arguments")
    .requiredOption("-e, --election <name>", "what to compete for")
    .addOption(url())
    .option("--ttl <ms>", "how long a silent leader can block a successor", milliseconds, 10_000)
    .option("--id <id>", "this candidate's name for others to read (default: random)")
    .option("--metadata <json>", "what others may read about this candidate", json, null)
    .option(
      "--generation <n>",
      "the leading part of ELECT_FENCE; raise it when you move to another store",
      wholeNumber,
      0,
    )
    .option("--grace <ms>", "how long CMD may take to stop after SIGTERM", milliseconds, 10_000)
    .option("--once", "leave with code 75 when leadership is lost, instead of campaigning again", false)
    .option("-q, --quiet", "say nothing but errors", false)
    .passThroughOptions()
    .addHelpText("after", examples.run)
    .action(async (command: readonly string[], options: RunArguments) =>
      exit(await runCommand(command, options)),
    );

  program
    .command("status")
    .summary("say who leads")
    .description("Says who leads an election. Exits with 0 if somebody does, with 1 if nobody does.")
    .argument("<election>", "the election's name")
    .addOption(url())
    .option("--json", "as one line of JSON", false)
    .addHelpText("after", examples.status)
    .action(async (election: string, options: LookArguments) => {
      const { status } = await import("./status.ts");
      exit(await status({ election, ...options }));
    });

  program
    .command("watch")
    .summary("say who leads, at each change")
    .description(
      "Says who leads an election, now and at each change, one line each, until it is interrupted.",
    )
    .argument("<election>", "the election's name")
    .addOption(url())
    .option("--json", "as lines of JSON", false)
    .addHelpText("after", examples.watch)
    .action(async (election: string, options: LookArguments) => {
      const { watch } = await import("./watch.ts");
      exit(await watch({ election, ...options }));
    });

  program
    .command("demo")
    .summary("show an election: four processes, and a leader that is killed again and again")
    .description(
      "Starts four candidates, kills the leader again and again, and says how long each take-over took.",
    )
    .option("-u, --url <url>", "the store (default: SQLite in a temporary directory)")
    .option("--json", "as lines of JSON", false)
    .action(async ({ url: store, json: asJson }: DemoArguments) => {
      const { demo } = await import("./demo/demo.ts");
      exit(await demo({ url: store ?? null, json: asJson }));
    });

  return program;
}

async function runCommand(words: readonly string[], options: RunArguments): Promise<number> {
  const [file = "", ...rest] = words;
  const { election, url: store, ttl, id, metadata, generation, grace, once, quiet } = options;
  if (process.platform === "win32") {
    complain("`elect run` needs process groups, which Windows does not have");
    return exitCodes.usage;
  }
  const { run } = await import("./run/run.ts");
  return run({
    candidate: { url: store, election, ttl, id: id ?? null, metadata, generation, grace },
    line: { file, arguments: rest, election, grace },
    once,
    note: (text) => quiet || complain(text),
    complain,
  });
}

/** Each command has one of its own. The environment keeps credentials off the list of processes. */
function url(): Option {
  return new Option("-u, --url <url>", "the store").env("ELECT_URL").default("sqlite:./.elect");
}

function complain(text: string): void {
  process.stderr.write(`elect: ${redact(text)}\n`);
}

function version(): string {
  const path = new URL("../package.json", import.meta.url);
  return (JSON.parse(readFileSync(path, "utf8")) as { readonly version: string }).version;
}

const examples = {
  elect: `
Examples:
  elect demo
  elect run --election nightly-report -- node report.js
  elect status nightly-report
  elect watch nightly-report --json

The store is --url, or else $ELECT_URL, or else sqlite:./.elect, which elects among the processes of one host.
Exit codes: see https://www.npmjs.com/package/@elect/cli`,
  run: `
CMD finds in its environment: ELECT_ELECTION, ELECT_CANDIDATE, ELECT_STORE, ELECT_TOKEN, ELECT_FENCE, ELECT_TTL,
ELECT_DEADLINE_FILE.

Examples:
  elect run -e nightly-report -- node report.js
  ELECT_URL=redis://10.0.0.5 elect run -e ingest --ttl 5000 --grace 1000 -- ./ingest --topic orders
  elect run -e migrate --once -- sh -c 'psql -v fence="$ELECT_FENCE" -f migrate.sql'`,
  status: `
Examples:
  elect status nightly-report
  elect status nightly-report --url redis://10.0.0.5 --json | jq -r .leader.metadata.address`,
  watch: `
Example:
  elect watch nightly-report --json | while read -r change; do …; done`,
};
