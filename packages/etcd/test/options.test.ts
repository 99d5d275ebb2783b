/** What is taken, and what is refused with what to do. */

import { connect } from "@elect/core";
import { InvalidOptionError } from "@elect/core/adapter";
import { Etcd3 } from "etcd3";
import { describe, expect, onTestFinished, test } from "vitest";
import { capabilities, EtcdAdapter } from "../src/adapter.ts";
import { etcd, fromUrl } from "../src/index.ts";
import type { Link } from "../src/link.ts";
import { optionsOfUrl, resolveOptions } from "../src/options.ts";
import { checkVersion, warningsOf } from "../src/warnings.ts";

describe("hosts and credentials", () => {
  test("from a URL, decoded, with the default port; none of them in the address", () => {
    const settings = resolveOptions(optionsOfUrl("etcd://al%3Aice:s%40same@h1,h2:2380/?namespace=mine"));
    expect(settings).toMatchObject({
      hosts: ["h1:2379", "h2:2380"],
      user: { name: "al:ice", password: "s@same" },
      namespace: "mine",
      certificates: null,
      address: "etcd://h1:2379,h2:2380",
    });
  });

  test("with TLS by scheme, by option, or by host", () => {
    expect(resolveOptions(optionsOfUrl("etcds://h1")).certificates).not.toBeNull();
    expect(resolveOptions({ hosts: "h1", tls: true }).address).toBe("etcds://h1:2379");
    expect(resolveOptions({ hosts: ["https://h1:1", "https://[::1]:2"] }).hosts).toEqual(["h1:1", "[::1]:2"]);
    const tls = { ca: "ca", cert: "cert", key: "key" };
    expect(resolveOptions({ hosts: "h1", tls }).certificates).toEqual({
      rootCertificate: Buffer.from("ca"),
      certChain: Buffer.from("cert"),
      privateKey: Buffer.from("key"),
    });
  });

  test("from a client of the user's", () => {
    const client = new Etcd3({
      hosts: ["http://h1:2379", "http://h2:2379"],
      auth: { username: "alice", password: "sesame" },
      grpcOptions: { "grpc.primary_user_agent": "us" },
    });
    onTestFinished(() => client.close());
    expect(resolveOptions({ client })).toMatchObject({
      hosts: ["h1:2379", "h2:2379"],
      user: { name: "alice", password: "sesame" },
      channel: { "grpc.primary_user_agent": "us" },
      namespace: "elect",
    });
    expect(() => resolveOptions({ client, hosts: "h3" })).toThrow(/either/);
  });

  test.each([
    "etcd://",
    "etcd:h1",
    "http://h1:2379",
    "etcd://h1/path",
    "etcd://h1?nmaespace=x",
    "etcd://h1?ca=/x",
    "etcds://h1?ca=/nowhere",
    "etcd://h1:0",
    "etcd://h1:99999",
    "etcd://h1,,h2",
    "etcd://alice:sesame@h1:x",
    "etcd://%zz@h1",
    "etcd://h1?namespace=",
    "etcd://h1?namespace=a%20b",
  ])("%s is an invalid option, and says nothing of credentials", (url) => {
    let failure: unknown = null;
    try {
      fromUrl(url);
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(InvalidOptionError);
    expect(String(failure)).not.toMatch(/sesame|alice/);
  });

  test("that contradict each other are refused", () => {
    expect(() => etcd({ hosts: ["h1", "https://h2"] })).toThrow(/all hosts are https/);
    expect(() => etcd({ username: "alice" })).toThrow(/together/);
    expect(() => etcd({ tls: { cert: "x" } })).toThrow(/together/);
    expect(() => etcd({ client: { close() {}, watch: () => ({}) } })).toThrow(/not an Etcd3/);
  });

  test("connect() finds the package by the scheme", async () => {
    const backend = await connect("etcd://alice:sesame@h1");
    expect(backend).toMatchObject({ kind: "etcd", address: "etcd://h1:2379", capabilities });
    await backend.close();
    expect(new EtcdAdapter(resolveOptions({})).address).toBe("etcd://127.0.0.1:2379");
  });
});

describe("versions", () => {
  const at = (version: string, errors: string[] = []) =>
    ({ member: "m:1", status: { version, errors } }) as unknown as Link;

  test.each([
    ["3.4.20", 3],
    ["3.4.42", 0],
    ["3.5.16", 2],
    ["3.5.28", 0],
    ["3.6.8", 1],
    ["3.6.9", 0],
    ["3.7.0-alpha.0", 0],
  ])("%s has %i known faults", (version, count) => {
    expect(warningsOf(at(version))).toHaveLength(count);
    expect(() => checkVersion(at(version))).not.toThrow();
  });

  test("before 3.4 are refused; alarms are passed on", () => {
    expect(() => checkVersion(at("3.3.27"))).toThrow(/3\.3\.27; Elect needs 3\.4\.0/);
    expect(warningsOf(at("3.7.1", ["memberID:1 alarm:NOSPACE"]))[0]).toContain("NOSPACE");
  });
});
