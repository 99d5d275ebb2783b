/** Users, roles, tokens and TLS; the numbers are those of the hazard list. */

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { bid, call, eventually, ownServer, pass, store, tokenOf } from "./support.ts";

const run = promisify(execFile);

async function guarded(ttlSeconds: number) {
  const own = await ownServer(["--auth-token=simple", `--auth-token-ttl=${ttlSeconds}`]);
  const root = { username: "root", password: "of-all-evil" };
  await own.client.role("root").create();
  await own.client.user("root").create(root.password);
  await own.client.user("root").addRole("root");
  const role = await own.client.role("elections").create();
  await role.grant({ permission: "Readwrite", range: own.client.range({ prefix: "elect-test-" }) });
  for (const [name, roles] of [
    ["alice", ["elections"]],
    ["mallory", []],
  ] as const) {
    const user = await own.client.user(name).create("sesame");
    for (const given of roles) await user.addRole(given);
  }
  await own.client.auth.authEnable();
  return { ...own, etcd: store(own.hosts, { auth: root }) };
}

test("ET-11: a token that runs out is renewed within the call, and watches go on with the new one", async () => {
  const { etcd } = await guarded(1);
  const alice = { username: "alice", password: "sesame" };
  const [a, b] = [await etcd.process(alice), await etcd.process(alice)];
  const [first, second] = [bid("a"), bid("a")];
  tokenOf(await a.claim(first));
  await pass(2_500);
  expect(await a.prove(first), "with a stale token").toMatchObject({ kind: "alive", lost: [] });
  expect(await b.claim(second)).toMatchObject({ kind: "held" });
  expect(await b.prove()).toMatchObject({ kind: "alive" });
  await a.session.release([first], call());
  await b.heard.next("hint a");
  tokenOf(await b.claim(second));
});

test("ET-11, G-25: a missing right, a wrong password and no password are refused with what to do", async () => {
  const { etcd } = await guarded(300);
  const refusal = async (options: object) => {
    const failure: unknown = await etcd.process(options).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "ELECT_REFUSED" });
    expect(String(failure)).not.toContain("sesame");
    return String(failure);
  };
  expect(await refusal({ username: "mallory", password: "sesame" })).toMatch(/permission denied.*readwrite/);
  expect(await refusal({ username: "alice", password: "sesame2" })).toMatch(
    /authentication failed.*password/,
  );
  expect(await refusal({})).toMatch(/user name is empty.*password/);
});

test("ET-11: a right that is withdrawn refuses proofs; a new list of users does not", async () => {
  const { etcd } = await guarded(300);
  const a = await etcd.process({ username: "alice", password: "sesame" });
  await etcd.etcd.user("bob").create("sesame");
  expect(await a.prove(), "the auth store's revision has moved").toMatchObject({ kind: "alive" });
  await etcd.etcd.user("alice").removeRole("elections");
  await expect(a.prove()).rejects.toMatchObject({ code: "ELECT_REFUSED", refusal: "permission" });
});

test("a password for a server that asks for none is not needed, and does no harm", async () => {
  const etcd = store();
  const a = await etcd.process({ username: "alice", password: "sesame" });
  expect(await a.prove()).toMatchObject({ kind: "alive" });
});

test("TLS, with and without a certificate of our own", async (context) => {
  const pem = await certificates().catch(() => null);
  if (pem === null) return context.skip("there is no openssl to make certificates with");
  const files = { "/tls/ca.pem": pem.ca, "/tls/cert.pem": pem.cert, "/tls/key.pem": pem.key };
  const secure = ["--cert-file=/tls/cert.pem", "--key-file=/tls/key.pem"];
  const { hosts } = await ownServer(
    [...secure, "--trusted-ca-file=/tls/ca.pem", "--client-cert-auth"],
    files,
  );
  const etcd = store(hosts, {
    credentials: {
      rootCertificate: Buffer.from(pem.ca),
      certChain: Buffer.from(pem.cert),
      privateKey: Buffer.from(pem.key),
    },
    hosts: `https://${hosts}`,
  });
  await eventually(
    "it answers",
    async () => (await etcd.etcd.maintenance.status().catch(() => null)) !== null,
  );
  const a = await etcd.process({ tls: { ca: pem.ca, cert: pem.cert, key: pem.key } });
  expect(a.adapter.address).toBe(`etcds://${hosts}`);
  expect(await a.prove()).toMatchObject({ kind: "alive" });
  await expect(etcd.process({ tls: { ca: pem.ca } })).rejects.toThrow(/etcd at/);
});

async function certificates(): Promise<{ ca: string; cert: string; key: string }> {
  const folder = await mkdtemp(join(tmpdir(), "elect-tls-"));
  const openssl = async (line: string) => run("openssl", line.split(" "), { cwd: folder });
  const extensions = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n";
  const fresh = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
  try {
    await writeFile(join(folder, "extensions"), extensions);
    await openssl(`req -x509 ${fresh} -days 1 -subj /CN=elect-ca -keyout ca.key -out ca.pem`);
    await openssl(`req ${fresh} -subj /CN=127.0.0.1 -keyout key.pem -out csr.pem`);
    await openssl(
      "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile extensions -out cert.pem",
    );
    const read = async (name: string) => readFile(join(folder, name), "utf8");
    return { ca: await read("ca.pem"), cert: await read("cert.pem"), key: await read("key.pem") };
  } finally {
    await rm(folder, { recursive: true });
  }
}
