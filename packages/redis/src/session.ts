/** One session: a key with a lease on the server, a connection for commands, a channel for wake-ups. */

import type {
  Call,
  Claim,
  ClaimAnswer,
  ClaimRequest,
  OpenRequest,
  Proof,
  Session,
  SessionEvents,
} from "@elect/core/adapter";
import { Link, type Arguments } from "./client.ts";
import type { Script } from "./lua.ts";
import type { Settings } from "./options.ts";
import * as scripts from "./scripts.ts";
import { answerFrom, texts, unexpected } from "./replies.ts";
import { admit, durable, warningsOf, type ServerFacts } from "./server.ts";
import type { Listener, Subscription } from "./watch.ts";

/** How many claims one step takes: a server that runs a script does nothing else. */
const claimsAtOnce = 1000;

/** How many records a proof looks at one by one. Deletions are noticed by their count; overwriting, on these. */
const looksPerProof = 128;

export class RedisSession implements Session {
  readonly id: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly proofLagMs = 0;
  readonly ticket: string;
  readonly poll = null;
  readonly #settings: Settings;
  readonly #events: SessionEvents;
  readonly #link: Link;
  readonly #subscription: Subscription;
  readonly #keys: readonly [records: string, session: string];
  readonly #listener: Listener = {
    message: (text) => this.#hear(text),
    gap: () => {
      this.#echoed = this.#proofs;
      this.#events.hint(null);
    },
  };
  #warnings: readonly string[] = [];
  /** Nonces that may be ours in the store: asked for, and not let go since. */
  readonly #known = new Set<string>();
  #generation = 0;
  #incarnation = "";
  #cursor = "0";
  /** From which of the claims held the next proof looks. */
  #look = 0;
  /** Acknowledged proofs, and the last of them that came back through the subscription. */
  #proofs = 0;
  #echoed = 0;
  /** The server's time at the last acknowledged proof, in µs. */
  #provenAt = 0;

  constructor(settings: Settings, subscription: Subscription, request: OpenRequest) {
    this.id = request.nonce;
    this.ttlMs = request.ttlMs;
    this.store = settings.address;
    this.ticket = JSON.stringify({ records: settings.records, session: this.id });
    this.#settings = settings;
    this.#events = request.events;
    this.#subscription = subscription;
    this.#keys = [settings.records, `${settings.records}:s:${this.id}`];
    this.#link = new Link(settings, { inspect: true, lost: (cause) => this.#events.doubt(cause) });
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  async open(call: Call): Promise<void> {
    try {
      const [facts] = await Promise.all([
        this.#link.run(call, async (wire) => wire.server),
        this.#subscription.listen(this.#channel, this.#listener, call),
      ]);
      if (facts !== null) admit(this.#settings, facts);
      const { reply } = await this.#run(scripts.open, (server) => [...this.#head(server), this.ttlMs], call);
      const [incarnation, at, quiet, longest] = texts(reply);
      if (incarnation === undefined || facts === null) throw unexpected(reply);
      this.#incarnation = incarnation;
      this.#provenAt = Number(at);
      this.#warnings = warningsOf(this.#settings, facts, Number(quiet), Number(longest));
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  async prove(held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof> {
    this.#mendSubscription(call);
    const proof = this.#proofs + 1;
    const claims = [...held.values()];
    const looks = this.#next(claims).flatMap(({ nonce, election }) => [nonce, election]);
    const { reply } = await this.#run(
      scripts.prove,
      (server, asking) => [...this.#head(server), this.ttlMs, proof, asking ? "" : this.#cursor, ...looks],
      call,
    );
    const [incarnation, at, cursor, ...lostNonces] = texts(reply);
    if (incarnation === "dead") return { kind: "dead", reason: this.#causeOfDeath(Number(at)) };
    if (incarnation === undefined || cursor === undefined) throw unexpected(reply);
    this.#proofs = Math.max(this.#proofs, proof);
    this.#provenAt = Number(at);
    if (cursor !== "") this.#cursor = cursor;
    let lost: readonly string[] = lostNonces;
    if (incarnation !== this.#incarnation) {
      lost = await this.#audit(claims, call);
      this.#incarnation = incarnation;
    }
    // What was let go while the proof was under way is not lost.
    const gone = lost.flatMap((nonce) => (this.#known.delete(nonce) ? (held.get(nonce) ?? []) : []));
    return { kind: "alive", ttlMs: this.ttlMs, covers: "all", lost: gone };
  }

  async claim(requests: readonly ClaimRequest[], call: Call): Promise<readonly ClaimAnswer[]> {
    this.#subscription.mend(call.timeoutMs);
    for (const { nonce } of requests) this.#known.add(nonce);
    const answers: ClaimAnswer[] = [];
    for (let from = 0; from < requests.length; from += claimsAtOnce) {
      answers.push(...(await this.#claim(requests.slice(from, from + claimsAtOnce), call)));
    }
    return answers;
  }

  async #claim(requests: readonly ClaimRequest[], call: Call): Promise<readonly ClaimAnswer[]> {
    const wanted = requests.flatMap(({ election, nonce, candidate }) => [
      election,
      nonce,
      JSON.stringify([candidate.id, candidate.metadata]),
    ]);
    const { reply, replicas } = await this.#run(
      scripts.claim,
      (server, asking) => [...this.#head(server), this.#generation, asking ? "ask" : "", ...wanted],
      call,
    );
    if (reply === "dead" || reply === "stale") {
      const reason =
        reply === "dead" ? "its key was gone when it claimed" : "a later generation of it has claimed";
      this.#events.ended(reason);
      throw new Error(`Session ${this.id} on ${this.#settings.address} is over: ${reason}`);
    }
    if (!Array.isArray(reply) || reply.length !== requests.length) throw unexpected(reply);
    const answers = reply.map(answerFrom);
    const { wait } = this.#settings;
    if (wait === null || replicas >= wait.replicas) return answers;
    const early = requests.filter((_, index) => answers[index]?.kind === "granted");
    await this.#letGo(early, "", call);
    return answers.map((answer) =>
      answer.kind === "granted"
        ? { kind: "held", by: null, retryInMs: Math.ceil(this.ttlMs / 3), patience: null }
        : answer,
    );
  }

  async release(claims: readonly Claim[], call: Call): Promise<void> {
    await this.#letGo(claims, "", call);
  }

  async dispose(claims: readonly Claim[], call: Call): Promise<void> {
    this.#generation += 1;
    await this.#letGo(claims, this.#generation, call);
  }

  async #letGo(claims: readonly Claim[], generation: number | "", call: Call): Promise<void> {
    for (const { nonce } of claims) this.#known.delete(nonce);
    const names = claims.flatMap(({ nonce, election }) => [nonce, election]);
    await this.#link.script(scripts.release, this.#keys, () => [this.id, generation, ...names], call);
  }

  async end(call: Call): Promise<void> {
    try {
      await this.#link.script(scripts.end, this.#keys, () => [this.id], call);
    } finally {
      this.abandon();
    }
  }

  abandon(): void {
    this.#subscription.unlisten(this.#channel, this.#listener);
    this.#link.close();
  }

  get #channel(): string {
    return `${this.#settings.records}:w:${this.id}`;
  }

  /** What every script that judges the server begins with. */
  #head(server: ServerFacts | null): readonly (string | number)[] {
    return [this.id, this.#settings.maxTtlMs, durable(this.#settings, server)];
  }

  /** Runs a script whose effects count only when the replicas asked for have them. */
  async #run(script: Script, args: Arguments, call: Call): Promise<{ reply: unknown; replicas: number }> {
    const { wait } = this.#settings;
    const alongside = wait === null ? undefined : { command: "WAIT", args: [wait.replicas, wait.timeout] };
    const done = await this.#link.script(script, this.#keys, args, call, alongside);
    const replicas = Number(done.alongside ?? 0);
    if (wait !== null && replicas < wait.replicas && script !== scripts.claim) {
      throw new Error(
        `Only ${replicas} of ${wait.replicas} replicas of ${this.#settings.address} acknowledged within ${wait.timeout} ms`,
      );
    }
    return { reply: done.reply, replicas };
  }

  /**
   * The records may not be what we left: compares them with what is held. Returns the nonces that lost theirs, and
   * lets go of records of ours that nobody here knows (a server that went back in time brings such things up again).
   */
  async #audit(held: readonly Claim[], call: Call): Promise<readonly string[]> {
    const names = held.flatMap(({ nonce, election }) => [nonce, election]);
    const { reply } = await this.#link.script(scripts.audit, this.#keys, () => [this.id, ...names], call);
    if (!Array.isArray(reply)) throw unexpected(reply);
    const [lost, found] = [texts(reply[0]), texts(reply[1])];
    const strays: Claim[] = [];
    for (let i = 0; i + 1 < found.length; i += 2) {
      const [nonce = "", election = ""] = found.slice(i, i + 2);
      if (!this.#known.has(nonce)) strays.push({ nonce, election });
    }
    if (strays.length > 0) await this.#letGo(strays, "", call);
    return lost;
  }

  /** By the server's clock, which is what counted. Whoever knows how much time really passed sees whether it was set. */
  #causeOfDeath(at: number): string {
    const ms = Math.floor((at - this.#provenAt) / 1000);
    return ms >= this.ttlMs
      ? `its lease ran out: by the server's clock its last proof was ${ms} ms ago`
      : `its key was deleted: by the server's clock its last proof was only ${ms} ms ago`;
  }

  #next(claims: readonly Claim[]): readonly Claim[] {
    if (claims.length <= looksPerProof) return claims;
    const from = this.#look % claims.length;
    this.#look = from + looksPerProof;
    return claims.slice(from, from + looksPerProof);
  }

  /** A wake-up, or the echo of a proof, which shows that wake-ups come through. */
  #hear(text: string): void {
    if (!text.startsWith("[")) {
      this.#echoed = Math.max(this.#echoed, Number(text));
      return;
    }
    for (const election of texts(JSON.parse(text))) this.#events.hint(election);
  }

  #mendSubscription(call: Call): void {
    if (this.#proofs - this.#echoed >= 2) {
      this.#echoed = this.#proofs;
      this.#subscription.restart(call.timeoutMs);
    } else this.#subscription.mend(call.timeoutMs);
  }
}
