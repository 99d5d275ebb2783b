/** One term of `elect run`, as the holder sees it: from the win to the end of all that was started under it. */

import { createHash, randomBytes } from "node:crypto";
import type { Backend, Term } from "@elect/core";
import { hostNow } from "../host-clock.ts";
import { makeDirectory, removeDirectory } from "./deadline-file.ts";
import { Group } from "./group.ts";
import type { Mark, Order, Report } from "./messages.ts";
import { Reaper } from "./reaper.ts";
import { killMargin, lossGrace } from "./timing.ts";

export interface TenureParts {
  readonly candidate: string;
  readonly backend: Backend;
  /** As the store has granted it. */
  readonly ttl: number;
  /** How long the command may take to stop, in ms. */
  readonly grace: number;
  readonly report: (message: Report) => void;
}

export class Tenure {
  /** Settles when nothing runs under the term, and nothing can be started under it. */
  readonly over: Promise<void>;
  readonly #term: Term;
  readonly #group: Group;
  /** Lives by what the foreground process has confirmed, and strikes a little later than it does. */
  readonly #reaper: Reaper;
  readonly #report: (message: Report) => void;
  readonly #grace: number;
  readonly #tick: NodeJS.Timeout;
  #deadline: number;
  #ended = false;

  constructor(term: Term, { candidate, backend, ttl, grace, report }: TenureParts) {
    const mark = markOf(backend.address, term.election);
    this.#term = term;
    this.#report = report;
    this.#grace = lossGrace(grace, ttl);
    this.#group = new Group(mark.text);
    this.#deadline = deadlineOf(term);
    this.#reaper = new Reaper(this.#group, {
      deadline: this.#deadline,
      grace: this.#grace,
      margin: killMargin(ttl) / 2,
    });
    this.over = this.#reaper.gone;
    term.signal.addEventListener("abort", () => this.#lost(), { once: true });
    // The net under the proofs; and what notices first that the machine was asleep.
    this.#tick = setInterval(() => this.extend(), ttl / 10);
    const directory = makeDirectory();
    void this.over.then(() => this.#end(directory));
    report({
      kind: "elected",
      win: {
        candidate,
        store: backend.address,
        token: String(term.token),
        fence: term.fence,
        ttl,
        deadline: this.#deadline,
        mark,
        directory,
        crashHandsOver: backend.capabilities.crash.ttls < 1,
      },
    });
  }

  /** Tells the foreground process until when the term can now be relied on. */
  extend(): void {
    const deadline = deadlineOf(this.#term);
    if (this.#ended || !this.#term.isValid() || deadline <= this.#deadline) return;
    this.#deadline = deadline;
    this.#report({ kind: "extend", deadline });
  }

  hear(order: Order & { kind: "started" | "extended" | "ended" }): void {
    switch (order.kind) {
      case "started":
        return this.#group.lead(order.leader);
      case "extended":
        return this.#reaper.extend(order.deadline);
      case "ended":
        return this.#reaper.dismiss();
    }
  }

  /** The foreground process is gone: what it started is ended by us. */
  alone(): void {
    this.#reaper.end(this.#grace);
  }

  #end(directory: string): void {
    this.#ended = true;
    removeDirectory(directory);
    clearInterval(this.#tick);
  }

  /** The term is over: no grace is left. */
  #lost(): void {
    if (this.#ended) return;
    const reason = this.#term.signal.reason as { readonly reason?: string };
    this.#report({ kind: "lost", reason: reason.reason ?? "closed" });
    this.#reaper.kill();
  }
}

function markOf(store: string, election: string): Mark {
  const family = createHash("sha256").update(`${store}\0${election}`).digest("hex").slice(0, 32);
  return { family, text: `${family}.${randomBytes(16).toString("hex")}` };
}

/** Read in this order, it can only err on the early side. */
function deadlineOf(term: Term): number {
  const now = hostNow();
  return now + term.remaining();
}
