/** How the demo is shown: a table that moves on a terminal, plain lines elsewhere, JSON for programs. */

import { hostNow } from "../host-clock.ts";

export interface Row {
  readonly id: string;
  readonly pid: number | undefined;
  readonly state: "starting" | "waiting" | "leading" | "killed";
  readonly token: bigint | null;
  /** Since when it leads, on the host's clock. */
  readonly since: number | null;
}

export interface Screen {
  /** Something happened: said in words, and to programs as `fact`. */
  event(words: string, fact: object): void;
  end(): void;
}

export function jsonScreen(): Screen {
  return { event: (_, fact) => console.log(JSON.stringify(fact)), end: () => {} };
}

export function plainScreen(): Screen {
  return { event: (words) => console.log(words), end: () => {} };
}

/** How often the table is drawn anew: the time in office runs. */
const frameMs = 100;

export function tableScreen(rows: () => readonly Row[]): Screen {
  let drawn = 0;
  const erase = (): string => (drawn === 0 ? "" : `\u001b[${drawn}A\u001b[0J`);
  const draw = (above: string): void => {
    const lines = ["", ...table(rows()), ""];
    process.stdout.write(`${erase()}${above}${lines.join("\n")}\n`);
    drawn = lines.length;
  };
  const frames = setInterval(() => draw(""), frameMs);
  return {
    event: (words) => draw(`${words}\n`),
    end: () => {
      clearInterval(frames);
      process.stdout.write(erase());
    },
  };
}

function table(rows: readonly Row[]): string[] {
  const now = hostNow();
  return [
    "  candidate     pid  state      token   in office",
    ...rows.map(({ id, pid, state, token, since }) => {
      const office = since === null ? "" : `${((now - since) / 1000).toFixed(1)} s`;
      const mark = state === "leading" ? "▶" : " ";
      return `${mark} ${id.padEnd(9)} ${String(pid ?? "").padStart(7)}  ${state.padEnd(8)} ${String(token ?? "").padStart(7)} ${office.padStart(11)}`;
    }),
  ];
}
