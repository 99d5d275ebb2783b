/** The exit codes of `elect`, as the README's table has them; those of `sysexits.h` where it has one that fits. */

import type { ElectErrorCode } from "@elect/core";

export const exitCodes = {
  ok: 0,
  /** `status`: nobody leads. `demo`: what was to be shown was not seen. */
  no: 1,
  usage: 64,
  unreachable: 69,
  internal: 70,
  lost: 75,
  tokens: 76,
  refused: 77,
  adapterMissing: 78,
  /** `run`: as shells, `env` and `timeout` do it. */
  notExecutable: 126,
  notFound: 127,
} as const;

export const codeOfError: Readonly<Record<ElectErrorCode, number>> = {
  ELECT_INVALID_OPTION: exitCodes.usage,
  ELECT_UNREACHABLE: exitCodes.unreachable,
  ELECT_NOT_LEADER: exitCodes.lost,
  ELECT_TOKEN_REGRESSION: exitCodes.tokens,
  ELECT_REFUSED: exitCodes.refused,
  ELECT_ADAPTER_MISSING: exitCodes.adapterMissing,
  ELECT_BUSY: exitCodes.internal,
  ELECT_CLOSED: exitCodes.internal,
};
