// Processes that are candidates in the same thousand elections on PostgreSQL, one behind the other. The first leads them all, and
// is killed: how long does it take until the others do?
import { randomBytes } from "node:crypto";
import { withPostgres } from "../test/drivers.ts";
import type { CrowdOptions } from "./crowd.ts";
import { Crowd } from "./crowd-process.ts";
import { hostNow } from "./figures.ts";
import { until } from "./patience.ts";

const lookEveryMs = 20;

export class Line implements AsyncDisposable {
  readonly #options: CrowdOptions;
  readonly #members: Crowd[] = [];

  private constructor(options: CrowdOptions) {
    this.#options = options;
  }

  /** So many processes, in a schema of their own: nothing of those that were killed before is in their way. */
  static async of(processes: number, { url, ...options }: CrowdOptions): Promise<Line> {
    const own = new URL(url);
    own.searchParams.set("schema", `elect_line_${randomBytes(4).toString("hex")}`);
    await using parts = new AsyncDisposableStack();
    const line = parts.use(new Line({ ...options, url: own.href }));
    for (let joined = 0; joined < processes; joined += 1) await line.#join();
    parts.move();
    return line;
  }

  /**
   * Kills the leader, who was the first, and so many less one of those that wait next, in one breath. Settles with the times
   * from then to the election of each successor, in ms.
   */
  async kill(count: number): Promise<number[]> {
    const { elections } = this.#options;
    const killed = this.#members.splice(0, count);
    const elected = (): number[] => this.#members.flatMap((member) => member.elected);
    const since = hostNow();
    await Promise.all(killed.map(async (member) => member.kill()));
    await until(
      () => `${elected().length} of ${elections} elections taken over`,
      () => (elected().length >= elections ? true : undefined),
      lookEveryMs,
    );
    return elected().map((at) => at - since);
  }

  /** How many connections the server has from each process. */
  async connectionsEach(): Promise<number> {
    const ours = "application_name = 'elect' and backend_type = 'client backend'";
    const [row] = await this.#ask<{ n: string }>(`select count(*) as n from pg_stat_activity where ${ours}`);
    return Number(row?.n) / this.#members.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#members.map(async (member) => member.kill()));
    await this.#ask("drop schema if exists $schema cascade");
  }

  /** One more process; settles when it is the last in the queue of each election (or leads them all, as the first). */
  async #join(): Promise<void> {
    this.#members.push(new Crowd(this.#options));
    await this.#settled();
  }

  /** Each leads or waits everywhere; and who is to be watched (connection mode) is watched. */
  async #settled(): Promise<void> {
    const { elections } = this.#options;
    const wanted = [elections, elections * (this.#members.length - 1), 0].join(" ");
    let found = "";
    await until(
      () => `led, waiting, unwatched: ${found} and not ${wanted}`,
      async () => {
        const rows = await this.#ask<{ found: string }>(standing).catch(() => []);
        found = rows[0]?.found ?? "no tables";
        return found === wanted ? true : undefined;
      },
      lookEveryMs,
    );
  }

  async #ask<T extends object>(text: string): Promise<T[]> {
    const url = new URL(this.#options.url);
    const schema = url.searchParams.get("schema") ?? "elect";
    url.search = "";
    return withPostgres(
      url.href,
      async (client) => (await client.query<T>(text.replaceAll("$schema", schema))).rows,
    );
  }
}

const standing = `
select concat_ws(' ',
  (select count(*) from $schema.election e join $schema.session s on s.id = e.session and not s.dead and s.lease > clock_timestamp()),
  (select count(*) from $schema.waiter w join $schema.session s on s.id = w.session and not s.dead and s.lease > clock_timestamp()),
  (select count(*) from $schema.session s
    where not dead and takeover = 'connection'
      and 1 < (select count(*) from $schema.session where not dead)
      and not exists (
        select from pg_locks l where l.locktype = 'advisory' and l.mode = 'ShareLock' and not l.granted
           and l.classid = ((s.life >> 32) & 4294967295)::oid and l.objid = (s.life & 4294967295)::oid))) as found`;
