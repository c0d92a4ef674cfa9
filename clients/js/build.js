// Builds the package of the current folder into `dist`, which holds nothing else.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

rmSync("dist", { recursive: true, force: true });
const tsc = fileURLToPath(new URL("node_modules/typescript/bin/tsc", import.meta.url));
process.exit(spawnSync(process.execPath, [tsc, "--project", "tsconfig.json"], { stdio: "inherit" }).status ?? 1);
