// What tests of an adapter need to call its port as core does, and to hear what it says.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Call, Claim, SessionEvents } from "@elect/core/adapter";

export const nonce = (): string => randomBytes(16).toString("hex");

/** A call with a time limit, as core makes them. */
export function call(timeoutMs = 5_000): Call {
  return { signal: AbortSignal.timeout(Math.ceil(timeoutMs)), timeoutMs };
}

/** Session events, in the order they came; what is awaited is taken out. */
export class Heard implements SessionEvents {
  readonly all: string[] = [];
  readonly lostClaims: Claim[] = [];
  readonly #waiting: { readonly beginning: string; readonly resolve: (event: string) => void }[] = [];

  hint(election: string | null): void {
    this.#hear(`hint ${election ?? "*"}`);
  }

  doubt(cause: unknown): void {
    this.#hear(`doubt ${cause instanceof Error ? cause.message : String(cause)}`);
  }

  lost(claim: Claim, reason: string): void {
    this.lostClaims.push(claim);
    this.#hear(`lost ${claim.election} ${reason}`);
  }

  ended(reason: string): void {
    this.#hear(`ended ${reason}`);
  }

  /** The first event that begins so, heard already or to come. */
  async next(beginning: string): Promise<string> {
    const index = this.all.findIndex((event) => event.startsWith(beginning));
    if (index !== -1) return this.all.splice(index, 1)[0]!;
    return new Promise((resolve) => this.#waiting.push({ beginning, resolve }));
  }

  #hear(event: string): void {
    const index = this.#waiting.findIndex(({ beginning }) => event.startsWith(beginning));
    if (index === -1) this.all.push(event);
    else this.#waiting.splice(index, 1)[0]!.resolve(event);
  }
}

/** Asks again until the answer is true; for what cannot be awaited. */
export async function eventually(
  what: string,
  ask: () => boolean | Promise<boolean>,
  ms = 8_000,
): Promise<void> {
  const until = performance.now() + ms;
  while (!(await ask())) {
    if (performance.now() > until) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(10);
  }
}
