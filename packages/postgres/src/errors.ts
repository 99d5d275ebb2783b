/** What the server's errors mean to core: most say that the outcome is unknown, some that trying again cannot help. */

import { ElectError, RefusedError } from "@elect/core/adapter";

/** SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html */
export const sqlstate = {
  readOnly: "25006",
  tooLarge: "54000",
  lockNotAvailable: "55P03",
} as const;

/** The SQLSTATE of an error of the server. */
export function stateOf(error: unknown): string | null {
  return error instanceof Error && "severity" in error && "code" in error && typeof error.code === "string"
    ? error.code
    : null;
}

/** The schema, a table or a column is not there: nobody has created it yet, or somebody dropped it. */
export function isMissing(error: unknown): boolean {
  return ["42P01", "3F000", "42703"].includes(stateOf(error) ?? "");
}

/** The error as core is to see it: refused, or (anything else) unknown. */
export function refusalIn(error: unknown, address: string): unknown {
  if (error instanceof ElectError) return error;
  const said = error instanceof Error ? error.message : "";
  const refused = (refusal: string, advice: string): RefusedError =>
    new RefusedError(refusal, `PostgreSQL at ${address}: ${said}. ${advice}`, { cause: error });
  switch (stateOf(error)) {
    case "28000":
    case "28P01":
      return refused("credentials", "Check the user, the password and the server's pg_hba.conf.");
    case "3D000":
      return refused("database", "Create the database, or name another one.");
    case "42501":
      return refused(
        "permission",
        "Grant what is missing: the README of @elect/postgres lists the privileges needed.",
      );
    case sqlstate.readOnly:
      return standby(address, said);
    default:
      return error;
  }
}

export function standby(address: string, found: string): RefusedError {
  return new RefusedError(
    "standby",
    `PostgreSQL at ${address}: ${found}. Leaders are elected where writes are taken, or there would be one on each ` +
      `server: connect to the primary, by an address that always leads there.`,
  );
}

export function pooler(address: string, found: string): RefusedError {
  return new RefusedError(
    "pooler",
    `PostgreSQL at ${address}: ${found}, so a pooler lends out its connections by transaction or statement. Session ` +
      `locks and LISTEN do not survive that: connect to the server itself, or through a pool in session mode.`,
  );
}
