/** What `redis()` takes, and what it shows of it. */

import { InvalidOptionError } from "@elect/core/adapter";
import { describe, expect, test } from "vitest";
import { RedisAdapter } from "../src/adapter.ts";

describe("options", () => {
  test.each([
    ["redis://h/0?colour=red", "url"],
    ["redis://u:p%ZZ@h", "url"],
    ["http://h", "url"],
    ["redis://h1,h2", "url"],
    ["redis://h?namespace={x}", "namespace"],
    ["redis://h?maxTtl=soon", "maxTtl"],
    ["redis://h?durability=yes", "durability"],
    ["redis://h?waitReplicas=1", "wait"],
    ["redis://h?sentinel=", "sentinels"],
  ])("%s is refused", (bad, option) => {
    const make = (): unknown => new RedisAdapter(bad);
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(expect.objectContaining({ option }));
  });

  test.each([
    ["redis://u:secret@h", "redis://h:6379/0?namespace=default"],
    ["rediss://:secret@h:1/3?namespace=n", "rediss://h:1/3?namespace=n"],
    ["redis://[::1]:7", "redis://[::1]:7/0?namespace=default"],
    ["redis://u:secret@s1,s2:5?sentinel=main", "redis://main@s1:26379,s2:5/0?namespace=default"],
    ["redis://n1:1,n2?cluster=true", "redis://n1:1,n2:6379/0?namespace=default"],
  ])("%s is shown as %s", (given, shown) => {
    expect(new RedisAdapter(given).address).toBe(shown);
  });
});
