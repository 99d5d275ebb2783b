// The network on which the servers of a topology talk to each other. Clients come in by another way (the published
// ports), so a member can be cut off from its peers and still be talked to: the partition that breaks naive clients.
import { randomBytes } from "node:crypto";
import { imageOf, type ServerKind } from "./engine.ts";
import { runId, runLabel } from "./run.ts";
import { containerRuntime } from "./runtime.ts";
import type { Server } from "./server.ts";

export interface PeerNetwork extends AsyncDisposable {
  readonly name: string;
  /** Cuts a member off from its peers, silently: its connections to them stay open and deliver nothing. */
  isolate(member: Server): Promise<void>;
  /** Lets it come back, by its old name. */
  rejoin(member: Server): Promise<void>;
}

/** For servers of this kind: a topology's network is the first thing it asks of the engine. */
export async function createPeerNetwork(kind: ServerKind): Promise<PeerNetwork> {
  await imageOf(kind);
  const client = await containerRuntime();
  const name = `elect-${runId()}-${randomBytes(3).toString("hex")}`;
  const network = await client.network.create({
    Name: name,
    // No way out, so that it never becomes the one through which a container's ports are published.
    Internal: true,
    Labels: { [runLabel]: runId() },
  });
  const names = new Map<Server, string[]>();
  return {
    name,
    async isolate(member) {
      const container = client.container.getById(member.container.getId());
      const endpoint = (await container.inspect()).NetworkSettings.Networks[name] as {
        Aliases?: string[] | null;
      };
      names.set(member, endpoint.Aliases ?? []);
      await network.disconnect({ Container: container.id, Force: true });
    },
    async rejoin(member) {
      const Aliases = names.get(member) ?? [];
      await network.connect({ Container: member.container.getId(), EndpointConfig: { Aliases } });
    },
    async [Symbol.asyncDispose]() {
      await network.remove();
    },
  };
}
