// The one test configuration: a package's vitest.config.ts is one call of it.
//
// No retries: a flaky election test is a finding. Packages of the workspace resolve to their sources, so tests need
// no build; the same condition goes to the test process itself, so that a child process it forks resolves them too.
import { resolve } from "node:path";
import { defineConfig, type ViteUserConfig } from "vitest/config";
import { filesOfEarlier, suites } from "./suites.ts";

// Without "import": vitest hands them to Node as `--conditions`, where that one would also apply to `require` (and break
// `pg`). Vite adds it, and "default", by itself.
const conditions = ["@elect/source", "module", "node"];

// pnpm's launchers put every package of the workspace on this path; tests are to find what their package installed.
delete process.env["NODE_PATH"];

/** `limits` are the milliseconds a test may take, by suite, where a package needs others than the usual ones. */
export function electVitest(limits: Readonly<Record<string, number>> = {}): ViteUserConfig {
  return defineConfig({
    resolve: { conditions },
    ssr: { resolve: { conditions, externalConditions: conditions } },
    test: {
      allowOnly: false,
      environment: "node",
      // On a busy machine a second is short; what does come ends the wait at once.
      expect: { poll: { timeout: 10_000, interval: 20 } },
      execArgv: ["--conditions=@elect/source"],
      passWithNoTests: false,
      pool: "forks",
      reporters: ["default", resolve(import.meta.dirname, "results-reporter.ts")],
      retry: 0,
      teardownTimeout: 10_000,
      projects: suites.map((suite) => {
        const limit = limits[suite.name] ?? suite.limit;
        const { name, files } = suite;
        return {
          extends: true as const,
          test: {
            name,
            include: [...files],
            exclude: filesOfEarlier(suite),
            testTimeout: limit,
            hookTimeout: limit,
          },
        };
      }),
    },
  });
}
