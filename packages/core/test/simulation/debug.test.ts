import { it } from "vitest";
import { World } from "./world.ts";
import { SimulatedAdapter } from "./adapter.ts";
import { Link } from "./link.ts";
it("debug", { timeout: 600_000 }, async () => {
  const seed = Number(process.env["SEED"]),
    who = process.env["WHO"] ?? "",
    from = Number(process.env["FROM"] ?? 0),
    to = Number(process.env["TO"] ?? 1e9);
  const world = new World(seed, new Map());
  const lines: string[] = [];
  const log = (s: string) => {
    const t = world.timeline.now;
    if (t >= from && t <= to) lines.push(`${t.toFixed(3)} ${s}`);
  };
  const note = world.note.bind(world);
  world.note = (l) => {
    note(l);
    log(l);
  };
  const nameOf = (link: Link) => [...all].find((m) => m.link === link)?.name ?? "?";
  const all = new Set(world.members);
  const carry = Link.prototype.carry;
  Link.prototype.carry = function (this: Link, call, work) {
    for (const m of world.members) all.add(m);
    const name = nameOf(this);
    const op =
      /at (?:\w+\.)?(open|prove|claim|release|dispose|end|read|candidates|watch)\b/.exec(
        new Error().stack?.split("\n")[2] ?? "",
      )?.[1] ?? new Error().stack?.split("\n")[2];
    if (who === "" || name === who) {
      log(`${name} > ${op}`);
      const p = carry.call(this, call, () => {
        log(`${name} . ${op} at store`);
        return work();
      });
      void p.then(
        (v) =>
          log(
            `${name} < ${op} ${JSON.stringify(v, (k, x) => (typeof x === "bigint" ? String(x) : k === "" || typeof x !== "object" || Array.isArray(x) || x?.kind ? x : undefined))}`,
          ),
        (e) => log(`${name} < ${op} failed ${e}`),
      );
      return p as never;
    }
    return carry.call(this, call, work) as never;
  };
  console.log(await world.run());
  for (const m of all)
    console.log(m.name, m.dead, m.candidates.map((c) => c.state).join(), m.clock.timers, m.stoppedUntil);
  console.log(lines.slice(-Number(process.env["N"] ?? 200)).join("\n"));
  void SimulatedAdapter;
});
