import { createServer } from "node:net";

// Below the range that Linux and macOS hand out to outgoing connections: a server that is down must find its port free
// when it comes back, and so must its clients. A Redis Cluster also listens 10,000 above.
const first = 20_000;
const last = 32_700;
const given = new Set<number>();

/** Ports of the loopback interface that nobody listens on, each given once per process. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = first + Math.floor(Math.random() * (last - first));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    ports.push(port);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  return new Promise((answer) => {
    const probe = createServer()
      .once("error", () => answer(false))
      .listen(port, "127.0.0.1", () => probe.close(() => answer(true)));
  });
}
