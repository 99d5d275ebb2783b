import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openFaultProxy, type FaultProxy } from "../src/fault-proxy.ts";
import { eventually, pass, within } from "../src/wait.ts";

/** Answers every chunk with "re:" and the chunk, and remembers what it was sent. */
class EchoServer {
  readonly received: string[] = [];
  readonly sockets = new Set<Socket>();
  ends = 0;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on("data", (bytes) => {
        this.received.push(bytes.toString());
        if (socket.writable) socket.write(`re:${bytes.toString()}`);
      });
      socket.on("end", () => (this.ends += 1));
      socket.on("error", () => {});
      socket.on("close", () => this.sockets.delete(socket));
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

/** A client that keeps what it hears. */
class Client {
  readonly heard: string[] = [];
  readonly socket: Socket;
  ended = false;
  failure: NodeJS.ErrnoException | null = null;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.socket.on("data", (bytes) => this.heard.push(bytes.toString()));
    this.socket.on("end", () => (this.ended = true));
    this.socket.on("error", (error) => (this.failure = error));
  }

  async ask(text: string): Promise<string> {
    const answers = this.heard.length;
    this.socket.write(text);
    return eventually(2000, `an answer to ${text}`, () => this.heard[answers]);
  }

  async closed(): Promise<void> {
    await eventually(2000, "the client's socket closes", () => this.socket.closed);
  }
}

let server: EchoServer;
let proxy: FaultProxy;
let clients: Client[];

beforeEach(async () => {
  server = new EchoServer();
  proxy = await openFaultProxy({ host: "127.0.0.1", port: await server.listen() });
  clients = [];
});

afterEach(async () => {
  for (const client of clients) client.socket.destroy();
  await proxy.close();
  server.close();
});

function client(): Client {
  const made = new Client(proxy.port);
  clients.push(made);
  return made;
}

/** Time enough for bytes that would pass to pass. */
const aMoment = 80;

describe("fault proxy", () => {
  test("passes bytes and ends both ways", async () => {
    const a = client();
    expect(await a.ask("hello")).toBe("re:hello");
    a.socket.end();
    await a.closed();
    await eventually(2000, "the proxy forgets the connection", () => proxy.connections.length === 0);
    expect(server.ends).toBe(1);
    expect(proxy.opened).toBe(1);
  });

  test("silence: nothing passes, nothing is closed, and all of it arrives after healing", async () => {
    const a = client();
    await a.ask("1");
    proxy.silence();
    a.socket.write("2");
    const late = client();
    late.socket.write("3");
    await pass(aMoment);
    expect(server.received).toEqual(["1"]);
    expect([a.ended, a.failure, late.ended, late.failure]).toEqual([false, null, false, null]);
    proxy.heal();
    await eventually(2000, "both arrive", () => server.received.length === 3);
    await eventually(2000, "both are answered", () => a.heard.length === 2 && late.heard.length === 1);
  });

  test("one-way silence: requests are applied, replies are not heard, or the reverse", async () => {
    const a = client();
    await a.ask("1");
    proxy.silence("down");
    a.socket.write("2");
    await eventually(2000, "the request arrives", () => server.received.length === 2);
    await pass(aMoment);
    expect(a.heard).toEqual(["re:1"]);
    proxy.heal();
    await eventually(2000, "the reply arrives", () => a.heard.length === 2);
    proxy.silence("up");
    a.socket.write("3");
    for (const socket of server.sockets) socket.write("news");
    await eventually(2000, "the news arrives", () => a.heard.length === 3);
    expect(server.received).toEqual(["1", "2"]);
  });

  test("the server's death is not seen through a silent link", async () => {
    const a = client();
    await a.ask("1");
    proxy.silence();
    for (const socket of server.sockets) socket.destroy();
    await pass(aMoment);
    expect([a.ended, a.failure]).toEqual([false, null]);
    proxy.heal();
    await a.closed();
  });

  test("held bytes are delivered although the client is gone: a late ghost", async () => {
    const a = client();
    await a.ask("1");
    const trigger = proxy.once(({ bytes }) => bytes.includes("claim"), "hold");
    a.socket.write("claim");
    const { connection } = await within(2000, "the claim passes", trigger.seen);
    a.socket.destroy();
    await a.closed();
    await pass(aMoment);
    expect(server.received).toEqual(["1"]);
    connection.heal();
    await eventually(2000, "the claim arrives late", () => server.received.includes("claim"));
    expect(server.ends).toBe(0);
    await eventually(2000, "then the end follows", () => server.ends === 1);
    await eventually(2000, "the proxy forgets the connection", () => proxy.connections.length === 0);
  });

  test("cut-after: the request is applied, its reply is lost, the connection is reset", async () => {
    const a = client();
    await a.ask("1");
    const trigger = proxy.cutAfter(2);
    expect(await a.ask("2")).toBe("re:2");
    a.socket.write("3");
    await within(2000, "the cut", trigger.seen);
    await a.closed();
    expect(server.received).toEqual(["1", "2", "3"]);
    expect(a.heard).toEqual(["re:1", "re:2"]);
    expect(a.failure?.code).toBe("ECONNRESET");
    expect(await client().ask("4")).toBe("re:4");
  });

  test("cut: the request never reaches the server", async () => {
    const a = client();
    await a.ask("1");
    proxy.once(({ bytes }) => bytes.includes("2"), "cut");
    a.socket.write("2");
    await a.closed();
    expect(server.received).toEqual(["1"]);
  });

  test("refuse: present and new connections are reset until healing", async () => {
    const a = client();
    await a.ask("1");
    proxy.refuse();
    await a.closed();
    await client().closed();
    proxy.heal();
    expect(await client().ask("2")).toBe("re:2");
  });

  test("a server that is not there resets the client", async () => {
    server.close();
    const a = client();
    await a.closed();
    expect(a.failure?.code).toBe("ECONNRESET");
  });

  test("half close: the server hears the end while the client stays connected", async () => {
    const a = client();
    await a.ask("1");
    proxy.halfClose("up");
    await eventually(2000, "the server hears the end", () => server.ends === 1);
  });

  test("slow: chunks arrive late, in order, and through a narrow link", async () => {
    const a = client();
    await a.ask("1");
    proxy.slow({ delayMs: 60, jitterMs: 40 });
    const before = performance.now();
    for (const text of ["2", "3", "4"]) {
      a.socket.write(text);
      await pass(5);
    }
    await eventually(3000, "all arrive", () => a.heard.join("").endsWith("4"));
    expect(performance.now() - before).toBeGreaterThan(40);
    expect(server.received.join("")).toBe("1234");
    proxy.heal();
    proxy.slow({ bytesPerSecond: 20_000 });
    const start = performance.now();
    a.socket.write("x".repeat(2000));
    await eventually(3000, "the long one arrives", () => server.received.join("").length === 2004);
    expect(performance.now() - start).toBeGreaterThan(80);
  });

  test("each connection can be held by itself", async () => {
    const [a, b] = [client(), client()];
    await a.ask("a1");
    await b.ask("b1");
    const seen = proxy.once(({ bytes }) => bytes.includes("a2"), "hold").seen;
    a.socket.write("a2");
    const { connection } = await within(2000, "a2", seen);
    expect(await b.ask("b2")).toBe("re:b2");
    expect(server.received).not.toContain("a2");
    connection.heal();
    await eventually(2000, "a2 arrives", () => server.received.includes("a2"));
  });
});
