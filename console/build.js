// Bundles the console: `node build.js FOLDER` writes into the folder what the server includes, `node build.js --check FOLDER`
// says whether it holds what the sources and the lock file give. What is compared is the content: compressors differ.

import { build } from "esbuild";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, gunzipSync, gzipSync } from "node:zlib";

const HERE = dirname(fileURLToPath(import.meta.url));
const LICENCES = ["MIT", "ISC", "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "(MPL-2.0 OR Apache-2.0)"];

/** No `<style>` is made at run time, which the page's policy forbids. */
const sheets = {
  name: "constructed style sheets",
  setup({ onResolve }) {
    onResolve({ filter: /^react-style-singleton$/ }, () => ({ path: join(HERE, "src/sheets.js") }));
  },
};

/** Nothing is taken from `data:`, which the page's policy forbids, and the system's fonts are good enough. */
const plainStyles = {
  name: "plain styles",
  setup({ onLoad }) {
    onLoad({ filter: /graphiql[/\\]dist[/\\]style\.css$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      const contents = text.replace(/@font-face\s*\{[^}]*\}/g, "").replace(/background-image:\s*url\("?data:[^)]*\);?/g, "");
      if (contents.includes("data:")) throw new Error("there is data: left in the styles");
      return { contents, loader: "css" };
    });
  },
};

/** The names, versions and licences of the packages that files of the bundle came from. */
function licences(inputs) {
  const packages = new Set();
  for (const input of inputs) {
    const parts = join(HERE, input).split(`${sep}node_modules${sep}`);
    if (parts.length < 2) continue;
    const [scope, name] = parts.at(-1).split(sep);
    const folder = scope.startsWith("@") ? join(scope, name) : scope;
    packages.add(join(parts.slice(0, -1).join(`${sep}node_modules${sep}`), "node_modules", folder));
  }
  const texts = [...packages].map((folder) => {
    const { name, version, license, author, repository } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    if (!LICENCES.includes(license)) throw new Error(`${name} has the licence ${license}: look whether it may be bundled`);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const by = author?.name ?? author ?? repository?.url ?? repository;
    const text = file ? readFileSync(join(folder, file), "utf8").trim() : `By ${by}; the package comes without the licence's text.`;
    return [`${name} ${version}`, `${name} ${version}\nLicence: ${license}\n\n${text}\n`];
  });
  texts.sort(([one], [other]) => (one < other ? -1 : 1));
  return texts.map(([, text]) => text).join(`\n${"-".repeat(80)}\n\n`);
}

async function bundle() {
  const { outputFiles, metafile } = await build({
    absWorkingDir: HERE,
    entryPoints: { console: "src/main.jsx" },
    outdir: "out",
    write: false,
    metafile: true,
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2022"],
    charset: "utf8",
    legalComments: "none",
    jsx: "automatic",
    loader: { ".graphql": "text" },
    define: { "process.env.NODE_ENV": '"production"' },
    plugins: [sheets, plainStyles],
    logLevel: "warning",
  });
  const files = new Map(outputFiles.map(({ path, contents }) => [path.split(sep).at(-1), Buffer.from(contents)]));
  files.set("licences.txt", Buffer.from(licences(Object.keys(metafile.inputs))));
  return files;
}

const [first, second] = process.argv.slice(2);
const files = await bundle();
if (first === "--check") {
  const kept = readdirSync(second).filter((name) => name.endsWith(".gz"));
  const expected = [...files.keys()].map((name) => `${name}.gz`);
  const differing = expected.filter(
    (name) => !kept.includes(name) || !gunzipSync(readFileSync(join(second, name))).equals(files.get(name.slice(0, -3))),
  );
  const wrong = [...differing, ...kept.filter((name) => !expected.includes(name))];
  if (wrong.length > 0) {
    console.error(`${second} is not what console/ gives (${wrong.join(", ")}): run scripts/build-console`);
    process.exit(1);
  }
} else {
  rmSync(first, { recursive: true, force: true });
  mkdirSync(first, { recursive: true });
  for (const [name, contents] of files) {
    const packed = gzipSync(contents, { level: constants.Z_BEST_COMPRESSION });
    writeFileSync(join(first, `${name}.gz`), packed);
    console.log(`${name}: ${contents.length} bytes, ${packed.length} compressed`);
  }
}
