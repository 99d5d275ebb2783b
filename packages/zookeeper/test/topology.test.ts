/** Three servers, and what becomes of elections when some of them are cut off, killed or stopped. */

import { connect as dial } from "node:net";
import { text } from "node:stream/consumers";
import { createElection, type Backend, type Election, type Term } from "@elect/core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startZookeeperEnsemble, type ZookeeperEnsemble } from "../../../integration/servers/src/index.ts";
import type { Server } from "../../../integration/servers/src/server.ts";
import { ZooKeeperAdapter } from "../src/adapter.ts";
import { Link } from "../src/client.ts";
import { zookeeper as backendOn } from "../src/index.ts";
import { resolveOptions } from "../src/options.ts";
import { Paths } from "../src/paths.ts";
import { readTicket } from "../src/session.ts";
import { call, Heard, makeLink, namespace, nonce } from "./support.ts";

const ttl = 2_000;
/** Followers notice after ten ticks of half a second that they are cut off: much later than sessions end. */
const slack = 20_000;

let ensemble: ZookeeperEnsemble;
beforeAll(async () => {
  ensemble = await startZookeeperEnsemble({ tickTime: 500, syncLimit: 10 });
}, 120_000);
afterAll(async () => ensemble.stop(), 60_000);

interface Candidate {
  readonly election: Election;
  readonly backend: Backend;
  readonly terms: Term[];
  /** Its next term. */
  next(): Promise<Term>;
}

/** Two candidates of one election. Whenever both believe to lead, the test fails. */
function candidates(urls: readonly string[]): Candidate[] {
  const own = namespace();
  const all = urls.map((url): Candidate => {
    const backend = backendOn(`${url}/?namespace=${own}`);
    const election = createElection({ backend, name: "a", ttl, drainTimeout: 200 });
    const terms: Term[] = [];
    return {
      election,
      backend,
      terms,
      async next() {
        const term = await election.campaign({ signal: AbortSignal.timeout(60_000) });
        terms.push(term);
        return term;
      },
    };
  });
  let overlaps = 0;
  const watch = setInterval(() => {
    const valid = all.flatMap(({ terms }) => terms.filter((term) => term.isValid()));
    if (valid.length > 1) overlaps += 1;
  }, 1);
  onTestFinished(async () => {
    clearInterval(watch);
    await Promise.all(all.map(({ backend }) => backend.close()));
    expect(overlaps).toBe(0);
  });
  return all;
}

async function modeOf({ port }: Server): Promise<string> {
  const socket = dial(port, "127.0.0.1");
  socket.end("srvr");
  return /Mode: (\w+)/.exec(await text(socket).catch(() => ""))?.[1] ?? "none";
}

async function serverThat(mode: "leader" | "follower"): Promise<Server> {
  let found: Server | undefined;
  await expect
    .poll(
      async () => {
        const modes = await Promise.all(ensemble.servers.map(modeOf));
        found = ensemble.servers[modes.indexOf(mode)];
        return modes.filter((each) => each !== "none").length;
      },
      { timeout: slack, interval: 100 },
    )
    .toBe(3);
  return found!;
}

const ended = (term: Term): Promise<void> =>
  new Promise((resolve) => {
    if (term.signal.aborted) resolve();
    else term.signal.addEventListener("abort", () => resolve(), { once: true });
  });

