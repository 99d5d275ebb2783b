/** What the driver and the server say, in our words: refused for good, or unknown. */

import { RefusedError } from "@elect/core/adapter";

/** Replies that stay the same until an operator changes something. Nothing was done. */
const refusals: readonly { readonly says: RegExp; readonly refusal: string; readonly todo: string }[] = [
  {
    says: /NOPERM|ACL failure/,
    refusal: "permission",
    todo: "The user lacks a right. Grant those that the README of @elect/redis lists under “Privileges”.",
  },
  {
    says: /^(NOAUTH|WRONGPASS)|invalid (username|password)|^ERR AUTH|Authentication required/i,
    refusal: "authentication",
    todo: "Check user and password.",
  },
  {
    says: /^DENIED/,
    refusal: "authentication",
    todo: "The server runs in protected mode: give it a password, or bind it to this network on purpose.",
  },
  {
    says: /DB index|SELECT is not allowed/,
    refusal: "database",
    todo: "Check the number of the database; a Cluster has only 0.",
  },
  {
    says: /WRONGTYPE/,
    refusal: "wrong-type",
    todo: "A key of this namespace holds something else. Choose another namespace, or delete the foreign key.",
  },
  {
    says: /ELECTFORMAT/,
    refusal: "format",
    todo: "Another version of @elect/redis uses this namespace. Update all processes, or choose another namespace.",
  },
  {
    says: /CROSSSLOT/,
    refusal: "cross-slot",
    todo: "All keys of a namespace must be in one slot: this server does not honour hash tags.",
  },
  {
    says: /unknown command.*(eval|hello|info|subscribe|wait)/i,
    refusal: "unsupported",
    todo: "This server lacks a command that elections need: Redis 6.2, Valkey 7.2 or later is needed.",
  },
];

/** Anything that went wrong in a call, as the port wants it: a {@link RefusedError}, or an error that means “unknown”. */
export function explain(cause: unknown, address: string): Error {
  if (cause instanceof RefusedError) return cause;
  const message = messageOf(cause);
  const refused = refusals.find(({ says }) => says.test(message));
  if (refused === undefined) return cause instanceof Error ? cause : new Error(message, { cause });
  return new RefusedError(
    refused.refusal,
    `Redis at ${address} refused: ${brief(message)}. ${refused.todo}`,
    { cause },
  );
}

/** Where a node of a Cluster sends us: `MOVED` from now on, `ASK` this once. */
export interface Redirection {
  readonly kind: "moved" | "ask";
  /** `null`: the node that we asked. */
  readonly host: string | null;
  readonly port: number;
}

export function redirection(cause: unknown): Redirection | null {
  const [, word, host = "", port] = /^(MOVED|ASK) \d+ (.*):(\d+)$/.exec(messageOf(cause)) ?? [];
  if (port === undefined) return null;
  return { kind: word === "ASK" ? "ask" : "moved", host: host === "" ? null : host, port: Number(port) };
}

export function isUnknownScript(cause: unknown): boolean {
  return messageOf(cause).startsWith("NOSCRIPT");
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** Redis 7 appends the script's number and line. */
function brief(message: string): string {
  return message.replace(/ script: [0-9a-f]{40}, on @user_script:\d+\.?/, "").replace(/\.$/, "");
}
