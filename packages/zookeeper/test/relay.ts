/** A way to the server that knows the protocol: it counts the requests, and can lose what the server tells unasked. */

import { connect, createServer, type Socket } from "node:net";
import { once } from "node:events";
import { onTestFinished } from "vitest";
import { target } from "./support.ts";

export interface Relay {
  readonly url: string;
  /** The types of the requests since it was last emptied, pings left out. */
  readonly requests: number[];
  /** Whether notifications get lost. */
  deaf: boolean;
  /** How many did. */
  lost: number;
}

const ping = 11;
const notification = -1;

export async function relay(): Promise<Relay> {
  const sockets: Socket[] = [];
  const server = createServer((client) => {
    const upstream = connect(target);
    sockets.push(client, upstream);
    let shaken = false;
    eachFrame(client, upstream, (frame) => {
      // The first frame is the handshake, which has no type.
      if (shaken && frame.readInt32BE(8) !== ping) way.requests.push(frame.readInt32BE(8));
      shaken = true;
      return true;
    });
    let greeted = false;
    eachFrame(upstream, client, (frame) => {
      const lost = greeted && way.deaf && frame.readInt32BE(4) === notification;
      greeted = true;
      if (lost) way.lost += 1;
      return !lost;
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  const way: Relay = { url: `zookeeper://127.0.0.1:${port}`, requests: [], deaf: false, lost: 0 };
  return way;
}

/** Passes on the frames that `passes`. */
function eachFrame(from: Socket, to: Socket, passes: (frame: Buffer) => boolean): void {
  let rest = Buffer.alloc(0);
  from.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const frame = rest.subarray(0, 4 + rest.readInt32BE(0));
      rest = rest.subarray(frame.length);
      if (passes(frame)) to.write(frame);
    }
  });
  from.on("error", () => {});
  from.on("close", () => to.destroy());
}
