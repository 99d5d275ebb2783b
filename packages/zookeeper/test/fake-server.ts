/** A ZooKeeper server for what a real one will not say on demand: malformed frames, rare errors, silence. */

import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { onTestFinished } from "vitest";

export const op = {
  create: 1,
  exists: 3,
  getData: 4,
  setData: 5,
  ping: 11,
  multi: 14,
  auth: 100,
  setWatches: 101,
  close: -11,
};

export interface Request {
  readonly connection: Connection;
  readonly xid: number;
  readonly type: number;
  readonly body: Buffer;
}

/** What the server does with a request; `undefined`: what an empty, healthy server does. */
export type Script = (request: Request) => "handled" | undefined;

export class Connection {
  readonly socket: Socket;
  /** Types of the requests, in their order. */
  readonly seen: number[] = [];
  /** The handshake's request. */
  handshake: Buffer | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  frame(...parts: Buffer[]): void {
    const body = Buffer.concat(parts);
    this.socket.write(Buffer.concat([int(body.length), body]));
  }

  reply(xid: number, error: number, body: Buffer = Buffer.alloc(0)): void {
    this.frame(int(xid), Buffer.alloc(8), int(error), body);
  }

  /** A session with an id and a timeout; timeout 0: the session has expired. */
  accept(timeoutMs: number): void {
    this.frame(
      int(0),
      int(timeoutMs),
      Buffer.alloc(8, timeoutMs === 0 ? 0 : 7),
      int(16),
      Buffer.alloc(16, 9),
      Buffer.from([0]),
    );
  }

  notify(type: number, path: string): void {
    this.reply(-1, 0, Buffer.concat([int(type), int(3), int(Buffer.byteLength(path)), Buffer.from(path)]));
  }
}

export interface FakeServer {
  readonly port: number;
  readonly url: string;
  readonly connections: readonly Connection[];
  /** The server's behaviour from now on. */
  script: Script;
  /** What it does when a client connects; by default it accepts it for 4 s. */
  greet: (connection: Connection) => void;
}

export async function fakeServer(script: Script = () => undefined): Promise<FakeServer> {
  const connections: Connection[] = [];
  const server: Server = createServer((socket) => {
    const connection = new Connection(socket);
    connections.push(connection);
    let rest = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
        const frame = rest.subarray(4, 4 + rest.readInt32BE(0));
        rest = rest.subarray(4 + frame.length);
        receive(connection, frame);
      }
    });
  });
  const receive = (connection: Connection, frame: Buffer): void => {
    if (connection.handshake === null) {
      connection.handshake = frame;
      return fake.greet(connection);
    }
    const request = {
      connection,
      xid: frame.readInt32BE(0),
      type: frame.readInt32BE(4),
      body: frame.subarray(8),
    };
    connection.seen.push(request.type);
    if (fake.script(request) === undefined) behave(request);
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  onTestFinished(() => {
    for (const { socket } of connections) socket.destroy();
    server.close();
  });
  const fake: FakeServer = {
    port,
    url: `zookeeper://127.0.0.1:${port}`,
    connections,
    script,
    greet: (connection) => connection.accept(4_000),
  };
  return fake;
}

function behave({ connection, xid, type, body }: Request): void {
  if (type === op.ping || type === op.auth) connection.reply(xid, 0);
  else if (type === op.setData || type === op.exists) connection.reply(xid, 0, stat());
  else if (type === op.getData) connection.reply(xid, 0, Buffer.concat([int(0), stat()]));
  else if (type === op.create) connection.reply(xid, 0, body.subarray(0, 4 + body.readInt32BE(0)));
  else if (type === op.multi) connection.reply(xid, 0, Buffer.concat([int(-1), Buffer.from([1]), int(-1)]));
  else if (type === op.close) {
    connection.reply(xid, 0);
    connection.socket.end();
  } else connection.reply(xid, 0);
}

/** czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, dataLength, numChildren, pzxid. */
export function stat(): Buffer {
  return Buffer.alloc(68);
}

export function int(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}
