/** What the server and the driver say, in Elect's words. */

import { RefusedError } from "@elect/core/adapter";

/** The server's error codes that decide something here. */
export const code = {
  connectionLoss: -4,
  noNode: -101,
  noAuth: -102,
  badVersion: -103,
  nodeExists: -110,
  notEmpty: -111,
  sessionExpired: -112,
  invalidAcl: -114,
  authFailed: -115,
  sessionMoved: -118,
  ephemeralOnLocalSession: -120,
  saslRequired: -124,
  quotaExceeded: -125,
  throttled: -127,
} as const;

/** An answer with an error code; the driver's own `Exception` knows neither -117 … -127 nor what comes after. */
export class ServerError extends Error {
  readonly code: number;

  constructor(serverCode: number, options?: ErrorOptions) {
    super(`ZooKeeper answered with error ${serverCode}${nameOf(serverCode)}`, options);
    this.name = "ServerError";
    this.code = serverCode;
  }

  /** The driver's callbacks ask errors for their code in this way. */
  getCode(): number {
    return this.code;
  }
}

/** The connection was lost or never came about: what was sent may have happened. The session may live. */
export class LinkError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "LinkError";
  }
}

/** The server said that the session is over. */
export class SessionOver extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = "SessionOver";
  }
}

function nameOf(serverCode: number): string {
  const name = Object.entries(code).find(([, value]) => value === serverCode)?.[0];
  return name === undefined ? "" : ` (${name})`;
}

/** The numeric code of an error of the driver's or ours; `null`: it has none. */
export function codeOf(error: unknown): number | null {
  if (typeof error !== "object" || error === null || !("code" in error)) return null;
  return typeof error.code === "number" ? error.code : null;
}

/** The server's refusals that last until somebody changes something. */
export function refusalOf(serverCode: number, path: string, address: string): RefusedError | null {
  switch (serverCode) {
    case code.noAuth:
      return new RefusedError(
        "permission",
        `ZooKeeper at ${address} does not permit this on ${path}. The adapter needs create, delete, read and write ` +
          `there: give all candidates the same credentials (option "auth"), or change the node's ACL.`,
      );
    case code.invalidAcl:
      return new RefusedError(
        "acl",
        `ZooKeeper at ${address} does not accept the ACL for ${path}: "creator" needs credentials (option "auth").`,
      );
    case code.authFailed:
      return authRefused(address);
    case code.ephemeralOnLocalSession:
      return new RefusedError(
        "local-session",
        `ZooKeeper at ${address} gives out local sessions that may not own ephemeral nodes: set ` +
          `localSessionsUpgradingEnabled=true or localSessionsEnabled=false on the servers.`,
      );
    case code.saslRequired:
      return new RefusedError(
        "sasl",
        `ZooKeeper at ${address} wants clients to authenticate (enforce.auth.schemes, sessionRequireClientSASLAuth): if ` +
          `it takes digest, set the option "auth"; if SASL only, which the driver does not speak, lift the requirement.`,
      );
    case code.quotaExceeded:
      return new RefusedError(
        "quota",
        `ZooKeeper at ${address} has reached the quota for ${path}: raise it or remove nodes.`,
      );
    default:
      return null;
  }
}

export function authRefused(address: string): RefusedError {
  return new RefusedError(
    "authentication",
    `ZooKeeper at ${address} does not accept the credentials: check the option "auth" (scheme and value).`,
  );
}

/** What is left of a promise that rejected. */
export function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}
