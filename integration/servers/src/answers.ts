// Does a server answer at its port? Asked in the server's own protocol: the port alone says nothing, for the engine
// accepts connections before the server in the container does. Raw sockets, as a driver would retry and reconnect.
import { connect } from "node:net";

/** Resolves to true when the server at this port of the loopback interface is ready to serve. */
export type Probe = (port: number) => Promise<boolean>;

/** Redis, Valkey, Sentinel; an instance that is still loading answers with an error. */
export const redisAnswers: Probe = async (port) => (await ask(port, "PING\r\n", /\r\n/)).startsWith("+PONG");

/** A server outside of the quorum says so instead of its mode. */
export const zookeeperAnswers: Probe = async (port) =>
  (await ask(port, "srvr", /^Mode: /m)).includes("Mode: ");

/** A member is healthy when it knows a leader. */
export const etcdAnswers: Probe = async (port) =>
  (await ask(port, "GET /health HTTP/1.0\r\n\r\n", /"health":"\w+"/)).includes('"health":"true"');

/** A server that starts or recovers refuses with an error; one that asks for the password (R) is ready. */
export const postgresAnswers: Probe = async (port) =>
  (await ask(port, postgresStartup, /^[^]/)).startsWith("R");

const postgresStartup = ((): Buffer => {
  const body = Buffer.from("\0\x03\0\0user\0postgres\0database\0postgres\0\0", "latin1");
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([length, body]);
})();

/** Sends one request and returns what came back until it was `enough`, or the connection ended, or a second was over. */
export async function ask(port: number, request: string | Buffer, enough: RegExp): Promise<string> {
  return new Promise((done) => {
    let answer = "";
    const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(request));
    socket
      .setEncoding("latin1")
      .setTimeout(1000, () => socket.destroy())
      .on("data", (text: string) => {
        answer += text;
        if (enough.test(answer)) socket.destroy();
      })
      .on("error", () => {})
      .on("close", () => done(answer));
  });
}
