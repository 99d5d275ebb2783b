/**
 * A real server on which a node's counter stands where 2³¹ joins would have brought it: its transaction log is
 * rewritten while it is down, as there is no request that sets a counter, and counting so far takes days.
 */

import type { Server } from "../../../integration/servers/src/server.ts";

const fileHeader = 16;
const recordHeader = 12;

/** `child` was the latest node to be created; afterwards its parent's counter stands at `value`. Restarts the server. */
export async function wearCounter(server: Server, child: string, value: number): Promise<void> {
  const directory = "/datalog/version-2";
  const file = `${directory}/${(await server.exec("ls", "-t", directory)).split("\n")[0]}`;
  const log = Buffer.from(await server.exec("sh", "-c", `head -c 1000000 ${file} | base64 -w0`), "base64");
  const { at, transaction } = findCreation(log, child);
  transaction.writeInt32BE(value, counterIn(transaction, child));
  const checksum = Buffer.alloc(8);
  checksum.writeUInt32BE(adler32(transaction), 4);
  await overwrite(server, file, at, checksum);
  await overwrite(server, file, at + recordHeader, transaction);
  await server.restart();
}

async function overwrite(server: Server, file: string, at: number, bytes: Buffer): Promise<void> {
  const base64 = bytes.toString("base64");
  await server.exec("sh", "-c", `echo ${base64} | base64 -d | dd of=${file} bs=1 seek=${at} conv=notrunc`);
}

/** A log is a header and records: a checksum (8 bytes), a length (4), so many bytes, and the letter B. */
function findCreation(log: Buffer, child: string): { readonly at: number; readonly transaction: Buffer } {
  for (let at = fileHeader; ;) {
    const length = log.readInt32BE(at + 8);
    if (length === 0) throw new Error(`${child} is not in the log`);
    const transaction = log.subarray(at + recordHeader, at + recordHeader + length);
    if (transaction.includes(child)) return { at, transaction };
    at += recordHeader + length + 1;
  }
}

/** Where the counter is: behind path, data, access control list and the ephemeral flag. */
function counterIn(transaction: Buffer, child: string): number {
  let at = transaction.indexOf(child) + child.length;
  const skip = (): void => void (at += 4 + Math.max(0, transaction.readInt32BE(at)));
  skip();
  const entries = transaction.readInt32BE(at);
  at += 4;
  for (let entry = 0; entry < entries; entry += 1) {
    at += 4;
    skip();
    skip();
  }
  return at + 1;
}

function adler32(bytes: Buffer): number {
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return b * 65_536 + a;
}
