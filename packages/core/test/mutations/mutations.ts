/** Mistakes that have been made in this field, each as a change of a few lines, and the tests that must see it. */

export interface Change {
  /** In `src`. */
  readonly file: string;
  /** Must be there exactly once. */
  readonly from: string;
  readonly to: string;
}

export interface Mutation {
  readonly name: string;
  readonly changes: readonly Change[];
  /** In `test`: at least one test of each of these must fail. */
  readonly caughtBy: readonly string[];
}

const simulation = "simulation/simulation";

export const mutations: readonly Mutation[] = [
  {
    name: "the deadline is counted from the reply",
    changes: [
      {
        file: "open-session.ts",
        from: "this.lease.extend(sentAt, proof.ttlMs, ",
        to: "this.lease.extend(this.#clock.now(), proof.ttlMs, ",
      },
    ],
    caughtBy: ["session", simulation],
  },
  {
    name: "isValid() is a flag that a timer clears",
    changes: [
      {
        file: "term.ts",
        from: "if (this.#host.clock.now() < this.#lease.validUntil) return true;",
        to: "return true;",
      },
    ],
    caughtBy: ["term", simulation],
  },
  {
    name: "the record is released before the work has drained",
    changes: [
      {
        file: "election-state.ts",
        from: `{ kind: "drain" });`,
        to: `{ kind: "drain" }, { kind: "release", nonce: state.nonce });`,
      },
    ],
    caughtBy: ["election-state.property", "run", "draining", simulation],
  },
  {
    name: "the token of the first term is used again when the candidate is elected again",
    changes: [
      {
        file: "candidacy.ts",
        from: "  #term: HeldTerm | null = null;",
        to: "  #term: HeldTerm | null = null;\n  #reused: bigint | null = null;",
      },
      {
        file: "candidacy.ts",
        from: "this.options.generation, effect.token, effect.lease)",
        to: "this.options.generation, (this.#reused ??= effect.token), effect.lease)",
      },
    ],
    caughtBy: ["run", "tokens", simulation],
  },
  {
    name: "a token that goes back is taken",
    changes: [
      {
        file: "tokens.ts",
        from: "if (token < known.seen || token <= known.granted) return known.seen;",
        to: "",
      },
    ],
    caughtBy: ["tokens", "errors"],
  },
  {
    name: "the granted TTL is ignored",
    changes: [
      {
        file: "open-session.ts",
        from: "new Lease(sentAt, session.ttlMs, session.proofLagMs)",
        to: `new Lease(sentAt, Reflect.get(host, "ttl"), session.proofLagMs)`,
      },
      {
        file: "open-session.ts",
        from: "this.lease.extend(sentAt, proof.ttlMs, ",
        to: `this.lease.extend(sentAt, Reflect.get(this.#host, "ttl"), `,
      },
    ],
    caughtBy: ["session"],
  },
  {
    name: "no margin, and clocks that are thought perfect",
    changes: [
      {
        file: "lease.ts",
        from: "base + ttlMs * (1 - drift) - margin(ttlMs)",
        to: "base + ttlMs * (1 + drift)",
      },
    ],
    caughtBy: ["lease", simulation],
  },
  {
    name: "a late acknowledgement brings the term back",
    changes: [
      {
        file: "open-session.ts",
        from: `    if (this.#clock.now() >= this.lease.validUntil) return this.finish("expired");\n    this.lease`,
        to: "    this.lease",
      },
    ],
    caughtBy: ["term"],
  },
  {
    name: "a proof vouches for itself where the store says that it does not",
    changes: [
      {
        file: "open-session.ts",
        from: "new Lease(sentAt, session.ttlMs, session.proofLagMs)",
        to: "new Lease(sentAt, session.ttlMs, 0)",
      },
    ],
    caughtBy: ["session"],
  },
  {
    name: "a proof vouches for one that had only just arrived",
    changes: [{ file: "lease.ts", from: "earlier.heardAt <= sentAt", to: "earlier.sentAt <= sentAt" }],
    caughtBy: ["lease", "lagging-proofs"],
  },
  {
    name: "a claim of unknown outcome is made again without being disposed of",
    changes: [
      {
        file: "claims.ts",
        from: `      case "unknown":\n        this.#book.move(entry, "unclear");`,
        to: `      case "unknown":\n        this.#book.move(entry, "due");`,
      },
    ],
    caughtBy: ["claims"],
  },
  {
    name: "a grant is taken although its answer was under way for longer than the lease",
    changes: [
      {
        file: "election-state.ts",
        from: "if (now >= lease.validUntil) return",
        to: "if (now < 0) return",
      },
    ],
    caughtBy: ["claims"],
  },
  {
    name: "a grant is taken although the candidate gave up meanwhile",
    changes: [
      {
        file: "claims.ts",
        from: "    if (entry.unwanted) return;\n    const highest",
        to: "    const highest",
      },
      {
        file: "election-state.ts",
        from: `if (fact.kind === "granted" && !(state.phase === "campaigning" && state.nonce === fact.nonce)) {`,
        to: `if (fact.kind === "granted" && state.phase === "withdrawing")
    return reactCampaigning({ phase: "campaigning", nonce: fact.nonce }, fact, now);
  if (fact.kind === "granted" && !(state.phase === "campaigning" && state.nonce === fact.nonce)) {`,
      },
    ],
    caughtBy: ["claims", simulation],
  },
  {
    name: "no poll net under the hints",
    changes: [
      {
        file: "waiting.ts",
        from: "    const armed = this.#net?.at ?? Infinity;",
        to: "    const armed = this.#net?.at ?? -Infinity;",
      },
    ],
    caughtBy: ["waiting", simulation],
  },
  {
    name: "the net under the hints is as dense as there are elections",
    changes: [{ file: "waiting.ts", from: "Math.max(1, this.#book.waiting.size / netPerTtl)", to: "1" }],
    caughtBy: ["waiting"],
  },
  {
    name: "a challenger waits for half the lease of a silent holder",
    changes: [{ file: "lease.ts", from: "return leaseMs * (1 + drift);", to: "return leaseMs / 2;" }],
    caughtBy: ["lease", "waiting", simulation],
  },
  {
    name: "one failed proof deposes",
    changes: [
      {
        file: "open-session.ts",
        from: `        this.#host.trouble("prove", error);\n        this.doubt();`,
        to: `        this.#host.trouble("prove", error);\n        this.finish("expired");`,
      },
    ],
    caughtBy: ["session"],
  },
  {
    name: "the events of an older session are heard",
    changes: [
      {
        file: "open-session.ts",
        from: "if (open?.end === null) react(open);",
        to: "if (open !== null) react(open);",
      },
    ],
    caughtBy: ["session-life"],
  },
  {
    name: "time is the wall clock's",
    changes: [{ file: "clock.ts", from: "return monotonic + this.#suspended;", to: "return this.#wall();" }],
    caughtBy: ["machine-clock"],
  },
  {
    name: "a suspend of the machine goes unnoticed",
    changes: [{ file: "clock.ts", from: "return monotonic + this.#suspended;", to: "return monotonic;" }],
    caughtBy: ["machine-clock"],
  },
];
