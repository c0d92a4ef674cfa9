// Builds and packs each package into `packs`, and installs the packed files for the tests: what they import is what users get.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";

process.chdir(import.meta.dirname);
const npm = (...args) => execFileSync("npm", args, { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });

npm("run", "build", "--silent");
rmSync("packs", { recursive: true, force: true });
rmSync("test/node_modules", { recursive: true, force: true });
mkdirSync("packs");
for (const folder of readdirSync("packages")) {
  const { name } = JSON.parse(readFileSync(`packages/${folder}/package.json`, "utf8"));
  const [packed] = JSON.parse(npm("pack", "--json", "--workspace", name, "--pack-destination", "packs"));
  const target = `test/node_modules/${name}`;
  mkdirSync(target, { recursive: true });
  execFileSync("tar", ["--extract", "--gzip", "--strip-components=1", "--directory", target, "--file", `packs/${packed.filename}`]);
  console.log(`${packed.filename}: ${packed.entryCount} files, ${packed.size} bytes`);
}
