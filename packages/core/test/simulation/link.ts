/** Between one process and the store: what a network does to requests, replies and pushes. */

import type { Call } from "../../src/port.ts";
import type { Chance } from "./chance.ts";
import type { Host, Timeline } from "./timeline.ts";

export class Link {
  /** Requests vanish, replies vanish, or everything is refused at once; or none of that. */
  state: "up" | "silent" | "no requests" | "no replies" | "refused" = "up";
  /** How much longer than usual a message may take. */
  slowMs = 0;
  /** How much longer replies take. */
  lateRepliesMs = 0;
  /** The next request takes so much longer, whoever waits for it. */
  holdMs = 0;
  /** The next reply is lost, with or without the connection. */
  loseReply: "no" | "silently" | "with a reset" = "no";
  readonly #timeline: Timeline;
  readonly #host: Host;
  readonly #chance: Chance;
  readonly #storeIsUp: () => boolean;

  constructor(timeline: Timeline, host: Host, chance: Chance, storeIsUp: () => boolean) {
    this.#timeline = timeline;
    this.#host = host;
    this.#chance = chance;
    this.#storeIsUp = storeIsUp;
  }

  /**
   * Carries a request to the store, where `work` is done when it arrives, and the answer back. A request that was sent
   * may arrive long after its call is over: destroying a connection takes nothing back.
   */
  carry<Answer>(call: Call, work: () => Answer): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      call.signal.addEventListener("abort", () => reject(call.signal.reason as Error), { once: true });
      const broken = (): void => {
        this.#timeline.in(this.#travel(), this.#host, () => reject(new Error("the connection broke")));
      };
      if (this.state === "refused" || !this.#storeIsUp()) return broken();
      if (this.state === "silent" || this.state === "no requests") return;
      const held = this.holdMs;
      this.holdMs = 0;
      this.#timeline.in(this.#travel() + held, null, () => {
        if (!this.#storeIsUp()) return broken();
        let answer: Answer;
        try {
          answer = work();
        } catch (error) {
          return this.#reply(() => reject(new Error("the store said no", { cause: error })));
        }
        const { loseReply } = this;
        this.loseReply = "no";
        if (loseReply === "with a reset") broken();
        else if (loseReply === "no") this.#reply(() => resolve(answer));
      });
    });
  }

  /** What the store says by itself. */
  push(say: () => void): void {
    if (this.state !== "up" || !this.#storeIsUp()) return;
    this.#timeline.in(this.#travel(), this.#host, say);
  }

  heal(): void {
    this.state = "up";
    this.slowMs = 0;
    this.lateRepliesMs = 0;
    this.holdMs = 0;
    this.loseReply = "no";
  }

  #reply(deliver: () => void): void {
    this.#timeline.in(this.#travel() + this.lateRepliesMs, null, () => {
      if (this.state === "silent" || this.state === "no replies") return;
      this.#timeline.in(0, this.#host, deliver);
    });
  }

  #travel(): number {
    return this.#chance.between(0.1, 3) + this.slowMs * this.#chance.next();
  }
}
