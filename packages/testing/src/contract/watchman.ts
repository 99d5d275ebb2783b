import type { Term } from "@elect/core";

interface Watched {
  readonly term: Term;
  readonly candidate: string;
}

/** Sees every term of a test, all in one process: so what it sees is exact. */
export class Watchman {
  /** What was found that must not be. */
  readonly findings: string[] = [];
  readonly #terms = new Map<string, Watched[]>();
  readonly #tokens = new Map<string, bigint>();
  #thirdParty = false;

  /** From now on somebody meddles with the store: validity is exact again one proof later, so it is not judged. */
  thirdParty(): void {
    this.#thirdParty = true;
  }

  elected(term: Term, candidate: string): void {
    const { election, token } = term;
    const highest = this.#tokens.get(election) ?? 0n;
    if (token <= highest) {
      this.findings.push(
        `${candidate} was elected with token ${token} after somebody was with token ${highest}`,
      );
    }
    if (token > highest) this.#tokens.set(election, token);
    const terms = this.#terms.get(election) ?? [];
    this.#terms.set(election, terms);
    terms.push({ term, candidate });
    this.#lookAt(terms);
  }

  look(): void {
    for (const terms of this.#terms.values()) this.#lookAt(terms);
  }

  #lookAt(terms: Watched[]): void {
    if (this.#thirdParty) return;
    const [first, second] = terms.filter(({ term }) => term.isValid());
    if (first === undefined || second === undefined) return;
    this.findings.push(
      `${first.candidate} (token ${first.term.token}) and ${second.candidate} (token ${second.term.token}) ` +
        `both hold a valid term of "${first.term.election}"`,
    );
  }
}
