/** A process with one session at port level, told by messages what to do. Run by `OtherProcess` in rig.ts. */

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { Claim, ClaimRequest, Session } from "@elect/core/adapter";
import { SqliteAdapter } from "../src/adapter.ts";
import type { Mode } from "../src/options.ts";

export type Request =
  | { readonly kind: "open"; readonly ttlMs: number }
  | { readonly kind: "claim"; readonly requests: readonly ClaimRequest[] }
  | { readonly kind: "release"; readonly claims: readonly Claim[] }
  | { readonly kind: "prove"; readonly held: readonly Claim[] }
  | { readonly kind: "end" }
  | { readonly kind: "id" }
  /** What a careless backup does: opens a file, reads it, closes it. */
  | { readonly kind: "read-file"; readonly path: string }
  /** Claims and releases one election for ever; each token that was granted is sent as a message. */
  | { readonly kind: "loop"; readonly election: string }
  /** Starts a program that outlives this process. */
  | { readonly kind: "start"; readonly program: string; readonly arguments: readonly string[] }
  /** Takes the write lock of the database and keeps it until "commit". */
  | { readonly kind: "begin"; readonly path: string; readonly sql?: string }
  | { readonly kind: "commit" };

export type Reply =
  | { readonly to: number; readonly ok: true; readonly value: unknown }
  | { readonly to: number; readonly ok: false; readonly message: string; readonly code: unknown };

const [, , directory = "", mode = "lock"] = process.argv;
const adapter = new SqliteAdapter({ directory, mode: mode as Mode });
const call = { signal: new AbortController().signal, timeoutMs: 5_000 };
const events = { hint: () => {}, doubt: () => {}, lost: () => {}, ended: () => {} };
let session: Session | null = null;
let writer: DatabaseSync | null = null;

process.on("disconnect", () => process.exit());
process.on("message", (message) => {
  const { to, request } = message as { to: number; request: Request };
  answer(request).then(
    (value) => process.send?.({ to, ok: true, value } satisfies Reply),
    (error: Error & { code?: unknown }) =>
      process.send?.({ to, ok: false, message: error.message, code: error.code } satisfies Reply),
  );
});

async function answer(request: Request): Promise<unknown> {
  switch (request.kind) {
    case "open":
      session = await adapter.open(
        { ttlMs: request.ttlMs, nonce: randomBytes(16).toString("hex"), events },
        call,
      );
      return session.id;
    case "claim":
      return opened().claim(request.requests, call);
    case "release":
      return opened().release(request.claims, call);
    case "prove":
      return opened().prove(new Map(request.held.map((claim) => [claim.nonce, claim])), call);
    case "end":
      return opened().end(call);
    case "id":
      return opened().id;
    case "read-file":
      return readFileSync(request.path).length;
    case "loop":
      return loop(request.election);
    case "start":
      return spawn(request.program, request.arguments, { stdio: "ignore" }).pid;
    case "begin":
      writer = new DatabaseSync(request.path);
      writer.exec("pragma journal_mode = truncate; begin immediate");
      writer.exec(request.sql ?? "update store set token = token");
      return null;
    case "commit":
      writer?.exec("commit");
      writer?.close();
      return null;
  }
}

async function loop(election: string): Promise<never> {
  for (;;) {
    const bid = {
      election,
      nonce: randomBytes(16).toString("hex"),
      candidate: { id: "", metadata: "" },
      unchanged: null,
    };
    const [answer] = await opened().claim([bid], call);
    if (answer?.kind === "granted") process.send?.({ token: answer.token });
    await opened().release([bid], call);
  }
}

function opened(): Session {
  if (session === null) throw new Error("no session");
  return session;
}
