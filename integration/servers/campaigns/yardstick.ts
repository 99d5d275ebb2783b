// How fast the machine is just now. Others with whom it shares its processors slow it down for moments, to half its speed and less, and no
// counter of ours shows that; a fixed piece of work does. It has a part for each of those that a take-over keeps busy: the server and Node.
import { Client } from "pg";

/** How long each part took, in ms. */
export interface Reading {
  readonly server: number;
  readonly node: number;
}

const rows = 1_000;
const entries = 30_000;
/** Node compiles what it has run often enough. */
const warmUps = 30;

export class Yardstick implements AsyncDisposable {
  readonly #client: Client;
  readonly #best: { server: number; node: number } = { server: Infinity, node: Infinity };

  private constructor(client: Client) {
    this.#client = client;
  }

  /** With a table that nobody else sees, on a connection of its own. */
  static async on(url: string): Promise<Yardstick> {
    const plain = new URL(url);
    plain.search = "";
    const client = new Client({ connectionString: plain.href });
    await client.connect();
    await client.query(
      "create temporary table yardstick (name text primary key, holder text, token bigint) with (fillfactor = 50)",
    );
    await client.query("create index on yardstick (holder)");
    await client.query("insert into yardstick select n, '', 0 from generate_series(1, $1::int) n", [rows]);
    const yardstick = new Yardstick(client);
    for (let nth = 0; nth < warmUps; nth += 1) await yardstick.read();
    return yardstick;
  }

  async read(): Promise<Reading> {
    await this.#client.query("vacuum yardstick");
    const node = spellOut();
    const since = performance.now();
    await this.#client.query("update yardstick set holder = $1, token = token + 1", [String(since)]);
    const reading = { server: performance.now() - since, node };
    this.#best.server = Math.min(this.#best.server, reading.server);
    this.#best.node = Math.min(this.#best.node, reading.node);
    return reading;
  }

  /** How many times as long as at their best these took, on average. */
  slowness(readings: readonly Reading[]): number {
    const ratios = readings.flatMap(({ server, node }) => [
      server / this.#best.server,
      node / this.#best.node,
    ]);
    return ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end();
  }
}

/** What it says is of no use. */
function spellOut(): number {
  const since = performance.now();
  const table = new Map<string, { text: string; token: bigint }>();
  for (let nth = 0; nth < entries; nth += 1)
    table.set(`entry ${nth}`, { text: JSON.stringify([nth, "of many"]), token: BigInt(nth) });
  let length = 0;
  for (const { text } of table.values()) length += text.length;
  return length > 0 ? performance.now() - since : Number.NaN;
}
