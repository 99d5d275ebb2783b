#!/usr/bin/env node
/** The `elect` command. Each subcommand is a module of its own, loaded when it is asked for. */

import { main } from "./program.ts";
import { muteExperimentalWarnings } from "./warnings.ts";

muteExperimentalWarnings();
// `elect watch x | head -1`: nobody reads on.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
// No reason to end a command.
process.stderr.on("error", () => {});

const code = await main(process.argv.slice(2));
// When all that was printed is through.
process.stdout.write("", () => process.exit(code));
