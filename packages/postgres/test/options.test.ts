/** What `postgres()` takes and refuses, and what a server refuses. */

import { RefusedError } from "@elect/core/adapter";
import { describe, expect, test } from "vitest";
import { PostgresAdapter } from "../src/adapter.ts";
import { postgres } from "../src/index.ts";
import { call, Heard, nonce, sharedServer, Store } from "./support.ts";

const server = await sharedServer();
const store = async (): Promise<Store> => Store.on(server.url);

describe("options", () => {
  const secret = "h%40rd-to-guess";
  test.each([
    ["an unknown parameter", `postgres://u:${secret}@h/d?ttl=5`, "ttl"],
    ["several hosts", `postgres://u:${secret}@h1,h2/d`, "url"],
    ["several hosts with ports", `postgres://u:${secret}@h1:1,h2:2/d`, "url"],
    ["another store", `mysql://u:${secret}@h/d`, "url"],
    ["a schema that PostgreSQL would cut", `postgres://u:${secret}@h/d?schema=${"s".repeat(64)}`, "schema"],
    ["an unknown way to take over", `postgres://u:${secret}@h/d?takeover=force`, "takeover"],
  ])("%s is refused, without a word about the password", (_, url, option) => {
    let refused: unknown;
    try {
      postgres(url);
    } catch (error) {
      refused = error;
    }
    expect(refused).toMatchObject({ code: "ELECT_INVALID_OPTION", option });
    expect(String(refused)).not.toContain("rd-to-guess");
  });

  test.each([
    [`postgres://u:${secret}@db.example:6000/app`, "postgres://db.example:6000/app"],
    [`postgresql://u:${secret}@[::1]/app?schema=of%20mine`, "postgres://[::1]:5432/app?schema=of%20mine"],
    [
      `postgres:///app?host=/run/postgresql&user=u&password=${secret}`,
      "postgres:///app?host=/run/postgresql",
    ],
  ])("the address of %s", (url, address) => {
    expect(postgres(url).address).toBe(address);
  });

  test("a wrong password is refused, and not repeated in the message", async () => {
    const at = await store();
    const url = new URL(at.url);
    url.password = "wrong-password";
    const failure: unknown = await at.open({ url: url.href }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(RefusedError);
    expect(failure).toMatchObject({ refusal: "credentials" });
    expect(String(failure)).not.toContain("wrong-password");
  });

  test("a server that is not there is an unknown outcome, to be tried again", async () => {
    const adapter = new PostgresAdapter("postgres://u:p@127.0.0.1:1/postgres");
    const failure: unknown = await adapter
      .open({ ttlMs: 1500, nonce: nonce(), events: new Heard() }, call())
      .catch((error: unknown) => error);
    expect(failure).not.toBeInstanceOf(RefusedError);
  });
});
