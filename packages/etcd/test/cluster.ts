/** A cluster of three for the tests of one file, and who in it leads. */

import { Etcd3 } from "etcd3";
import { afterAll, beforeAll } from "vitest";
import { startEtcdCluster, type EtcdCluster, type Server } from "../../../integration/servers/src/index.ts";
import { call, eventually, nonce, pass, store, type Process, type Store } from "./support.ts";

/** How long a test with a fault among three members may take. */
export const limit = 60_000;

export interface Roles {
  readonly leader: Server;
  readonly followers: readonly [Server, Server];
}

export class Trio {
  #cluster: EtcdCluster | null = null;

  constructor() {
    beforeAll(async () => {
      this.#cluster = await startEtcdCluster();
    }, limit);
    afterAll(async () => this.#cluster?.stop());
  }

  get #running(): EtcdCluster {
    if (this.#cluster === null) throw new Error("the cluster runs while tests run");
    return this.#cluster;
  }

  /** etcd's leader, and the others, once all three agree on it. */
  async roles(): Promise<Roles> {
    let roles: Roles | null = null;
    await eventually(
      "the three members agree on a leader",
      async () => {
        const { members } = this.#running;
        const seen = await Promise.all(members.map(statusOf));
        const leader = members.find((_, at) => seen[at] !== null && seen[at]?.leader === seen[at]?.member);
        const [one, other] = members.filter((member) => member !== leader);
        if (leader === undefined || one === undefined || other === undefined) return false;
        roles = { leader, followers: [one, other] };
        return new Set(seen.map((status) => status?.leader)).size === 1;
      },
      30_000,
    );
    return roles!;
  }

  /** Settles when this member follows a leader other than that one. */
  async follows(member: Server, other: string): Promise<void> {
    await eventually("another leader of etcd", async () => {
      const status = await statusOf(member);
      return status !== null && status.leader !== nobody && status.leader !== other;
    });
  }

  /** Cuts a member off from the others, silently. */
  async isolate(member: Server): Promise<void> {
    await this.#running.peers.isolate(member);
  }

  async rejoin(member: Server): Promise<void> {
    await this.#running.peers.rejoin(member);
  }

  /** A namespace of the test's own. */
  store(): Store {
    return store(hostsOf(this.#running.members));
  }
}

export function hostsOf(members: readonly Server[]): string[] {
  return members.map(({ port }) => `127.0.0.1:${port}`);
}

/** A session that begins at the first of these members. */
export async function sessionAt(etcd: Store, ttlMs: number, ...members: Server[]): Promise<Process> {
  return etcd.process({ hosts: hostsOf(members), ttlMs, nonce: `0000${nonce().slice(4)}` });
}

/** What a member calls its leader while it has none. */
export const nobody = "0";

/** Whom a member takes for its leader; `null` if it does not say so in a second. */
export async function statusOf({
  port,
}: Server): Promise<{ readonly leader: string; readonly member: string; readonly term: string } | null> {
  const client = new Etcd3({
    hosts: `127.0.0.1:${port}`,
    defaultCallOptions: () => ({ deadline: Date.now() + 1_000 }),
  });
  try {
    const { leader, header, raftTerm } = await client.maintenance.status();
    return { leader, member: header.member_id, term: raftTerm };
  } catch {
    return null;
  } finally {
    client.close();
  }
}

export interface Proving {
  /** The longest time from one proof that counts to the next. */
  readonly gapMs: number;
  readonly deaths: number;
  /** When the last one that counts was sent. */
  readonly lastSentAt: number;
}

/** Proves like core does, until `over`. */
export async function keepProving({ session }: Process, over: AbortSignal): Promise<Proving> {
  let [lastSentAt, gapMs, deaths] = [performance.now(), 0, 0];
  while (!over.aborted) {
    const sentAt = performance.now();
    const proof = await session.prove(new Map(), call(session.ttlMs / 6)).catch(() => null);
    if (proof?.kind === "dead") deaths += 1;
    if (proof?.kind === "alive") {
      gapMs = Math.max(gapMs, sentAt - lastSentAt);
      lastSentAt = sentAt;
    }
    await pass(proof === null ? 20 : 200);
  }
  return { gapMs: Math.max(gapMs, performance.now() - lastSentAt), deaths, lastSentAt };
}
