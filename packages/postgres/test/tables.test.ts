/** The tables: who makes them, who may, and what they keep. */

import { readFile } from "node:fs/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { tableDefinitions } from "../src/index.ts";
import { bid, call, claim, eventually, grant, holding, sharedServer, Store } from "./support.ts";

const server = await sharedServer();
const store = async (): Promise<Store> => Store.on(server.url);

/** The statements that the README shows, block by block. */
async function readmeBlocks(): Promise<string[]> {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  return [...readme.matchAll(/```sql\n([^]*?)```/g)].map(([, block = ""]) => block);
}

/** An ordinary user, and the URL with which it comes. */
async function user(at: Store): Promise<{ role: string; url: string }> {
  const role = `role_${at.schema}`;
  await at.rows(`create role ${role} login password 'secret'`);
  onTestFinished(async () => {
    await at.rows(`drop owned by ${role} cascade`).catch(() => {});
    await at.rows(`drop role ${role}`).catch(() => {});
  });
  const url = new URL(at.url);
  [url.username, url.password] = [role, "secret"];
  return { role, url: url.href };
}

describe("tables", () => {
  test("the README shows what is created", async () => {
    const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
    const plain = (text: string): string => text.replaceAll(/\s+/g, "").toLowerCase();
    expect(plain(readme)).toContain(plain(`${tableDefinitions("elect").join(";")};`));
  });

  test("twenty processes that come first at the same moment", async () => {
    const at = await store();
    await Promise.all(Array.from({ length: 20 }, async () => at.open()));
    expect(await at.rows("select from $schema.session")).toHaveLength(20);
  });

  test("a user who may not create them is told so, and may with `create` on the database, or on a schema that is there", async () => {
    const [at, other] = [await store(), await store()];
    const { role, url } = await user(at);
    await expect(at.open({ url })).rejects.toMatchObject({ refusal: "permission" });
    await at.rows(`grant create on database postgres to ${role}`);
    await (await at.open({ url })).session.end(call());
    await at.rows(`revoke create on database postgres from ${role}`);

    await other.rows(`create schema $schema`);
    const elsewhere = new URL(url);
    elsewhere.searchParams.set("schema", other.schema);
    await expect(other.open({ url: elsewhere.href })).rejects.toMatchObject({ refusal: "permission" });
    await other.rows(`grant create, usage on schema $schema to ${role}`);
    await (await other.open({ url: elsewhere.href })).session.end(call());
  });

  test.each(["lease", "connection"] as const)(
    'takeover "%s": an administrator runs the statements of the README, and what it grants is enough for everything',
    async (takeover) => {
      const at = await store();
      const { role, url } = await user(at);
      const [tables = "", grants = ""] = (await readmeBlocks()).filter((block) =>
        /^(create schema|grant)/.test(block),
      );
      await at.admin.query(tables.replaceAll('"elect"', `"${at.schema}"`));
      await at.admin.query(
        grants.replaceAll('"elect"', `"${at.schema}"`).replaceAll("to app;", `to ${role};`),
      );
      const how = takeover === "connection" ? { takeover, url } : { url };
      const [a, b] = [await at.open(how), await at.open(how)];
      const request = bid("x");
      await grant(a.session, request);
      expect(await a.session.prove(holding(request), call())).toMatchObject({ kind: "alive", lost: [] });
      await a.session.release([request], call());
      await grant(a.session, request);
      await claim(b.session, bid("x"));
      expect(await b.adapter.candidates("x", call())).toHaveLength(2);
      const watch = await b.adapter.watch("x", () => {}, call());
      // A crash: declared dead, taken over, and cleared away by the next that opens.
      await at.terminate(a.session);
      a.session.abandon();
      await at.expire(a.session);
      await eventually("B leads", async () => (await claim(b.session, bid("x"))).kind === "granted");
      await (await at.open(how)).session.end(call());
      expect(await at.rows("select from $schema.session where id = $1", [a.session.id])).toEqual([]);
      await b.adapter.end(b.session.ticket, call());
      watch.close();
    },
  );

  test("tables of another version are left alone", async () => {
    const at = await store();
    await (await at.open()).session.end(call());
    await at.rows("comment on table $schema.session is 'Elect 2'");
    await expect(at.open()).rejects.toMatchObject({ refusal: "format" });
  });

  test("tokens of two elections that change hands in all ways rise", async () => {
    const at = await store();
    const processes = [await at.open(), await at.open()];
    let last = 0n;
    for (let round = 0; round < 20; round++) {
      const { session } = processes[round % 2] ?? (await at.open());
      const request = bid("x");
      const token = await grant(session, request);
      expect(token).toBeGreaterThan(last);
      expect(token).toBeLessThan(2n ** 63n);
      last = token;
      await session.release([request], call());
    }
  });
});
