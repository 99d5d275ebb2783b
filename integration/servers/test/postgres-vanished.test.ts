// PG-3: a leader vanishes while bytes are on their way to it. Nothing acknowledges them, and left to itself the kernel of the
// server goes on sending them again for a quarter of an hour, while the session and its locks stay.
import { setTimeout as sleep } from "node:timers/promises";
import { connect, createElection, type Backend } from "@elect/core";
import { Client } from "pg";
import { expect, test } from "vitest";
import { startPooledPostgres, type PooledPostgres } from "../src/index.ts";
import { containerRuntime } from "../src/runtime.ts";

const ttl = 2_000;
/** Locks that the controls hold, by what their server side has been told. */
const untold = 41;
const toldOfSilence = 42;
const toldOfBytes = 43;

test("A5.2 server side of a dead client, PG-3 cut off with unacknowledged bytes in flight: the leader's lock is free within its TTL, a plain client's is not", async () => {
  await using scene = await Scene.set();
  await scene.control(untold, {});
  await scene.control(toldOfBytes, { tcp_user_timeout: ttl });
  await scene.cut();
  const since = performance.now();
  await scene.send([scene.session, `control_${untold}`, `control_${toldOfBytes}`], "neighbour", 1);
  expect(await scene.socketsWithUnacknowledgedBytes(), "in flight").toBeGreaterThanOrEqual(3);
  await scene.free(scene.life);
  const leaders = performance.now() - since;
  await scene.free(toldOfBytes);
  const controls = performance.now() - since;
  console.log(
    `free after ${leaders.toFixed(0)} ms (TTL ${ttl} ms); by tcp_user_timeout alone: ${controls.toFixed(0)} ms`,
  );
  expect(leaders).toBeLessThan(2 * ttl);
  await sleep(ttl);
  expect(await scene.isFree(untold), "who told the server nothing").toBe(false);
});

test("A5.2 server side of a dead client, PG-3 cut off while the server is in the middle of sending: no idle time-out comes to that, and tcp_user_timeout does", async () => {
  await using scene = await Scene.set();
  await scene.control(toldOfSilence, { idle_session_timeout: 2 * ttl });
  await scene.cut();
  const since = performance.now();
  // More than a send buffer takes.
  await scene.send([scene.session, `control_${toldOfSilence}`], "x".repeat(7900), 3000);
  await scene.free(scene.life);
  console.log(`free after ${(performance.now() - since).toFixed(0)} ms (TTL ${ttl} ms)`);
  // A TTL after the moment at which nothing was acknowledged any more.
  expect(performance.now() - since).toBeLessThan(3 * ttl);
  await sleep(3 * ttl);
  expect(await scene.isFree(toldOfSilence), "who told the server of idle time only").toBe(false);
});

/** A leader whose connection to the server runs through another machine (the pooler's), which loses its network. */
class Scene implements AsyncDisposable {
  /** The channel on which the leader's session listens, and the key of its life lock. */
  session = "";
  life = "";
  readonly #pooled: PooledPostgres;
  readonly #admin: Client;
  readonly #backend: Backend;
  readonly #clients: Client[] = [];

  private constructor(pooled: PooledPostgres, admin: Client, backend: Backend) {
    this.#pooled = pooled;
    this.#admin = admin;
    this.#backend = backend;
  }

  static async set(): Promise<Scene> {
    await using parts = new AsyncDisposableStack();
    const pooled = parts.use(await startPooledPostgres());
    const admin = await clientOf(pooled.postgres.url);
    parts.defer(async () => admin.end());
    const backend = await connect(pooled.sessionUrl);
    await createElection({ backend, name: "vanishing", ttl }).campaign();
    const { rows } = await admin.query<{ id: string; life: string }>(
      "select id, life::text from elect.session",
    );
    parts.move();
    const scene = new Scene(pooled, admin, backend);
    scene.session = `elect_${rows[0]?.id}`;
    scene.life = rows[0]?.life ?? "";
    return scene;
  }

  /** A plain client that comes by the same way, holds a lock, listens, and vanishes, too. */
  async control(lock: number, settings: Record<string, number>): Promise<void> {
    const client = await clientOf(this.#pooled.sessionUrl);
    this.#clients.push(client);
    for (const [name, value] of Object.entries(settings)) await client.query(`set ${name} = ${value}`);
    await client.query(`select pg_advisory_lock(${lock})`);
    await client.query(`listen control_${lock}`);
  }

  /** Nothing is closed: packets of the server go nowhere. */
  async cut(): Promise<void> {
    const { container: pooler } = this.#pooled.pooler;
    const [network = ""] = pooler.getNetworkNames().filter((name) => name.startsWith("elect-"));
    const { container } = await containerRuntime();
    await container.dockerode.getNetwork(network).disconnect({ Container: pooler.getId(), Force: true });
  }

  async send(channels: readonly string[], message: string, times: number): Promise<void> {
    await this.#admin.query(
      "select pg_notify(channel, $2 || n) from unnest($1::text[]) channel, generate_series(1, $3::int) n",
      [channels, message, times],
    );
  }

  async isFree(key: string | number): Promise<boolean> {
    const { rows } = await this.#admin.query(
      `select from pg_locks where locktype = 'advisory' and granted
          and classid = (($1::bigint >> 32) & 4294967295)::oid and objid = ($1::bigint & 4294967295)::oid`,
      [key],
    );
    return rows.length === 0;
  }

  async free(key: string | number): Promise<void> {
    const late = performance.now() + 60_000;
    while (!(await this.isFree(key))) {
      if (performance.now() > late) throw new Error(`not within 60 s: lock ${key} is free`);
      await sleep(20);
    }
  }

  /** By the kernel's own table: established connections of the server with something in their send queue. */
  async socketsWithUnacknowledgedBytes(): Promise<number> {
    const table = await this.#pooled.postgres.exec("cat", "/proc/net/tcp", "/proc/net/tcp6");
    const queues = table.matchAll(/:1538 [0-9A-F:]+ 01 ([0-9A-F]{8}):/g);
    return [...queues].filter(([, queued = "0"]) => parseInt(queued, 16) > 0).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#admin.end();
    await this.#pooled.stop();
    await Promise.all(this.#clients.map(async (client) => client.end()));
    await this.#backend.close();
  }
}

async function clientOf(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  return client;
}
