/** What is said of an error: one line, its code, no stack, no credentials. */

import { ElectError } from "@elect/core";
import { codeOfError, exitCodes } from "./exit-codes.ts";
import { redact } from "./redact.ts";

export interface Failure {
  readonly message: string;
  readonly exitCode: number;
}

export function describe(error: unknown): Failure {
  if (error instanceof ElectError) {
    return {
      message: line(`${error.code}: ${error.message}${because(error)}`),
      exitCode: codeOfError[error.code],
    };
  }
  return {
    message: line(error instanceof Error ? error.message : String(error)),
    exitCode: exitCodes.internal,
  };
}

/** The first line of the first cause: "See the cause" helps nobody who does not see it. */
function because({ cause }: Error): string {
  const [said] = cause instanceof Error ? cause.message.split("\n") : [];
  return said === undefined || said === "" ? "" : ` Cause: ${said}`;
}

function line(text: string): string {
  return redact(text).replaceAll(/\s*\n\s*/g, " ");
}
