// What the candidates wrote down, election by election: were no two terms valid at once, and did tokens rise?
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { checkHistory, readHistory } from "@elect/testing";

/** How often they were asked whether they lead, and what is wrong with what they said. */
export function judgeHistories(
  directory: string,
  elections: readonly string[],
): { readonly claims: number; readonly faults: readonly string[] } {
  const faults: string[] = [];
  let claims = 0;
  const files = readdirSync(directory);
  for (const election of elections) {
    const history = files
      .filter((file) => file.startsWith(`${election}.`))
      .flatMap((file) => readHistory(file, join(directory, file)));
    claims += history.filter(({ kind }) => kind === "claim").length;
    for (const { kind, message } of checkHistory(history)) faults.push(`${kind}: ${message}`);
  }
  return { claims, faults };
}
