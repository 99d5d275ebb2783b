// What a server was asked to do, and by how many connections: by its own counters, not by ours.
import { ask } from "../src/answers.ts";
import type { Server } from "../src/server.ts";
import { withPostgres, withRedis } from "../test/drivers.ts";
import type { StoreName } from "./stores.ts";

export interface Reading {
  readonly requests: number;
  readonly connections: number;
}

/** Reads a server's counters, in the same way each time, so that what reading costs can be subtracted. */
type Counter = (server: Server) => Promise<Reading>;

const counters: Readonly<Record<StoreName, Counter>> = {
  Redis: redisCounter,
  Valkey: redisCounter,
  // Each statement that the server has run; begin and commit are statements.
  PostgreSQL: async (server) =>
    withPostgres(server.url, async (client) => {
      await client.query("create extension if not exists pg_stat_statements");
      const { rows } = await client.query<{ requests: string; connections: string }>(
        `select (select sum(calls) from pg_stat_statements) as requests,
           (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections`,
      );
      return { requests: Number(rows[0]?.requests), connections: Number(rows[0]?.connections) };
    }),
  // Messages of unary calls and of streams: keep-alives, and watches that are asked for. A connection is an open file.
  etcd: async ({ port }) => {
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return {
      requests: sum(metrics, /^grpc_server_msg_received_total\{.*\} (\S+)$/gm),
      connections: sum(metrics, /^process_open_fds (\S+)$/gm),
    };
  },
  // Packets, pings included.
  ZooKeeper: async ({ port }) => {
    const monitor = await ask(port, "mntr", /zk_packets_sent\s+\d+\n[^]*\n$/);
    return {
      requests: sum(monitor, /^zk_packets_received\s+(\d+)$/gm),
      connections: sum(monitor, /^zk_num_alive_connections\s+(\d+)$/gm),
    };
  },
};

/** How often it read from a connection. A command that is a script's counts for none of it, a pipeline for one. */
async function redisCounter({ port }: Server): Promise<Reading> {
  return withRedis({ port }, async (redis) => {
    const info = await redis.info();
    return {
      requests: sum(info, /^total_reads_processed:(\d+)/gm),
      connections: sum(info, /^connected_clients:(\d+)/gm),
    };
  });
}

function sum(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].reduce((total, [, figure]) => total + Number(figure), 0);
}

export class Meter {
  readonly #server: Server;
  readonly #counter: Counter;
  readonly #costOfReading: number;
  readonly #connectionsOfOthers: number;

  private constructor(server: Server, counter: Counter, cost: number, connections: number) {
    this.#server = server;
    this.#counter = counter;
    this.#costOfReading = cost;
    this.#connectionsOfOthers = connections;
  }

  /** To be made before anybody else connects. */
  static async of(name: StoreName, server: Server): Promise<Meter> {
    const counter = counters[name];
    await counter(server);
    const [first, second] = [await counter(server), await counter(server)];
    return new Meter(server, counter, second.requests - first.requests, second.connections);
  }

  /** The requests that were made while `work` went on, and the connections at its end. */
  async measure(work: () => Promise<unknown>): Promise<Reading> {
    const before = await this.#counter(this.#server);
    await work();
    const after = await this.#counter(this.#server);
    return {
      requests: after.requests - before.requests - this.#costOfReading,
      connections: after.connections - this.#connectionsOfOthers,
    };
  }
}
