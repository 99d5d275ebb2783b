/** What pg is known to do to a leader election, one by one: first the trap itself, then the adapter. */

import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { PostgresAdapter } from "../src/adapter.ts";
import { Link } from "../src/client.ts";
import { settle } from "../src/options.ts";
import { connect } from "../src/server.ts";
import {
  bid,
  call,
  client,
  eventually,
  grant,
  Heard,
  holding,
  nonce,
  pass,
  sharedServer,
  Store,
  within,
} from "./support.ts";

const server = await sharedServer();
const store = async (): Promise<Store> => Store.on(server.url);

describe("A5.2 the driver", () => {
  test("crash: an error comes twice, and the second would end the process", async () => {
    const errors: Error[] = [];
    const plain = new pg.Client({ connectionString: server.url });
    plain.on("error", (error) => errors.push(error));
    await plain.connect();
    const admin = await client(server.url);
    const ended = new Promise<void>((resolve) => plain.once("end", resolve));
    const { rows } = await plain.query<{ pid: number }>("select pg_backend_pid() as pid");
    await admin.query("select pg_terminate_backend($1)", [rows[0]?.pid]);
    await ended;
    expect(errors).toHaveLength(2);

    const at = await store();
    const { session, heard } = await at.open();
    await at.terminate(session);
    expect(await heard.next("doubt"), "the first of the two says why").toContain("administrator command");
    expect(heard.all, "told once").toEqual([]);
  });

  test("keep-alive: both ends probe an idle link", async () => {
    const settings = settle(`${server.url}?schema=any`);
    const { link } = await connect(settings, { kind: "life", ttlMs: 9000 }, call());
    onTestFinished(() => link.destroy(new Error("done")));
    const names = [
      "tcp_keepalives_idle",
      "tcp_keepalives_interval",
      "tcp_keepalives_count",
      "tcp_user_timeout",
      "client_connection_check_interval",
    ];
    const [row] = await link.query(
      `select ${names.map((name) => `current_setting('${name}') as ${name}`).join(", ")}`,
      [],
      call().signal,
    );
    expect(Object.values(row ?? {})).toEqual(["3", "3", "3", "9000", "1s"]);
  });

  test("query_timeout: it leaves the statement running and the client stuck; an aborted call leaves neither", async () => {
    const plain = new pg.Client({
      connectionString: server.url,
      query_timeout: 50,
      application_name: "stuck",
    });
    plain.on("error", () => {});
    await plain.connect();
    await expect(plain.query("select pg_sleep(1)")).rejects.toThrow("timeout");
    const admin = await client(server.url);
    const running = async (name: string): Promise<number> =>
      (
        await admin.query("select from pg_stat_activity where application_name = $1 and state = 'active'", [
          name,
        ])
      ).rows.length;
    expect(await running("stuck")).toBe(1);
    await plain.end();

    const { connection } = settle({
      connection: { connectionString: server.url, application_name: "given up" },
    });
    const link = await Link.connect(connection, call());
    const given = new AbortController();
    await link.query("set client_connection_check_interval = 20", [], given.signal);
    const sleeping = link.query("select pg_sleep(60)", [], given.signal);
    await eventually("it runs", async () => (await running("given up")) === 1);
    given.abort(new Error("enough"));
    await expect(sleeping).rejects.toThrow("enough");
    expect(link.open).toBe(false);
    await expect(link.query("select 1", [], call().signal)).rejects.toThrow("gone");
    await eventually("the server gives up too", async () => (await running("given up")) === 0);
  });

  test("query_timeout: what the application sets for all its clients is not for ours", async () => {
    const { defaults } = pg as unknown as {
      defaults: { query_timeout: number | false; statement_timeout: number | false };
    };
    const before = { ...defaults };
    Object.assign(defaults, { query_timeout: 30, statement_timeout: 30 });
    try {
      const { link } = await connect(settle(server.url), { kind: "life", ttlMs: 9000 }, call());
      await link.query("select pg_sleep(0.1)", [], call().signal);
      link.destroy(new Error("done"));
    } finally {
      Object.assign(defaults, before);
    }
  });

  test("queueing: statements are sent one after the other, and the driver's queue stays empty", async () => {
    const warnings: string[] = [];
    const warned = (warning: Error): void => void warnings.push(warning.message);
    process.on("warning", warned);
    onTestFinished(() => void process.off("warning", warned));
    const at = await store();
    const { session } = await at.open();
    await Promise.all([
      ...Array.from({ length: 20 }, async () => session.prove(holding(), call())),
      session.claim([bid("x")], call()),
    ]);
    await pass(0);
    expect(warnings).toEqual([]);
  });

  test("queueing: a call that is given up before its turn takes nobody's connection", async () => {
    const at = await store();
    const { session } = await at.open();
    const given = new AbortController();
    const proof = session.prove(holding(), call());
    const claiming = session.claim([bid("x")], { signal: given.signal, timeoutMs: 1000 });
    given.abort(new Error("not wanted"));
    await expect(claiming).rejects.toThrow("not wanted");
    expect(await proof).toMatchObject({ kind: "alive" });
    expect(await at.rows("select from $schema.waiter")).toEqual([]);
  });

  test("lists: they arrive as they are, whatever is in them", async () => {
    const { link } = await connect(settle(server.url), { kind: "idle", ttlMs: 2_000 }, call());
    onTestFinished(() => link.destroy(new Error("the test is over")));
    const odd = [
      "",
      "NULL",
      '"',
      "\\",
      '\\"',
      '{"a":[1,"\\n"]}',
      "a,b",
      "{}",
      " ",
      "é😀\u2028",
      "\n",
      "\\\n",
      "\x7f",
    ];
    for (const list of [
      odd,
      odd.filter((text) => !text.includes("\n")),
      [],
      ...odd.map((text) => [text, text]),
    ]) {
      const [row] = await link.query("select to_json($1::text[])::text as got", [list], call().signal);
      expect(JSON.parse(row?.["got"] ?? "")).toEqual(list);
    }
  });

  test("types, fencing: a parser that somebody set for int8, or binary results, do not touch a token", async () => {
    const { defaults } = pg as unknown as { defaults: { binary: boolean } };
    const parseInt8 = pg.types.getTypeParser(20, "text") as (value: string) => unknown;
    pg.types.setTypeParser(20, Number);
    defaults.binary = true;
    try {
      const at = await store();
      const { session, adapter } = await at.open();
      await session.claim([bid("x")], call());
      await at.rows("select setval($1, 4398046511000)", [`${at.schema}.token`]);
      const token = await grant(session, bid("y"));
      expect(token % 2n ** 42n).toBe(4398046511001n);
      expect((await adapter.read("y", call()))?.token).toBe(token);
    } finally {
      pg.types.setTypeParser(20, parseInt8);
      defaults.binary = false;
    }
  });

  test("pools and clients of the user: copied, and left alone", async () => {
    const { hostname: host, port, username: user, password } = new URL(server.url);
    const pool = new pg.Pool({ host, port: Number(port), user, password, database: "postgres", max: 1 });
    const plain = await client(server.url);
    onTestFinished(() => pool.end());
    const at = await store();
    for (const source of [{ pool }, { client: plain }]) {
      const adapter = new PostgresAdapter({ ...source, schema: at.schema });
      expect(adapter.address).toBe(new PostgresAdapter(at.url).address);
      const session = await adapter.open({ ttlMs: 1500, nonce: nonce(), events: new Heard() }, call());
      await session.end(call());
      await adapter.close(call());
    }
    expect(pool.totalCount).toBe(0);
    expect((await plain.query<{ one: number }>("select 1 as one")).rows).toEqual([{ one: 1 }]);
  });

  test("pools: a password that is asked for is asked for each connection", async () => {
    const { password, username, hostname, port } = new URL(server.url);
    let asked = 0;
    const at = await store();
    const adapter = new PostgresAdapter({
      connection: {
        host: hostname,
        port: Number(port),
        user: username,
        database: "postgres",
        password: async () => (asked++, password),
      },
      schema: at.schema,
    });
    const session = await adapter.open({ ttlMs: 1500, nonce: nonce(), events: new Heard() }, call());
    await at.terminate(session);
    await session.prove(holding(), call());
    expect(asked).toBe(2);
    session.abandon();
  });

  test("close: bounded on a silent link, for a session and for the backend", async () => {
    const at = await store();
    const { proxy, url } = await at.through();
    const { session, adapter } = await at.open({ url });
    await adapter.read("x", call());
    proxy.silence();
    await expect(session.end(call(100))).rejects.toThrow("timeout");
    session.abandon();
    await expect(adapter.close(call(100))).rejects.toThrow("timeout");
  });

  test("connecting: given up at every step of it", async () => {
    const at = await store();
    const { proxy, url } = await at.through();
    const adapter = at.adapter({ url });
    for (const nth of [1, 2, 3, 4, 5]) {
      let seen = 0;
      const trigger = proxy.once(({ direction }) => direction === "down" && ++seen === nth, "hold");
      const given = new AbortController();
      const opening = adapter.open(
        { ttlMs: 1500, nonce: nonce(), events: new Heard() },
        { signal: given.signal, timeoutMs: 5000 },
      );
      await within(`answer ${nth} of the server`, trigger.seen);
      given.abort(new Error("enough"));
      await expect(opening).rejects.toThrow("enough");
    }
  });
});
