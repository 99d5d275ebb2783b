/** A5.4: what the driver cannot do is refused before anything is started. */

import { InvalidOptionError } from "@elect/core/adapter";
import * as zookeeper from "node-zookeeper-client";
import { describe, expect, test } from "vitest";
import { resolveOptions } from "../src/options.ts";

describe("A5.4 transport: options", () => {
  for (const [what, text, option] of [
    ["an IPv6 literal", "zookeeper://[::1]:2181", "url"],
    ["no host", "zookeeper:///chroot", "url"],
    ["a port that is none", "zookeeper://h1:99999", "url"],
    ["another scheme", "redis://h1", "url"],
    ["a parameter that means nothing", "zookeeper://h1/?ttl=3", "ttl"],
    ["an ACL that means nothing", "zookeeper://h1/?acl=mine", "acl"],
    ["a chroot with an empty segment", "zookeeper://h1/a//b", "chroot"],
    ["a namespace of two segments", "zookeeper://h1/?namespace=a/b", "namespace"],
    ["half an escape", "zookeeper://h1/%E0%A4%A", "url"],
  ] as const) {
    test(`refuse ${what}`, () => {
      expect(() => resolveOptions(text)).toThrow(InvalidOptionError);
      expect(() => resolveOptions(text)).toThrow(expect.objectContaining({ option }));
    });
  }

  test("take servers, chroot, credentials and namespace from a URL, and show no credentials", () => {
    const options = resolveOptions("zookeeper://us%40er:se%3Acret@h1,h2:2182/a/b?namespace=n&acl=open");
    expect(options).toMatchObject({ servers: "h1,h2:2182", chroot: "/a/b", namespace: "n" });
    expect(options.auth).toEqual([{ scheme: "digest", value: Buffer.from("us@er:se:cret") }]);
    expect(options.address).toBe("zookeeper://h1,h2:2182/a/b");
    expect(() => resolveOptions({ url: "zookeeper://user:secret@[::1]" })).toThrow(/^(?!.*secret)/);
  });

  test("take everything from a client of the user's, which is left alone", () => {
    const client = zookeeper.createClient("h1:2181,h2:2182/base", { sessionTimeout: 1_000 });
    client.addAuthInfo("digest", Buffer.from("user:secret"));
    const options = resolveOptions({ client });
    expect(options.servers.split(",").toSorted()).toEqual(["h1:2181", "h2:2182"]);
    expect(options).toMatchObject({ chroot: "/base", auth: [{ scheme: "digest" }] });
    expect(() => resolveOptions({ client: { getSessionTimeout: () => 0 } })).toThrow(InvalidOptionError);
    expect(() => resolveOptions({})).toThrow(InvalidOptionError);
  });
});
