// A container that does nothing but hold a network namespace and publish its ports. Servers that live in it can be
// killed and started again one by one; an address on the loopback interface means the same to them and to the host.
import { imageOf, type ServerKind } from "./engine.ts";
import { runId, runLabel } from "./run.ts";
import { Running, ServerContainer } from "./start.ts";

export interface Namespace extends AsyncDisposable {
  readonly id: string;
}

export async function startNamespace(kind: ServerKind, ports: readonly number[]): Promise<Namespace> {
  const container = await new ServerContainer(await imageOf(kind))
    .withCommand(["sleep", "infinity"])
    .withLabels({ [runLabel]: runId(), "org.elect.server": "namespace" })
    .withExposedPorts(...ports.map((port) => ({ container: port, host: port })))
    .withWaitStrategy(new Running())
    .start();
  return {
    id: container.getId(),
    async [Symbol.asyncDispose]() {
      await container.stop();
    },
  };
}
