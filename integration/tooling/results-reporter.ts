// Writes .results/<suite>.json in the package under test; integration/summary adds all of them up.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Reporter, TestModule, TestRunEndReason, TestSpecification, Vitest } from "vitest/node";

/** What one suite of one package says about its run. */
export interface SuiteResult {
  passed: number;
  failed: { name: string; why: string }[];
  skipped: { name: string; reason: string | null }[];
}

export default class ResultsReporter implements Reporter {
  #root = process.cwd();
  #suites = new Set<string>();

  onInit(vitest: Vitest): void {
    this.#root = vitest.config.root;
  }

  onTestRunStart(specifications: readonly TestSpecification[]): void {
    this.#suites = new Set(specifications.map((specification) => specification.project.name));
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    unhandled: readonly { message: string }[],
    reason: TestRunEndReason,
  ): void {
    const folder = join(this.#root, ".results");
    mkdirSync(folder, { recursive: true });
    for (const suite of this.#suites) {
      const result: SuiteResult = { passed: 0, failed: [], skipped: [] };
      for (const module of modules) if (module.project.name === suite) count(module, result);
      for (const error of unhandled) result.failed.push({ name: "unhandled error", why: error.message });
      if (reason === "interrupted") result.failed.push({ name: "the run", why: "was interrupted" });
      writeFileSync(join(folder, `${suite}.json`), `${JSON.stringify(result, null, 2)}\n`);
    }
  }
}

function count(module: TestModule, result: SuiteResult): void {
  const file = module.relativeModuleId;
  const broken = (name: string, errors: readonly { message: string }[]) => {
    for (const error of errors) result.failed.push({ name, why: error.message });
  };
  broken(file, module.errors());
  for (const group of module.children.allSuites()) broken(`${file} > ${group.fullName}`, group.errors());
  for (const test of module.children.allTests()) {
    const name = `${file} > ${test.fullName}`;
    const outcome = test.result();
    if (outcome.state === "passed") result.passed += 1;
    else if (outcome.state === "skipped") result.skipped.push({ name, reason: outcome.note ?? null });
    else if (outcome.state === "failed") {
      result.failed.push({ name, why: outcome.errors[0]?.message ?? "failed" });
    } else result.failed.push({ name, why: "never ended" });
  }
}
