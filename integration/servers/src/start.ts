// From a recipe to a server that answers.
import {
  GenericContainer,
  StartupCheckStrategy,
  type StartedTestContainer,
  type StartupStatus,
} from "testcontainers";
import type { Probe } from "./answers.ts";
import { imageOf, type ServerKind } from "./engine.ts";
import type { PeerNetwork } from "./peer-network.ts";
import { runId, runLabel } from "./run.ts";
import { containerRuntime, logsOf } from "./runtime.ts";
import { complaint, ContainerServer } from "./server.ts";

/** How to start one server. Commands and variables are those of the official images; the built image obeys them too. */
export interface Recipe {
  readonly kind: ServerKind;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Files in the container, by path. */
  readonly files?: Readonly<Record<string, string>>;
  /** The port that it listens on in its container. */
  readonly listens: number;
  /** The port on the host that leads there: fixed, so that a restarted server is found again. */
  readonly port: number;
  readonly url: string;
  readonly answers: Probe;
  /** A network that it shares with its peers, and its name there. */
  readonly peers?: { readonly network: PeerNetwork; readonly name: string };
  /** Lives in the network namespace of this container, which also publishes its port. */
  readonly inside?: string;
  /** Does not wait until it answers: members of a quorum answer together or not at all. */
  readonly unanswered?: boolean;
}

export async function startServer(recipe: Recipe): Promise<ContainerServer> {
  const container = new ServerContainer(await imageOf(recipe.kind))
    .withCommand([...recipe.command])
    .withEnvironment({ ...recipe.environment })
    .withLabels({ [runLabel]: runId(), "org.elect.server": recipe.kind })
    .withCopyContentToContainer(
      Object.entries(recipe.files ?? {}).map(([target, content]) => ({ target, content, mode: 0o644 })),
    )
    .withWaitStrategy(new Running());
  if (recipe.inside === undefined) {
    container.withExposedPorts({ container: recipe.listens, host: recipe.port });
  } else {
    container.withNetworkMode(`container:${recipe.inside}`);
  }
  if (recipe.peers) {
    container.withNetworkMode(recipe.peers.network.name).withNetworkAliases(recipe.peers.name);
  }
  const server = new ContainerServer(
    recipe.url,
    recipe.port,
    await container.startOr(recipe.url),
    recipe.answers,
  );
  if (recipe.unanswered !== true) await untilItAnswers(server);
  return server;
}

async function untilItAnswers(server: ContainerServer): Promise<void> {
  try {
    await server.untilItAnswers();
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Publishes its ports on the loopback interface only: test servers have weak passwords or none. */
export class ServerContainer extends GenericContainer {
  #id: string | null = null;

  /** Starts it, or says why its server does not serve, and removes it. */
  async startOr(url: string): Promise<StartedTestContainer> {
    const { container: engine } = await containerRuntime();
    try {
      return await this.start();
    } catch (error) {
      if (this.#id === null) throw error;
      const container = engine.getById(this.#id);
      // One that ends at once has no ports by the time Testcontainers looks for them, which is all that it says then.
      const { Running } = (await container.inspect()).State;
      const said = await logsOf(container);
      await container.remove({ force: true, v: true });
      throw Running ? error : complaint(url, "ended instead of serving", said);
    }
  }

  protected override async containerCreated(id: string): Promise<void> {
    this.#id = id;
  }

  protected override async beforeContainerCreated(): Promise<void> {
    const published = (this.hostConfig.PortBindings ?? {}) as Record<string, { HostIp?: string }[]>;
    for (const binding of Object.values(published).flat()) binding.HostIp = "127.0.0.1";
  }
}

/** Testcontainers need not wait: we ask the server itself, from outside, where its clients are. */
export class Running extends StartupCheckStrategy {
  override async checkStartupState(): Promise<StartupStatus> {
    return "SUCCESS";
  }
}

/** Starts the parts of a topology side by side. When one fails, the others are stopped before the error is reported. */
export async function startAll<T extends AsyncDisposable>(
  parts: AsyncDisposableStack,
  starting: readonly Promise<T>[],
): Promise<T[]> {
  const outcomes = await Promise.allSettled(starting);
  const started = outcomes.flatMap((outcome) =>
    outcome.status === "fulfilled" ? parts.use(outcome.value) : [],
  );
  const failure = outcomes.find((outcome) => outcome.status === "rejected");
  if (failure) throw failure.reason;
  return started;
}
