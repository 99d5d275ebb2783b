/** How the values of options are read. What it means is checked by core, which says it better. */

import type { Metadata } from "@elect/core";
import { InvalidArgumentError } from "commander";

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
}

export function milliseconds(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError("It must be a number of milliseconds.");
  return Number(text);
}

export function json(text: string): Metadata {
  try {
    return JSON.parse(text) as Metadata;
  } catch {
    throw new InvalidArgumentError(`It must be JSON, such as '{"address":"http://10.0.0.7:3000"}'.`);
  }
}
