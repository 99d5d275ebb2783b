// Silent links on every store, round after round: the old leader's term is over before the new one's begins. The
// classic ways are put through the same, as controls: a campaign that finds no overlap of theirs sees nothing.
//
//     pnpm --dir integration/servers campaign:silent-link [rounds]
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { makeEngineReady } from "../src/index.ts";
import { etcdElection, redisLock, zookeeperRecipe } from "./classic-ways.ts";
import { elect, type Way } from "./contender.ts";
import { silentRound, type Round } from "./silence.ts";
import { startStores, type Store, type StoreName } from "./stores.ts";

export interface Outcome {
  readonly store: StoreName;
  readonly way: string;
  readonly rounds: readonly Round[];
}

const ttls = [2_000, 3_000, 4_000];
const controls: readonly { readonly way: Way; readonly on: StoreName }[] = [
  { way: etcdElection, on: "etcd" },
  { way: zookeeperRecipe, on: "ZooKeeper" },
  { way: redisLock, on: "Redis" },
];

/** So many rounds on each store, all stores side by side; the controls likewise. */
export async function silentLinks(stores: readonly Store[], rounds: number): Promise<Outcome[]> {
  const subjects = [
    ...stores.map((store) => ({ store, way: elect })),
    ...controls.flatMap(({ way, on }) =>
      stores.filter(({ name }) => name === on).map((store) => ({ store, way })),
    ),
  ];
  return Promise.all(
    subjects.map(async ({ store, way }, index) => {
      // So that not all of them are elected in the same millisecond.
      await sleep(100 * index);
      const played: Round[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const ttl = ttls[round % ttls.length] ?? 2_000;
        played.push(await silentRound(way, store.url, ttl, round / rounds));
      }
      return { store: store.name, way: way.name, rounds: played };
    }),
  );
}

/** What is wrong with it; nothing, if it went as it must. */
export function faultsOf({ store, way, rounds }: Outcome): string[] {
  const overlaps = rounds.filter(({ marginMs, oldLeads }) => marginMs <= 0 || oldLeads);
  if (way !== elect.name) return overlaps.length > 0 ? [] : [`${way} shows no overlap: nothing was tested`];
  return overlaps.map(
    ({ ttl, marginMs }) =>
      `${store}: two leaders at once, for ${(-marginMs).toFixed(1)} ms (TTL ${ttl / 1000} s)`,
  );
}

function describe(outcome: Outcome): string {
  const { store, way, rounds } = outcome;
  const subject = way === elect.name ? `${way} on ${store}` : `control: ${way}`;
  const margins = rounds.map(({ marginMs }) => marginMs).toSorted((a, b) => a - b);
  const overlapping = rounds.filter(({ marginMs }) => marginMs <= 0).length;
  const least = margins[0] ?? 0;
  const atLeast = rounds.some(({ marginMs, open }) => open && marginMs === least) ? "≥ " : "";
  const figure =
    way === elect.name
      ? `smallest margin ${least.toFixed(1)} ms, median ${(margins[margins.length >> 1] ?? 0).toFixed(1)} ms`
      : `longest overlap ${atLeast}${(-least).toFixed(0)} ms`;
  return `${subject}: ${rounds.length} rounds, ${overlapping} with an overlap; ${figure}`;
}

/** Settles with the exit code. */
async function main(rounds: number): Promise<number> {
  await makeEngineReady();
  await using stores = await startStores();
  const outcomes = await silentLinks(stores.all, rounds);
  for (const outcome of outcomes) console.log(describe(outcome));
  const faults = outcomes.flatMap(faultsOf);
  for (const fault of faults) console.error(`failed: ${fault}`);
  return faults.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Not left to itself: drivers of the controls have timers that outlive them.
  process.exit(await main(Number(process.argv[2] ?? 20)));
}
