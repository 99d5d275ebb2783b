// Every server starts, answers its driver, keeps its disk over a crash, is found again at the same URL, and is gone
// in the end.
import { expect, test, vi } from "vitest";
import {
  startEtcd,
  startPostgres,
  startRedis,
  startValkey,
  startZookeeper,
  type Server,
} from "../src/index.ts";
import { createPeerNetwork } from "../src/peer-network.ts";
import { containerRuntime } from "../src/runtime.ts";
import { etcdDriver, postgresDriver, redisDriver, zookeeperDriver, type Driver } from "./drivers.ts";
import { leftovers } from "./leftovers.ts";

const servers: { name: string; start: () => Promise<Server>; driver: Driver }[] = [
  { name: "Redis", start: async () => startRedis({ appendonly: "always" }), driver: redisDriver },
  { name: "Valkey", start: async () => startValkey({ appendonly: "always" }), driver: redisDriver },
  { name: "PostgreSQL", start: async () => startPostgres(), driver: postgresDriver },
  { name: "etcd", start: async () => startEtcd(), driver: etcdDriver },
  { name: "ZooKeeper", start: async () => startZookeeper(), driver: zookeeperDriver },
];

for (const { name, start, driver } of servers) {
  test(`${name} starts, is killed, comes back with its disk, freezes and thaws, and is gone when stopped`, async () => {
    const before = leftovers();
    {
      await using server = await start();
      expect(await driver.keep(server.url, "first")).toBe("first");

      await server.kill();
      await server.restart();
      expect(await driver.keep(server.url, "second")).toBe("first");

      await server.pause();
      const kept = driver.keep(server.url, "third");
      const inTime = await Promise.race([kept, new Promise((late) => setTimeout(late, 300, "nothing"))]);
      expect(inTime).toBe("nothing");
      await server.unpause();
      expect(await kept).toBe("first");

      // A running server is restarted by a crash, too.
      await server.restart();
      expect(await driver.keep(server.url, "fourth")).toBe("first");
    }
    expect(leftovers()).toEqual(before);
  });
}

test("a server that cannot start says why, and leaves nothing behind", async () => {
  const before = leftovers();
  await expect(startRedis({ args: ["--no-such-option", "1"] })).rejects.toThrow(/no-such-option/);
  expect(leftovers()).toEqual(before);
});

test("also one that has ended before its ports could be seen", async () => {
  const before = leftovers();
  const { container } = await containerRuntime();
  using _ = vi.spyOn(container, "start").mockImplementation(async (created) => {
    await created.start();
    await created.wait();
  });
  await expect(startRedis({ args: ["--no-such-option", "1"] })).rejects.toThrow(/no-such-option/);
  expect(leftovers()).toEqual(before);
});

test("nothing is asked of an engine that has not been made ready, and a topology makes it ready first", async () => {
  vi.stubEnv("ELECT_TEST_ENGINE_READY", undefined);
  try {
    await expect(containerRuntime()).rejects.toThrow(/not been made ready/);
    await using network = await createPeerNetwork("redis");
    expect(network.name).toContain("elect-");
  } finally {
    vi.unstubAllEnvs();
  }
});

test("a URL in the environment wins over a container, and its server comes to no harm", async () => {
  process.env["ELECT_TEST_REDIS_URL"] = "rediss://user:pass@redis.example:6390/2";
  try {
    await using server = await startRedis();
    expect(server).toMatchObject({
      url: "rediss://user:pass@redis.example:6390/2",
      port: 6390,
      owned: false,
    });
    await expect(server.kill()).rejects.toThrow("ELECT_TEST_REDIS_URL");
    await expect(server.restart()).rejects.toThrow("Unset");
  } finally {
    delete process.env["ELECT_TEST_REDIS_URL"];
  }
});
