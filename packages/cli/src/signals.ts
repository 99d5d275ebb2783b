import { constants } from "node:os";

export function signalNumber(signal: NodeJS.Signals): number {
  return constants.signals[signal];
}
