// A write of the old leader that is on its way when the next one is elected, and arrives afterwards.
import { connect, createElection, type Term } from "@elect/core";
import { fenceIn } from "@elect/postgres";
import { openFaultProxy } from "@elect/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startStores, storeNames, type Store, type StoreName, type Stores } from "../campaigns/stores.ts";
import { withPostgres } from "./drivers.ts";
import { writers, type Writer } from "./writers.ts";

let stores: Stores;

beforeAll(async () => (stores = await startStores()));
afterAll(async () => stores[Symbol.asyncDispose]());

function storeOf(name: StoreName): Store {
  const store = stores.all.find((each) => each.name === name);
  if (store === undefined) throw new Error(`${name} was not started`);
  return store;
}

/** Two leaders, one after the other; the second is elected when `next` is called. */
async function twoTerms(
  url: string,
  election: string,
  use: (old: Term, next: () => Promise<Term>) => Promise<void>,
): Promise<void> {
  await using first = await connect(url);
  await using second = await connect(url);
  await using old = await createElection({ backend: first, name: election }).campaign();
  const bid = createElection({ backend: second, name: election }).campaign();
  await use(old, async () => {
    await old.resign();
    return bid;
  });
  await (await bid).resign();
}

/** Makes a write through a link that keeps the chunk with `marker` until `meanwhile` is over. */
async function delayed<T>(
  port: number,
  marker: string,
  write: (port: number) => Promise<T>,
  meanwhile: () => Promise<void> = async () => {},
): Promise<T> {
  await using proxy = await openFaultProxy({ host: "127.0.0.1", port });
  const kept = proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes(marker), "hold");
  const writing = write(proxy.port);
  await Promise.race([kept.seen, writing]);
  expect(kept.hit, "the write was kept").not.toBeNull();
  await meanwhile();
  proxy.heal();
  return await writing;
}

describe.each(storeNames)("G-18 G-19 on %s", (name) => {
  test("a guarded write that arrives in the next term is refused; an unguarded one lands", async () => {
    const { url, server } = storeOf(name);
    const namespace = /elect_run_[0-9a-f]+$/.exec(url)?.[0] ?? "";
    const use = async <T>(port: number, work: (writer: Writer) => Promise<T>): Promise<T> =>
      writers[name](server.url.replace(`:${server.port}`, `:${port}`), namespace, work);
    const read = async (): Promise<string> => use(server.port, async (writer) => writer.read());

    await twoTerms(url, "delayed-write", async (old, next) => {
      await use(server.port, async (writer) => writer.guarded(old, "by the old one, in time"));
      expect(await read()).toBe("by the old one, in time");
      const written = await delayed(
        server.port,
        "by the old one, late",
        async (port) => use(port, async (writer) => writer.guarded(old, "by the old one, late")),
        async () => {
          const present = await next();
          await use(server.port, async (writer) => writer.guarded(present, "by the new one"));
        },
      );
      expect(written).toBe(false);
      expect(await read()).toBe("by the new one");

      // The control: as late, and nobody asks for the term.
      const plain = async (port: number): Promise<unknown> =>
        use(port, async (writer) => writer.plain("by the old one, late"));
      await delayed(server.port, "by the old one, late", plain);
      expect(await read()).toBe("by the old one, late");
    });
  });

  test.each([
    { sealed: true, outcome: "refused" },
    { sealed: false, outcome: "done: the seal is what refuses it" },
  ])("in another database, a write that arrives after the election is $outcome", async ({ sealed }) => {
    const { url, port: direct } = storeOf("PostgreSQL").server;
    const fence = fenceIn("elect_test_fence");
    const election = `elsewhere-${sealed ? "sealed" : "unsealed"}`;
    const write = `update elect_test_effect set value = $1 where ${fence.condition("$2", "$3")}`;
    await withPostgres(url, async (client) => {
      await client.query(fence.create);
      await client.query("create table elect_test_effect as select 'nothing' as value");
      await twoTerms(storeOf(name).url, election, async (old, next) => {
        await fence.seal(client, old);
        const rows = await delayed(
          direct,
          "by the old one",
          async (port) =>
            withPostgres(url.replace(`:${direct}/`, `:${port}/`), async (late) => {
              return (await late.query(write, ["by the old one", election, old.fence])).rowCount;
            }),
          async () => {
            const present = await next();
            if (sealed) await fence.seal(client, present);
          },
        );
        expect(rows).toBe(sealed ? 0 : 1);
      });
      await client.query("drop table elect_test_effect, elect_test_fence");
    });
  });
});
