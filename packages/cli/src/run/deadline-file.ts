/**
 * The deadline, where the command can read it at any time: the instant until which its term is valid, as nanoseconds of
 * the host's monotonic clock. It moves with every proof, so a variable could not hold it.
 */

import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export function makeDirectory(): string {
  return mkdtempSync(join(tmpdir(), "elect-run-"));
}

export class DeadlineFile {
  readonly path: string;
  readonly #directory: string;

  constructor(directory: string, deadline: number) {
    this.#directory = directory;
    this.path = join(directory, "deadline");
    this.#write(deadline);
  }

  /** If that fails (a full disk), the file names an earlier deadline than the true one, which harms nobody. */
  update(deadline: number): void {
    attempt(() => this.#write(deadline));
  }

  remove(): void {
    removeDirectory(this.#directory);
  }

  #write(deadline: number): void {
    const next = join(this.#directory, "next");
    writeFileSync(next, `${BigInt(Math.floor(deadline * 1e6))}\n`);
    // In one step: nobody reads half a number.
    renameSync(next, this.path);
  }
}

export function removeDirectory(path: string): void {
  attempt(() => rmSync(path, { recursive: true, force: true }));
}

function attempt(work: () => void): void {
  try {
    work();
  } catch {
    // Nothing that a leader should fall for.
  }
}
