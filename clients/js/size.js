// Prints how many bytes an application adds that imports everything of the core package: bundled, minified, gzip.
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const LIMIT = 5 * 1024;

/** Bytes of what `code` imports, minified and compressed. */
export function size(code) {
  const { outputFiles } = buildSync({
    stdin: { contents: code, resolveDir: process.cwd() },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}
