// The public API of the package in the current folder as one text, committed as api/<package>.api.md: a change of the
// API is a diff that somebody reads. Called without arguments it compares, with --update it writes.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import ts from "typescript-6";

/**
 * Every declaration that an entry point of the package exports, and every one of the package that those mention,
 * without comments and sorted by name: moving code between files changes nothing here.
 */
export function renderApi(folder: string): string {
  const dist = join(folder, "dist");
  const entries = entryPoints(folder);
  const program = ts.createProgram(
    entries.map(({ types }) => types),
    {
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      allowImportingTsExtensions: true,
      noEmit: true,
      types: [],
    },
  );
  const checker = program.getTypeChecker();
  const printer = ts.createPrinter({ removeComments: true });

  const exported = entries.map(({ name, types }) => {
    const source = program.getSourceFile(types);
    if (source === undefined) throw new Error(`${types} does not exist: build the package first`);
    const module = checker.getSymbolAtLocation(source);
    const symbols = module === undefined ? [] : checker.getExportsOfModule(module).map(resolved);
    return { name, symbols };
  });
  const reached = new Set<ts.Symbol>();
  const queue = exported.flatMap(({ symbols }) => symbols);
  const surface = new Set(queue);
  for (let symbol = queue.pop(); symbol !== undefined; symbol = queue.pop()) {
    if (reached.has(symbol)) continue;
    reached.add(symbol);
    for (const declaration of topLevelDeclarations(symbol)) collectMentioned(declaration);
  }

  return [
    `# API of @elect/${basename(folder)}`,
    "Written by `pnpm api:update`. A change here is a change of what users see.",
    ...exported.map(({ name, symbols }) => section(name, symbols)),
    section(
      "Mentioned above, exported by none",
      [...reached].filter((symbol) => !surface.has(symbol)),
    ),
  ]
    .filter((part) => part !== "")
    .join("\n\n")
    .concat("\n");

  function collectMentioned(node: ts.Node): void {
    if (ts.isIdentifier(node)) {
      const symbol = checker.getSymbolAtLocation(node);
      if (symbol !== undefined && topLevelDeclarations(resolved(symbol)).length > 0)
        queue.push(resolved(symbol));
    }
    ts.forEachChild(node, collectMentioned);
  }

  function resolved(symbol: ts.Symbol): ts.Symbol {
    return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  }

  function topLevelDeclarations(symbol: ts.Symbol): ts.Node[] {
    return (symbol.declarations ?? [])
      .map((declaration) => (ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration))
      .filter((node) => ts.isSourceFile(node.parent) && node.getSourceFile().fileName.startsWith(dist));
  }

  function section(title: string, symbols: readonly ts.Symbol[]): string {
    if (symbols.length === 0) return "";
    const texts = symbols
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap(topLevelDeclarations)
      .map((node) => printer.printNode(ts.EmitHint.Unspecified, node, node.getSourceFile()))
      .map((text) => text.replace(/^export (declare )?/, "").replace(/^declare /, ""));
    return `## ${title}\n\n\`\`\`ts\n${[...new Set(texts)].join("\n\n")}\n\`\`\``;
  }
}

function entryPoints(folder: string): { name: string; types: string }[] {
  const { name, exports } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    name: string;
    exports: Record<string, string | { types: string }>;
  };
  return Object.entries(exports).flatMap(([path, target]) =>
    typeof target === "string" ? [] : { name: join(name, path), types: join(folder, target.types) },
  );
}

/** The difference between the committed report and the built package, or null. */
export function apiDifference(folder: string): string | null {
  const committed = reportFile(folder);
  const now = renderApi(folder);
  if (existsSync(committed) && readFileSync(committed, "utf8") === now) return null;
  const scratch = mkdtempSync(join(tmpdir(), "elect-api-"));
  try {
    const built = join(scratch, "built.api.md");
    writeFileSync(built, now);
    const before = existsSync(committed) ? committed : "/dev/null";
    return spawnSync("git", ["diff", "--no-index", before, built], { encoding: "utf8" }).stdout;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

export function updateReport(folder: string): void {
  mkdirSync(dirname(reportFile(folder)), { recursive: true });
  writeFileSync(reportFile(folder), renderApi(folder));
}

function reportFile(folder: string): string {
  return join(folder, "api", `${basename(folder)}.api.md`);
}

if (import.meta.main) {
  if (process.argv.includes("--update")) updateReport(process.cwd());
  else {
    const difference = apiDifference(process.cwd());
    if (difference !== null) {
      console.log(difference);
      process.exitCode = 1;
    }
  }
}
