import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { InvalidOptionError } from "../src/errors.ts";
import { memory } from "../src/memory.ts";
import { resolveOptions, type ElectionOptions } from "../src/options.ts";

const backend = memory({ name: "options" });
const maxTtl = 60_000;

/** What JavaScript may hand over, whatever the types say. */
type Loose = Partial<Record<keyof ElectionOptions, unknown>>;

function refusal(options: Loose): InvalidOptionError {
  try {
    resolveOptions({ backend, name: "report", ...options } as ElectionOptions, maxTtl);
  } catch (error) {
    if (error instanceof InvalidOptionError) return error;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(options)}`);
}

/** Values that cannot be meant, by option, in the order in which the options are checked. */
const bad = {
  name: ["", "a".repeat(201), "é".repeat(101), "line\nbreak", "nul\0", "del\x7f", "half \ud800", 7, null],
  id: ["", "a".repeat(201), "tab\t", "\udc00", 7, {}],
  ttl: [0, 499, 499.9, -1, NaN, Infinity, "1000", null, maxTtl + 1],
  generation: [-1, 0.5, 10_000_000_000, NaN, "1", 2 ** 60],
  drainTimeout: [-1, NaN, Infinity, "1", 2 ** 31],
  metadata: ["x".repeat(4_095), 1n, () => {}, Symbol("s"), { deep: { big: 1n } }, circular()],
} satisfies Loose;

const order = Object.keys(bad) as (keyof typeof bad)[];

function circular(): object {
  const itself: { itself?: object } = {};
  itself.itself = itself;
  return itself;
}

describe("options that cannot be meant", () => {
  for (const option of order) {
    it.each(bad[option].map((value) => [value]))(`are refused: ${option} %o`, (value) => {
      const error = refusal({ [option]: value });
      expect(error.option).toBe(option);
      expect(error.message).toMatch(/^Election .+ on memory:options: \w+ is .+; it must be .+\.$/);
      expect(error.message).toContain(option === "name" ? "name is" : 'Election "report"');
    });
  }

  it("are refused in a fixed order: the first one is named, whatever else is wrong", () => {
    const choice = fc.record(
      Object.fromEntries(order.map((option) => [option, fc.constantFrom(...(bad[option] as unknown[]))])),
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(choice, (wrong: Loose) => {
        fc.pre(Object.keys(wrong).length > 0);
        expect(refusal(wrong).option).toBe(order.find((option) => option in wrong));
      }),
    );
  });

  it("are told by what they are, and not at any length", () => {
    expect(refusal({ ttl: maxTtl + 1 }).message).toContain("ttl is 60001; it must be 500 to 60000 ms");
    expect(refusal({ ttl: "1000" }).message).toContain('ttl is "1000"');
    expect(refusal({ name: "nul\0" }).message).toContain('name is "nul\\u0000"');
    expect(refusal({ id: null }).message).toContain("id is null");
    expect(refusal({ metadata: "x".repeat(5_000) }).message.length).toBeLessThan(300);
  });
});

const text = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 60 })
  .filter((name) => Buffer.byteLength(name) <= 200 && !/\p{Cc}/u.test(name));

describe("options that can be meant", () => {
  it("are taken as they are", () => {
    const meant = fc.record({
      name: text,
      id: text,
      ttl: fc.double({ min: 500, max: maxTtl, noNaN: true }),
      generation: fc.integer({ min: 0, max: 9_999_999_999 }),
      drainTimeout: fc.double({ min: 0, max: 2 ** 31 - 1, noNaN: true }),
      metadata: fc.jsonValue({ maxDepth: 2 }).filter((value) => JSON.stringify(value).length < 1_000),
    });
    fc.assert(
      fc.property(meant, (options) => {
        const resolved = resolveOptions({ backend, ...options } as ElectionOptions, maxTtl);
        expect(resolved).toEqual({ ...options, metadata: JSON.stringify(options.metadata) });
      }),
    );
  });

  it("have defaults for all but the name", () => {
    expect(resolveOptions({ backend, name: "report" }, maxTtl)).toEqual({
      name: "report",
      ttl: 10_000,
      id: null,
      metadata: "null",
      generation: 0,
      drainTimeout: 10_000,
    });
  });

  it("go right up to their limits", () => {
    const widest = {
      name: "é".repeat(100),
      id: "a".repeat(200),
      ttl: maxTtl,
      generation: 9_999_999_999,
      drainTimeout: 2 ** 31 - 1,
      metadata: "x".repeat(4_094),
    };
    expect(resolveOptions({ backend, ...widest }, maxTtl)).toMatchObject({ ttl: maxTtl });
    expect(resolveOptions({ backend, name: "n", ttl: 500, drainTimeout: 0 }, maxTtl)).toMatchObject({
      ttl: 500,
      drainTimeout: 0,
    });
  });
});
