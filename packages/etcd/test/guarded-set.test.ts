/**
 * ET-14: a set to which leaders add, each under its term, while one thing after the other befalls the cluster. What was
 * acknowledged is there in the end; and once a term has added something, no older one does.
 */

import { createElection, type Term } from "@elect/core";
import type { Etcd3, IKeyValue } from "etcd3";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Server } from "../../../integration/servers/src/index.ts";
import { etcd as elect, guardedTxn } from "../src/index.ts";
import { hostsOf, Trio } from "./cluster.ts";
import { eventually, pass, plain, type Store } from "./support.ts";

const ttl = 3_000;
/** How long each fault lasts: for longer than a lease. */
const faultMs = 1.3 * ttl;
/** A leader resigns after so long, so that terms change without a fault, too… */
const tenureMs = 1_500;
/** … and goes on adding as if it had not noticed, until others have led. */
const blindMs = 1_500;
const pauseMs = 10;

/** A set in etcd: an element is a key, named by the term that added it. */
class GuardedSet {
  readonly acknowledged: string[] = [];
  readonly #store: Store;
  #added = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  get #prefix(): string {
    return `${this.#store.namespace}/set/`;
  }

  /** Whether it is known to be in the set. */
  async add(client: Etcd3, { election, token }: Term): Promise<boolean> {
    const element = `${token}-${(this.#added += 1)}`;
    const { namespace } = this.#store;
    const put = client.put(`${this.#prefix}${element}`).value("");
    const added = await guardedTxn(client, { election, token }, [put], { namespace });
    if (added) this.acknowledged.push(element);
    return added;
  }

  /** In the order in which they came. */
  async elements(): Promise<string[]> {
    const { kvs } = await this.#store.etcd.getAll().prefix(this.#prefix).exec();
    const at = ({ create_revision }: IKeyValue): bigint => BigInt(create_revision);
    return kvs
      .toSorted((a, b) => Number(at(a) - at(b)))
      .map(({ key }) => key.toString().slice(this.#prefix.length));
  }
}

/** Elements that a term added after a newer one had. */
function outOfOrder(elements: readonly string[]): string[] {
  let newest = 0n;
  return elements.filter((element) => {
    const token = BigInt(element.split("-")[0]!);
    if (token < newest) return true;
    newest = token;
    return false;
  });
}

describe("a set under guard", () => {
  const trio = new Trio();

  /** Leads when it can, and adds to the set, for longer than it leads. */
  async function reign(store: Store, hosts: string[], set: GuardedSet, over: AbortSignal): Promise<void> {
    await using backend = elect({ hosts, namespace: store.namespace });
    const client = plain(0, { hosts, defaultCallOptions: () => ({ deadline: Date.now() + 1_000 }) });
    const election = createElection({ backend, name: "writers", ttl });
    const add = async (term: Term, ms: number): Promise<void> => {
      const until = performance.now() + ms;
      while (performance.now() < until && !over.aborted) {
        await set.add(client, term).catch(() => {});
        await pass(pauseMs);
      }
    };
    const blind: Promise<void>[] = [];
    const work = async (term: Term): Promise<void> => {
      await add(term, tenureMs);
      blind.push(add(term, blindMs));
    };
    while (!over.aborted) {
      await election.run(work, { signal: over }).catch((error: unknown) => {
        if (!over.aborted) throw error;
      });
    }
    await Promise.all(blind);
  }

  test(
    "ET-14: while members are killed, frozen and cut off, nothing that was acknowledged is lost, and no former leader adds",
    { timeout: 180_000 },
    async ({ annotate }) => {
      const store = trio.store();
      const set = new GuardedSet(store);
      const over = new AbortController();
      onTestFinished(() => over.abort());
      const { leader, followers } = await trio.roles();
      const members = [leader, ...followers];
      const reigning = Promise.all(
        members.map(async (_, first) => {
          const hosts = hostsOf([...members.slice(first), ...members.slice(0, first)]);
          return reign(store, hosts, set, over.signal);
        }),
      );
      reigning.catch(() => {});

      const faults: readonly [(member: Server) => Promise<void>, (member: Server) => Promise<void>][] = [
        [async (member) => member.kill(), async (member) => member.restart()],
        [async (member) => member.pause(), async (member) => member.unpause()],
        [async (member) => trio.isolate(member), async (member) => trio.rejoin(member)],
      ];
      for (const [strike, mend] of faults) {
        for (const whom of ["leader", "follower"] as const) {
          const now = await trio.roles();
          const struck = whom === "leader" ? now.leader : now.followers[0];
          await strike(struck);
          await pass(faultMs);
          await mend(struck);
        }
      }
      await trio.roles();
      const before = set.acknowledged.length;
      await eventually("they go on", () => set.acknowledged.length > before, 20_000);
      over.abort();
      await reigning;

      const elements = await set.elements();
      const lost = set.acknowledged.filter((element) => !elements.includes(element));
      const terms = new Set(elements.map((element) => element.split("-")[0])).size;
      await annotate(`${set.acknowledged.length} acknowledged, ${elements.length} there, by ${terms} terms`);
      expect(lost).toEqual([]);
      expect(outOfOrder(elements)).toEqual([]);
      expect(terms, "there was something to see").toBeGreaterThan(6);
      // The control: who adds without the guard, after its term.
      const [oldest = ""] = elements;
      await store.etcd.put(`${store.namespace}/set/${oldest.split("-")[0]}-late`).value("");
      expect(outOfOrder(await set.elements())).toHaveLength(1);
    },
  );
});
