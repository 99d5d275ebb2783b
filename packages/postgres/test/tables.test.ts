/** The tables: who makes them, who may, and what they keep. */

import { readFile } from "node:fs/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { tableDefinitions } from "../src/index.ts";
import { bid, call, grant, holding, sharedServer, Store } from "./support.ts";

const server = await sharedServer();
const store = async (): Promise<Store> => Store.on(server.url);

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

  test("a user who may not create them is told so; once they are there, the listed privileges are enough", async () => {
    const at = await store();
    const role = `role_${at.schema}`;
    await at.rows(`create role ${role} login password 'secret'`);
    onTestFinished(
      async () =>
        void (
          await at.rows(`drop owned by ${role}`).catch(() => {}),
          await at.rows(`drop role ${role}`).catch(() => {})
        ),
    );
    const url = new URL(at.url);
    [url.username, url.password] = [role, "secret"];
    await expect(at.open({ url: url.href })).rejects.toMatchObject({ refusal: "permission" });
    await (await at.open()).session.end(call());
    await at.rows(`grant usage on schema $schema to ${role}`);
    await at.rows(`grant select, insert, update, delete on all tables in schema $schema to ${role}`);
    await at.rows(`grant usage, select on all sequences in schema $schema to ${role}`);
    const { session, adapter } = await at.open({ url: url.href });
    const request = bid("x");
    await grant(session, request);
    expect(await session.prove(holding(request), call())).toMatchObject({ kind: "alive", lost: [] });
    expect(await adapter.read("x", call())).not.toBeNull();
    await session.end(call());
  });

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
