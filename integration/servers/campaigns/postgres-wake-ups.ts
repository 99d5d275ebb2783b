// What a hand-over on PostgreSQL owes to NOTIFY. The server wakes every process that listens to anything (up to version 18),
// so the least that a hand-over by NOTIFY can be made of, which is a write that notifies and, once that is heard, another
// write, grows with the number of those who wait. That is the control, timed in turns with Elect's.
//
//     pnpm --dir integration/servers campaign:postgres-wake-ups
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { makeEngineReady } from "../src/index.ts";
import { Circle } from "./circle.ts";
import { quantile } from "./figures.ts";
import { withRoundTrip } from "./round-trip.ts";
import { startOwnStore, type Store } from "./stores.ts";

const crowds = [2, 10, 30, 100];
const rounds = 100;
const restMs = 20;

type Measure = () => Promise<number>;

/** Settles when `heard` is called, with the time since `deed` was begun. */
async function untilHeard(
  listen: (heard: () => void) => void,
  deed: () => Promise<unknown>,
): Promise<number> {
  const heard = new Promise<void>(listen);
  const since = performance.now();
  const done = deed();
  await heard;
  const took = performance.now() - since;
  await done;
  return took;
}

/** Plain clients that listen, each to a channel of its own, and are told by turns. */
async function withListeners(
  store: Store,
  count: number,
  use: (notify: Measure, handOver: Measure) => Promise<void>,
): Promise<void> {
  await using clients = new AsyncDisposableStack();
  const plain = async (): Promise<Client> => {
    const client = new Client({ connectionString: store.server.url });
    await client.connect();
    clients.defer(async () => client.end());
    return client;
  };
  const giver = await plain();
  await giver.query("create table if not exists control as select 1 as id, 0 as n");
  const listeners: Client[] = [];
  for (let nth = 0; nth < count; nth += 1) {
    const listener = await plain();
    await listener.query(`listen control_${nth}`);
    listeners.push(listener);
  }
  let turn = 0;
  const write = "update control set n = n + 1 where id = 1";
  const tell = async (): Promise<unknown> =>
    giver.query(
      `with written as (${write} returning n) select pg_notify('control_${turn}', n::text) from written`,
    );
  const next = (): Client | undefined => listeners[(turn = (turn + 1) % count)];
  await use(
    async () => {
      const listener = next();
      return untilHeard((resolve) => listener?.once("notification", () => resolve()), tell);
    },
    async () => {
      const listener = next();
      return untilHeard((resolve) => {
        listener?.once("notification", () => void listener.query(write).then(() => resolve()));
      }, tell);
    },
  );
}

async function figures(store: Store, count: number): Promise<string> {
  const [raw, notify, control, elect]: [number[], number[], number[], number[]] = [[], [], [], []];
  const timed = async (into: number[], measure: Measure): Promise<void> => {
    into.push(await measure());
    await sleep(restMs);
  };
  await withRoundTrip(store, async (write) => {
    await withListeners(store, count, async (told, least) => {
      for (let round = 0; round < rounds; round += 1) {
        await timed(raw, write);
        await timed(notify, told);
        await timed(control, least);
      }
    });
    await using circle = await Circle.of(count, store.url);
    for (let round = 0; round < rounds; round += 1) {
      await timed(raw, write);
      await timed(elect, async () => circle.handOver());
    }
  });
  const unit = quantile(raw, 0.5);
  const times = (sample: readonly number[]): string => `${(quantile(sample, 0.5) / unit).toFixed(1)} ×`;
  return (
    `${count} that listen: a notification takes ${times(notify)} a write (${unit.toFixed(2)} ms), ` +
    `the least hand-over ${times(control)}, Elect's ${times(elect)}`
  );
}

await makeEngineReady();
await using store = await startOwnStore("PostgreSQL");
for (const count of crowds) console.log(`PostgreSQL: ${await figures(store, count)}`);
