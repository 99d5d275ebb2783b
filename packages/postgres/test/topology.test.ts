/** What takes servers of one's own: poolers, standbys, fail-over, kills, full queues and tables. */

import { once } from "node:events";
import { connect as dial, createServer, type Socket } from "node:net";
import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { startPooledPostgres, startPostgresPair } from "../../../integration/servers/src/index.ts";
import {
  bid,
  call,
  claim,
  client,
  eventually,
  grant,
  holding,
  ownServer,
  pass,
  Store,
  untilBlocked,
} from "./support.ts";

/** Containers take seconds to start. */
const long = 90_000;

describe("A5.2 poolers, PG-8", () => {
  test("lending by transaction or statement is refused, by session works", { timeout: long }, async () => {
    const pooled = await startPooledPostgres();
    onTestFinished(() => pooled.stop());
    const at = await Store.on(pooled.postgres.url);
    const through = (url: string): string => `${url}?schema=${at.schema}`;
    for (const url of [pooled.transactionUrl, pooled.statementUrl]) {
      // The hazard: two clients, one process of the server, and so one owner of all session locks.
      const [one, other] = [await client(url), await client(url)];
      await one.query("select pg_advisory_lock(1)");
      const { rows } = await other.query<{ got: boolean }>("select pg_try_advisory_lock(1) as got");
      expect(rows).toEqual([{ got: true }]);
      await one.query("select pg_advisory_unlock_all()");

      const refused = { refusal: "pooler" };
      await expect(at.open({ url: through(url) })).rejects.toMatchObject(refused);
      await expect(at.adapter({ url: through(url) }).read("x", call())).rejects.toMatchObject(refused);
    }

    const [a, b] = [
      await at.open({ url: through(pooled.sessionUrl) }),
      await at.open({ url: through(pooled.sessionUrl) }),
    ];
    const request = bid("x");
    await grant(a.session, request);
    await claim(b.session, bid("x"));
    expect(await a.session.prove(holding(request), call())).toMatchObject({ kind: "alive", lost: [] });
    await a.session.release([request], call());
    expect(await b.heard.next("hint")).toBe("hint x");

    const byConnection = { url: through(pooled.sessionUrl), takeover: "connection", ttlMs: 60_000 } as const;
    const [leader, next] = [await at.open(byConnection), await at.open(byConnection)];
    await grant(leader.session, bid("y"));
    await claim(next.session, bid("y"));
    await eventually(
      "both are watched",
      async () =>
        (
          await at.rows(
            "select from pg_locks where locktype || ' ' || mode = 'advisory ShareLock' and not granted",
          )
        ).length === 2,
    );
    leader.session.abandon();
    expect(await next.heard.next("hint")).toBe("hint y");
  });

  test("a proof that another process of the server answers is refused", { timeout: long }, async () => {
    const server = await ownServer();
    const at = await Store.on(server.url);
    const relay = await injectingRelay(server.port);
    const { session } = await at.open({
      url: at.url.replace(`:${server.port}/`, `:${relay.port}/`),
      ttlMs: 20_000,
    });
    expect(await session.prove(holding(), call())).toMatchObject({ kind: "alive" });
    // The only difference that the session can see: what it has set for itself is not there.
    await relay.inject("reset elect.life");
    await expect(session.prove(holding(), call())).rejects.toMatchObject({ refusal: "pooler" });
    expect(await at.dead(session), "and nothing was renewed").toBe(false);
    expect(await at.row("select renewals from $schema.session")).toEqual({ renewals: "1" });
  });

  test("a session whose row names another life lock is dead to its connection", async () => {
    const server = await ownServer();
    const at = await Store.on(server.url);
    const { session } = await at.open();
    await at.rows("update $schema.session set life = life + 1");
    expect(await session.prove(holding(), call())).toMatchObject({ kind: "dead" });
  });
});

