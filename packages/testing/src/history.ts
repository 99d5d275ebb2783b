/**
 * What candidates did, on one clock: the material that the checker judges.
 *
 * A candidate process writes one record of 32 bytes for everything it notices about its own leadership, with one
 * `write` each, so that what it claimed outlives a SIGKILL. All processes of a host share the clock of
 * `process.hrtime`, so the order between records of different processes is exact.
 */

import { closeSync, openSync, readFileSync, writeSync } from "node:fs";

/**
 * - `claim`: asked `isValid()` between `from` and `to`; `valid` is the answer.
 * - `campaign`: began to campaign.
 * - `elected`, `aborted` (the term's signal), `lost`: of the term with this token, heard at `to`; an `elected`
 *   has in `from` when its campaign began.
 * - `closed`: the candidate is closed and will say nothing more.
 */
export type RecordKind = "claim" | "campaign" | "elected" | "aborted" | "lost" | "closed";

export interface HistoryRecord {
  readonly kind: RecordKind;
  /** One process incarnation. */
  readonly candidate: string;
  /** Nanoseconds on the host's monotonic clock. */
  readonly from: number;
  readonly to: number;
  /** 0 where there is none. */
  readonly token: bigint;
  /** For a `claim`: whether the candidate held itself for the leader. */
  readonly valid: boolean;
}

/** All candidates' records, in no particular order between candidates, in their own order within one. */
export type History = readonly HistoryRecord[];

const kinds: readonly RecordKind[] = ["claim", "campaign", "elected", "aborted", "lost", "closed"];
const size = 32;

/** The log of one candidate. Each {@link HistoryLog.write} is one system call: nothing is buffered in the process. */
export class HistoryLog {
  readonly #file: number;
  readonly #record = new DataView(new ArrayBuffer(size));
  // What is written is an array: given the DataView itself, `writeSync` of Node 24.21 throws ERR_INVALID_ARG_TYPE
  // after some thousand calls, once it is optimised.
  readonly #bytes = new Uint8Array(this.#record.buffer);

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  write(kind: RecordKind, from: number, to: number, token: bigint, valid: boolean): void {
    const record = this.#record;
    record.setFloat64(0, from);
    record.setFloat64(8, to);
    record.setBigInt64(16, token);
    record.setUint8(24, kinds.indexOf(kind));
    record.setUint8(25, valid ? 1 : 0);
    writeSync(this.#file, this.#bytes);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Reads one candidate's log; a record cut short by a SIGKILL is left out. */
export function readHistory(candidate: string, path: string): HistoryRecord[] {
  const bytes = readFileSync(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: HistoryRecord[] = [];
  for (let at = 0; at + size <= bytes.length; at += size) {
    const kind = kinds[view.getUint8(at + 24)];
    if (kind === undefined) throw new Error(`${path}: not a candidate's log (record at byte ${at})`);
    records.push({
      kind,
      candidate,
      from: view.getFloat64(at),
      to: view.getFloat64(at + 8),
      token: view.getBigInt64(at + 16),
      valid: view.getUint8(at + 25) === 1,
    });
  }
  return records;
}
