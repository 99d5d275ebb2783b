import { connect } from "@elect/core";
import { expect } from "vitest";
import { isNone } from "./options.ts";
import type { Suite } from "./suite.ts";

/** What a backend says of itself must be what its README says, and enough to know what may be skipped. */
export function declaring(suite: Suite): void {
  const { contract } = suite;
  const { capabilities } = contract;
  suite.group("declaring", () => {
    suite.test("P14 declares the capabilities that its README prints", [], async (stage) => {
      const backend = await stage.process();
      expect(backend.capabilities).toEqual(capabilities);
    });

    suite.test("P14 skips nothing without a declared limit", [], async () => {
      for (const { promise, sentence } of capabilities.limits) {
        expect(promise).toBeGreaterThanOrEqual(1);
        expect(promise).toBeLessThanOrEqual(14);
        expect(sentence).toMatch(/^[A-Z].{20,}\.$/s);
      }
      const limited = capabilities.limits.map(({ promise }) => promise);
      if (capabilities.stopped === null) {
        expect(limited, "a stopped leader is not replaced: that is a limit of promise 10").toContain(10);
      }
      if (capabilities.reach === "network") {
        expect(
          isNone(contract.faults),
          "a store on a network can be cut off: the suite needs its endpoints",
        ).toBe(false);
      }
      for (const { none } of [contract.faults, contract.operator].filter(isNone))
        expect(none).toMatch(/.{20,}/);
    });

    suite.test("P14 the URL alone names the backend", ["children"], async () => {
      if (contract.adapter !== undefined) return;
      const backend = await connect(contract.url);
      const own = await contract.connect(contract.url);
      expect(backend.kind).toBe(own.kind);
      expect(backend.capabilities).toEqual(own.capabilities);
      await Promise.all([backend.close(), own.close()]);
    });

    suite.test("P13 no credentials in the address", [], async (stage) => {
      const { address } = await stage.process();
      const [, password] = /^[a-z+]+:\/\/[^/?#]*:([^/?#@]+)@/i.exec(contract.url) ?? [];
      if (password !== undefined) expect(address).not.toContain(password);
    });
  });
}