describe("an ensemble of three", { timeout: 120_000 }, () => {
  test("ZK-2: a leader whose server is cut off from the ensemble, and goes on answering, steps down first", async () => {
    const follower = await serverThat("follower");
    const [a, b] = candidates([follower.url, ensemble.url]);
    const lost = await a!.next();
    const successor = b!.next();
    // A client of the cut-off server that only reads, as naive ones do.
    const naive = makeLink(follower.url, undefined, 1_000);
    await naive.during(call(), (wire) => wire.read("/"));
    await ensemble.peers.isolate(follower);
    try {
      const next = await successor;
      expect(lost.isValid()).toBe(false);
      expect(next.token).toBeGreaterThan(lost.token);
      // The hazard: reads are answered long after the session's end.
      expect(await naive.during(call(), (wire) => wire.read("/"))).not.toBeNull();
      await next.resign();
    } finally {
      naive.abandon();
      await ensemble.peers.rejoin(follower);
      await serverThat("leader");
    }
  });

  test("ZK-5, ZK-8: the server of a session is killed: the session goes on at another, and so does the term", async () => {
    const [a] = candidates([ensemble.url]);
    const victim = await serverThat("follower");
    const [through] = candidates([`${victim.url},${ensemble.url.replace("zookeeper://", "")}`]);
    const term = await a!.next();
    await victim.kill();
    const other = await through!.next();
    await expect.poll(() => a!.election.state, { timeout: ttl }).toBe("leading");
    expect(term.isValid()).toBe(true);
    await other.resign();
    await term.resign();
    await victim.restart();
  });

  test("ZK-8: the ensemble's leader is killed: nobody leads twice, and somebody leads again", async () => {
    const [a, b] = candidates([ensemble.url, ensemble.url]);
    const term = await a!.next();
    const second = b!.next();
    const leader = await serverThat("leader");
    await leader.kill();
    // The new leader gives every session its full timeout again: the term lives or its successor begins.
    await Promise.race([second, ended(term), new Promise((resolve) => setTimeout(resolve, 3 * ttl))]);
    if (!term.signal.aborted) await term.resign();
    expect((await second).token).toBeGreaterThan(term.token);
    await leader.restart();
  });

  test("ZK-7, ZK-8: no quorum for longer than the TTL: the leader steps down, nobody leads twice, later somebody leads", async () => {
    const [a, b] = candidates([ensemble.url, ensemble.url]);
    const term = await a!.next();
    const second = b!.next();
    await Promise.all(ensemble.servers.map((server) => server.kill()));
    await ended(term);
    const again = a!.next();
    await Promise.all(ensemble.servers.map((server) => server.restart()));
    const next = await Promise.race([second, again]);
    expect(next.token).toBeGreaterThan(term.token);
    await next.resign();
    const last = await (a!.terms.includes(next) ? second : again);
    expect(last.token).toBeGreaterThan(next.token);
  });

  test("ZK-16: a session that somebody else goes on with at another server: our request fails, a proof decides", async () => {
    const [one, other] = ensemble.servers;
    const paths = new Paths("", namespace());
    const adapter = (server: Server): ZooKeeperAdapter =>
      new ZooKeeperAdapter(resolveOptions({ url: server.url, namespace: paths.base.slice(1) }));
    const heard = new Heard();
    const session = await adapter(one!).open({ ttlMs: 10_000, nonce: nonce(), events: heard }, call());
    onTestFinished(() => session.abandon());
    const thief = new Link(
      resolveOptions(other!.url),
      10_000,
      { connected() {}, disconnected() {}, ended() {} },
      readTicket(session.ticket)!.session,
    );
    onTestFinished(() => thief.abandon());
    await thief.during(call(), (wire) => wire.setData(paths.sessions, Buffer.alloc(0)));
    const proof = session.prove(new Map(), call());
    await expect(proof).rejects.toThrow(/No connection|session moved|-118/);
    await heard.next("doubt");
    // It was moved, not ended: the next connection takes it back.
    await expect(session.prove(new Map(), call())).resolves.toMatchObject({ kind: "alive" });
    await session.end(call());
  });

  test("ZK-8: a server that is stopped for longer than the TTL and goes on disturbs nobody", async () => {
    const follower = await serverThat("follower");
    const [a, b] = candidates([follower.url, ensemble.url]);
    const lost = await a!.next();
    const successor = b!.next();
    await follower.pause();
    const next = await successor;
    expect(lost.isValid()).toBe(false);
    await follower.unpause();
    const again = a!.next();
    await next.resign();
    expect((await again).token).toBeGreaterThan(next.token);
  });
});
