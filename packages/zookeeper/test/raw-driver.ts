/** The driver as it is, next to a link of ours, on the same fake server. */

import { once } from "node:events";
import { onTestFinished } from "vitest";
import type { Link } from "../src/client.ts";
import type { FakeServer } from "./fake-server.ts";
import { makeLink, zookeeper } from "./support.ts";

interface Inside extends NodeJS.EventEmitter {
  connectionManager: {
    onSocketData(chunk: Buffer): void;
    socket?: { destroy(): void };
    packetQueue: { queue: unknown[] };
    pendingBuffer: Buffer | null;
  };
}

type Raw = zookeeper.Client & Inside;

/** The driver as it is. What it throws in its socket handler, and would end the process, is collected instead. */
export async function raw(port: number): Promise<{ client: Raw; thrown: Error[] }> {
  const client = zookeeper.createClient(`127.0.0.1:${port}`, { sessionTimeout: 4_000 }) as Raw;
  const thrown: Error[] = [];
  const manager = client.connectionManager;
  const original = manager.onSocketData;
  manager.onSocketData = function (chunk) {
    try {
      original.call(manager, chunk);
    } catch (error) {
      thrown.push(error as Error);
    }
  };
  onTestFinished(() => {
    (manager as { connect?: () => void }).connect = () => {};
    manager.socket?.destroy();
  });
  client.connect();
  await once(client, "connected");
  return { client, thrown };
}

/** A link that tells what it hears. */
export function guarded(fake: FakeServer, heard: string[] = []): Link {
  const link = makeLink(
    fake.url,
    {
      connected: (first) => void heard.push(first ? "connected" : "reconnected"),
      disconnected: () => void heard.push("disconnected"),
      ended: (reason) => void heard.push(`ended: ${reason.message}`),
    },
    4_000,
  );
  onTestFinished(() => link.abandon());
  return link;
}
