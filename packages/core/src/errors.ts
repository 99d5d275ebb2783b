/**
 * Every error that Elect itself raises. Each has a stable `code`, and its message says what happened, to which
 * election, on which store, and what to do. Messages never hold credentials.
 *
 * `instanceof` goes by brand, so that it works across two installed copies of this package.
 */

import type { LossReason } from "./election-state.ts";

const brand: symbol = Symbol.for("elect.error");

/** The stable codes. A minor release may add one; none changes its meaning. */
export type ElectErrorCode =
  | "ELECT_INVALID_OPTION"
  | "ELECT_ADAPTER_MISSING"
  | "ELECT_REFUSED"
  | "ELECT_UNREACHABLE"
  | "ELECT_NOT_LEADER"
  | "ELECT_TOKEN_REGRESSION"
  | "ELECT_BUSY"
  | "ELECT_CLOSED";

/** The base of all: `error instanceof ElectError`, then look at `error.code`. */
export abstract class ElectError extends Error {
  abstract readonly code: ElectErrorCode;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    Object.defineProperty(this, brand, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== "object" || value === null || !(brand in value)) return false;
    const own = (this as { code?: ElectErrorCode }).code;
    return own === undefined || ("code" in value && value.code === own);
  }
}

/** `ELECT_INVALID_OPTION`: an option, a name, a TTL or a URL that cannot be meant. Nothing was started. */
export class InvalidOptionError extends ElectError {
  static readonly code = "ELECT_INVALID_OPTION";
  readonly code = "ELECT_INVALID_OPTION";
  /** The option at fault: `"ttl"`, `"url"`. */
  readonly option: string;

  constructor(option: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.option = option;
  }
}

/** `ELECT_ADAPTER_MISSING`: the URL needs a package that is not installed; the message has the command. */
export class AdapterMissingError extends ElectError {
  static readonly code = "ELECT_ADAPTER_MISSING";
  readonly code = "ELECT_ADAPTER_MISSING";
  /** The package to install: `"@elect/redis"`. */
  readonly package: string;

  constructor(packageName: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.package = packageName;
  }
}

/**
 * `ELECT_REFUSED`: the store, or the adapter on its behalf, will not do this until somebody changes something:
 * a standby server, a transaction pooler, a missing privilege, a network file system. Never retried.
 */
export class RefusedError extends ElectError {
  static readonly code = "ELECT_REFUSED";
  readonly code = "ELECT_REFUSED";
  /** What was found, stable within an adapter: `"standby"`, `"pooler"`, `"permission"`, `"runtime"`. */
  readonly refusal: string;

  constructor(refusal: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.refusal = refusal;
  }
}

/** `ELECT_UNREACHABLE`: a question to the store (`leader()`, `candidates()`) got no answer in time. */
export class UnreachableError extends ElectError {
  static readonly code = "ELECT_UNREACHABLE";
  readonly code = "ELECT_UNREACHABLE";
}

/** `ELECT_NOT_LEADER`: the term is over, or cannot be shown to last. Also the reason of an ended term's `signal`. */
export class NotLeaderError extends ElectError {
  static readonly code = "ELECT_NOT_LEADER";
  readonly code = "ELECT_NOT_LEADER";
  /** Why the term ended. */
  readonly reason: LossReason;
  readonly election: string;
  readonly token: bigint;

  constructor(election: string, token: bigint, reason: LossReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.election = election;
    this.token = token;
    this.reason = reason;
  }
}

/**
 * `ELECT_TOKEN_REGRESSION`: the store minted a token that is not greater than one this process has seen from it:
 * it was restored from a backup, or lost what it had acknowledged. Leading on could undo newer work.
 */
export class TokenRegressionError extends ElectError {
  static readonly code = "ELECT_TOKEN_REGRESSION";
  readonly code = "ELECT_TOKEN_REGRESSION";
}

/** `ELECT_BUSY`: one `Election` is one candidate; it already campaigns or leads. */
export class BusyError extends ElectError {
  static readonly code = "ELECT_BUSY";
  readonly code = "ELECT_BUSY";
}

/** `ELECT_CLOSED`: the election or its backend was closed. */
export class ClosedError extends ElectError {
  static readonly code = "ELECT_CLOSED";
  readonly code = "ELECT_CLOSED";
}