/** Between client and server, as a pooler is; says something of its own to the server, and keeps the answer to itself. */
async function injectingRelay(
  target: number,
): Promise<{ port: number; inject: (statement: string) => Promise<void> }> {
  let upstream: Socket | null = null;
  let answered: (() => void) | null = null;
  const relay = createServer((client) => {
    const up = dial(target, "127.0.0.1");
    upstream = up;
    for (const socket of [client, up]) socket.on("error", () => {});
    client.on("data", (bytes) => void up.write(bytes));
    up.on("data", (bytes) => {
      if (answered === null) client.write(bytes);
      // ReadyForQuery, and so the end of the answer.
      else if (bytes.at(-6) === 0x5a) answered();
    });
    client.on("close", () => up.destroy());
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  onTestFinished(() => void relay.close());
  const address = relay.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    async inject(statement) {
      const query = Buffer.from(`Q\0\0\0\0${statement}\0`);
      query.writeInt32BE(query.length - 1, 1);
      await new Promise<void>((resolve) => {
        answered = resolve;
        upstream?.write(query);
      });
      answered = null;
    },
  };
}

describe("PG-9, PG-10 standbys", () => {
  test(
    "a standby is refused; after its promotion sessions go on, tokens rise, and the challenger's clock decides",
    { timeout: long },
    async () => {
      const pair = await startPostgresPair();
      onTestFinished(() => pair.stop());
      const at = await Store.on(pair.primary.url);
      const onStandby = `${pair.standby.url}?schema=${at.schema}`;
      const a = await at.open({ ttlMs: 2000 });
      expect(a.session.warnings.join(" ")).toContain("asynchronously");
      const request = bid("x");
      const before = await grant(a.session, request);
      await expect(at.open({ url: onStandby })).rejects.toMatchObject({ refusal: "standby" });
      await expect(at.adapter({ url: onStandby }).read("x", call())).rejects.toMatchObject({
        refusal: "standby",
      });
      const replica = await client(pair.standby.url);
      await eventually("the standby has followed", async () => {
        // The tables are as new to it as what is in them.
        const known = await replica.query<{ known: boolean }>(
          `select to_regclass('"${at.schema}".election') is not null as known`,
        );
        if (known.rows[0]?.known !== true) return false;
        const { rows } = await replica.query<{ done: boolean }>(
          `select count(*) = 1 as done from "${at.schema}".election where session is not null`,
        );
        return rows[0]?.done === true;
      });

      await pair.promote();
      const b = await at.open({ url: onStandby, ttlMs: 2000 });
      const bidOfB = bid("x");
      const since = performance.now();
      // The lease of A is over soon by the new server's clock, and its lock never was there: neither counts.
      await replica.query(`update "${at.schema}".session set lease = clock_timestamp() where id = $1`, [
        a.session.id,
      ]);
      const answer = await claim(b.session, bidOfB);
      expect(answer).toMatchObject({ kind: "held", by: { token: before }, patience: { leaseMs: 2000 } });
      await pass(2020 - (performance.now() - since));
      const version = (answer.kind === "held" && answer.patience?.version) || "";
      const after = await grant(b.session, { ...bidOfB, unchanged: version });
      expect(after >> 42n, "the timeline").toBe((before >> 42n) + 1n);
      expect(after).toBeGreaterThan(before);
      // PG-10: the old server, cut off, goes on answering A. That is declared; and B's token is the greater one.
      expect(await a.session.prove(holding(request), call())).toMatchObject({ kind: "alive" });
    },
  );

  test(
    "synchronous: while no standby confirms, no proof is acknowledged, and a cancelled wait is none",
    { timeout: long },
    async () => {
      const pair = await startPostgresPair({ synchronous: true });
      onTestFinished(() => pair.stop());
      const at = await Store.on(pair.primary.url);
      const { session } = await at.open({ ttlMs: 4000 });
      expect(session.warnings.join(" ")).not.toContain("asynchronously");
      await pair.standby.pause();
      await expect(session.prove(holding(), call(300))).rejects.toThrow("timeout");
      // Committed here and perhaps nowhere else, says the server, and calls it a success.
      const proof = session.prove(holding(), call());
      proof.catch(() => {});
      await eventually("the proof waits for the standby", async () => {
        const waiting = await at.rows<{ pid: number }>(
          "select pid from pg_stat_activity where wait_event = 'SyncRep' and backend_type = 'client backend' order by backend_start desc limit 1",
        );
        const [{ pid } = { pid: 0 }] = waiting;
        return waiting.length > 0 && (await at.rows("select pg_cancel_backend($1)", [pid])).length > 0;
      });
      const outcome = await proof.then(
        () => "acknowledged",
        (error: unknown) => String(error),
      );
      expect(outcome).not.toBe("acknowledged");
      await pair.standby.unpause();
      await eventually(
        "proofs are acknowledged again",
        async () => {
          const kind = await session.prove(holding(), call(1000)).then(
            (again) => again.kind,
            () => "unknown",
          );
          return kind === "alive";
        },
        20_000,
      );
    },
  );
});

describe("a server that is killed or runs full", () => {
  test(
    "PG-11 killed in the middle of claims: no token comes twice, and sessions survive",
    { timeout: long },
    async () => {
      const server = await ownServer({ durable: true });
      const at = await Store.on(server.url);
      const { session } = await at.open({ ttlMs: 20_000 });
      const seen: bigint[] = [];
      for (let cycle = 0; cycle < 4; cycle++) {
        const claiming = (async () => {
          for (;;) {
            const request = bid("x");
            seen.push(await grant(session, request));
            await session.release([request], call());
          }
        })();
        await pass(150);
        const [failure] = await Promise.allSettled([claiming, server.kill()]);
        expect(failure.status).toBe("rejected");
        await server.restart();
        await eventually(
          "the session goes on",
          async () => {
            const proof = await session.prove(holding(), call(2000)).catch(() => null);
            return proof?.kind === "alive";
          },
          20_000,
        );
        const leftover = await at.adapter().read("x", call());
        if (leftover !== null) seen.push(leftover.token);
        const held = new pg.Client({ connectionString: server.url });
        held.on("error", () => {});
        await held.connect();
        const { rows } = await held.query<{ nonce: string }>(
          `select nonce from "${at.schema}".election where session is not null`,
        );
        await held.end();
        await session.dispose(
          rows.map(({ nonce }) => ({ election: "x", nonce })),
          call(),
        );
      }
      expect(seen.length).toBeGreaterThan(20);
      const unique = seen.filter((token, index) => token !== seen[index - 1]);
      expect(unique, "always rising").toEqual(
        [...new Set(unique)].toSorted((one, other) => (one < other ? -1 : 1)),
      );
    },
  );

  test.each(["committed", "acknowledged"])(
    "PG-11 killed after a token was minted and before that was %s: whoever leads next has a greater one",
    { timeout: long },
    async (before) => {
      const server = await ownServer({ durable: true });
      const at = await Store.on(server.url);
      const { proxy, url } = await at.through();
      const { session } = await at.open({ url, ttlMs: 20_000 });
      const known = await grant(session, bid("x"));
      const stuck = bid("y");
      let reached: Promise<unknown>;
      if (before === "acknowledged") {
        // `join` and `claim` name it; what comes down after the second of them is the answer that grants.
        let named = 0;
        reached = proxy.once(({ direction, bytes }) => {
          if (direction === "up" && bytes.includes(stuck.nonce)) named += 1;
          return direction === "down" && named === 2;
        }, "hold").seen;
      } else {
        await at.admin.query(`
          create function "${at.schema}".stand_still() returns trigger language plpgsql as
            'begin perform pg_advisory_xact_lock(777); return null; end';
          create constraint trigger stand_still after update on "${at.schema}".election deferrable initially deferred
            for each row when (new.token is not null) execute function "${at.schema}".stand_still();
          select pg_advisory_lock(777)`);
        reached = untilBlocked(at, "the commit of the claim");
      }
      const claiming = claim(session, stuck);
      claiming.catch(() => {});
      await reached;
      await server.kill();
      expect((await Promise.allSettled([claiming]))[0].status, "its outcome is unknown").toBe("rejected");
      await server.restart();
      const after = await Store.on(server.url, at.schema);
      const minted = await after.rows<{ token: string }>(
        "select token::text from $schema.election where name = 'y' and session is not null",
      );
      expect(minted).toHaveLength(before === "acknowledged" ? 1 : 0);
      await after.rows("drop trigger if exists stand_still on $schema.election");
      await after.rows("update $schema.session set dead = true");
      const next = await grant((await after.open()).session, bid("y"));
      for (const token of [known, ...minted.map(({ token: text }) => BigInt(text))])
        expect(next).toBeGreaterThan(token);
    },
  );

  test("PG-13 the queue of notifications is full: a release still lets go", { timeout: long }, async () => {
    const server = await ownServer({ settings: { max_notify_queue_pages: 64 } });
    const at = await Store.on(server.url);
    const [a, b] = [await at.open(), await at.open()];
    const request = bid("x");
    await grant(a.session, request);
    await claim(b.session, bid("x"));
    // A listener inside of a transaction keeps the whole queue from being emptied.
    const listener = await client(server.url);
    await listener.query("listen anything");
    await listener.query("begin");
    await listener.query("select 1");
    const filling = at.rows(
      "select pg_notify('anything', repeat('x', 7000) || n) from generate_series(1, 5000) n",
    );
    await expect(filling).rejects.toThrow("NOTIFY queue");
    for (let size = 7000; size > 0; size = size === 1 ? 0 : Math.max(1, Math.floor(size / 2))) {
      await at.rows("select pg_notify('anything', repeat('x', $1))", [size]).catch(() => {});
      for (;;)
        if (
          await at.rows("select pg_notify('anything', repeat('x', $1))", [size]).then(
            () => false,
            () => true,
          )
        )
          break;
    }
    await a.session.release([request], call());
    expect(await a.adapter.read("x", call())).toBeNull();
    await listener.query("commit");
    await b.session.prove(holding(), call());
    expect(await b.heard.next("hint")).toBe("hint x");
  });

  test(
    "PG-14 no room for another lock: who opens is told, who leads is in doubt and not lost, and it passes",
    { timeout: long },
    async () => {
      const server = await ownServer({ settings: { max_locks_per_transaction: 10, max_connections: 12 } });
      const at = await Store.on(server.url);
      const a = await at.open({ ttlMs: 5000 });
      const request = bid("x");
      await grant(a.session, request);
      const hog = await client(server.url);
      await expect(hog.query("select pg_advisory_lock(n) from generate_series(1, 100000) n")).rejects.toThrow(
        "shared memory",
      );
      await expect(at.open()).rejects.toThrow("shared memory");
      await expect(a.session.prove(holding(request), call())).rejects.toThrow("shared memory");
      await hog.query("select pg_advisory_unlock_all()");
      expect(await a.session.prove(holding(request), call())).toMatchObject({ kind: "alive", lost: [] });
      expect(await claim((await at.open()).session, bid("x"))).toMatchObject({ kind: "held" });
    },
  );

  test(
    "G-22 a server that is killed and comes back: the session is the same, and its lock a new one",
    { timeout: long },
    async () => {
      const server = await ownServer({ durable: true });
      const at = await Store.on(server.url);
      const a = await at.open({ ttlMs: 20_000 });
      const request = bid("x");
      const token = await grant(a.session, request);
      await server.restart();
      const b = await at.open({ ttlMs: 20_000 });
      expect(await claim(b.session, bid("x"))).toMatchObject({ kind: "held", by: { token } });
      expect(await a.session.prove(holding(request), call())).toMatchObject({ kind: "alive", lost: [] });
    },
  );
});
