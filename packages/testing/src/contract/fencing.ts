import { expect } from "vitest";
import type { Suite } from "./suite.ts";

/** A resource as it should be: a new leader seals it before it reads, and what has a lower token is refused. */
class FencedRegister {
  value = "";
  #fence = 0n;

  seal(token: bigint): boolean {
    if (token < this.#fence) return false;
    this.#fence = token;
    return true;
  }

  write(token: bigint, value: string): boolean {
    if (token !== this.#fence) return false;
    this.value = value;
    return true;
  }
}

export function fencing(suite: Suite): void {
  suite.group("fencing", () => {
    suite.test("P4 the fence sorts like (generation, token)", [], async (stage) => {
      const fences: string[] = [];
      for (const generation of [0, 0, 1, 1, 9_999_999_999]) {
        const candidate = await stage.candidate({ generation });
        const term = await candidate.lead(stage.crashBound);
        fences.push(term.fence);
        await term.resign();
      }
      expect(fences.toSorted()).toEqual(fences);
      expect(new Set(fences).size).toBe(5);
      for (const fence of fences) expect(fence).toMatch(/^\d{10}\.\d{19}$/);
    });

    suite.test(
      "P4 G-18 G-19 a write of the old term that comes late is refused by a sealed resource",
      [],
      async (stage) => {
        const [a, b] = [await stage.candidate(), await stage.candidate()];
        const old = await a.lead(stage.crashBound);
        const [sealed, merelyFenced] = [new FencedRegister(), { highest: 0n, value: "" }];
        expect(sealed.seal(old.token) && sealed.write(old.token, "by the old leader")).toBe(true);
        merelyFenced.highest = old.token;
        await old.resign();

        const term = await b.lead(stage.crashBound);
        expect(sealed.seal(term.token)).toBe(true);
        const read = [sealed.value, merelyFenced.value];
        // Now the delayed write of the old leader arrives.
        expect(sealed.write(old.token, "late")).toBe(false);
        expect(sealed.value).toBe(read[0]);
        // The control: without a seal the late write lands between the new leader's read and its first write.
        if (old.token >= merelyFenced.highest) merelyFenced.value = "late";
        expect(merelyFenced.value).not.toBe(read[1]);
        expect(sealed.write(term.token, "by the new leader")).toBe(true);
      },
    );
  });
}
