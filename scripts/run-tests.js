#!/usr/bin/env node
// Builds the workspace's tests and runs their programs, several at a time: most of them wait most of the time. Prints what a
// program wrote if it failed, and how long each took. Exit status 1 if any failed.
//
//   scripts/run-tests.js [--lanes N] [NAME…]       NAME: only programs whose name contains it

const { spawn, spawnSync } = require("node:child_process");
const { dirname, join } = require("node:path");
const { mkdtempSync, openSync, closeSync, readFileSync, rmSync, statfsSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");

const args = process.argv.slice(2);
let lanes = 2;
if (args[0] === "--lanes") {
    lanes = Number(args[1]);
    args.splice(0, 2);
}
if (!Number.isInteger(lanes) || lanes < 1 || args.some((name) => name.startsWith("-"))) {
    console.error("usage: scripts/run-tests.js [--lanes N] [NAME…]");
    process.exit(2);
}

/** The package's name. Cargo leaves it out of `path+file:///…/gom#0.1.0` if the folder is called the same. */
function packageName(id) {
    const [, folder, name] = id.match(/([^/#]*)#(?:(.*)@)?[^@]*$/);
    return name ?? folder;
}

/** Test programs that cargo has built: their name, executable, and package's folder. */
function build() {
    const cargo = spawnSync(
        "cargo",
        ["test", "--workspace", "--no-run", "--quiet", "--message-format=json-render-diagnostics"],
        { stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 30, encoding: "utf8" },
    );
    if (cargo.status !== 0) process.exit(1);
    const lines = cargo.stdout.split("\n").filter((line) => line.startsWith("{"));
    return lines
        .map((line) => JSON.parse(line))
        .filter((message) => message.reason === "compiler-artifact" && message.profile.test && message.executable)
        .map((message) => ({
            name: `${packageName(message.package_id)} ${message.target.name}`,
            executable: message.executable,
            folder: dirname(message.manifest_path),
        }));
}

/**
 * Where the tests write: in memory, if there is room and programs can be run from there. Each test creates and drops a database
 * of hundreds of files, which keeps a disk's file system busier than all the rest.
 */
function scratch() {
    const [memory, room] = ["/dev/shm", 8 * 2 ** 30];
    let folder;
    try {
        const { bavail, bsize } = statfsSync(memory);
        if (bavail * bsize < room) return tmpdir();
        folder = mkdtempSync(join(memory, "gom-probe-"));
        writeFileSync(join(folder, "probe"), "#!/bin/sh\n", { mode: 0o755 });
        return spawnSync(join(folder, "probe")).status === 0 ? memory : tmpdir();
    } catch {
        return tmpdir();
    } finally {
        if (folder) rmSync(folder, { recursive: true, force: true });
    }
}

/** Runs one program; its output is kept in a file, since it may be long. */
function run(program, folder) {
    const started = Date.now();
    const path = join(folder, program.name.replace(/[^a-z0-9]+/gi, "-"));
    const output = openSync(path, "w");
    const child = spawn(program.executable, ["--quiet"], { cwd: program.folder, stdio: ["ignore", output, output] });
    return new Promise((resolve) => {
        child.on("error", (error) => resolve({ program, seconds: 0, status: String(error), path }));
        child.on("exit", (code, signal) => {
            closeSync(output);
            resolve({ program, seconds: (Date.now() - started) / 1000, status: signal ?? code, path });
        });
    });
}

/** What each failed test of a program said, without backtraces. */
function failures(text) {
    const blocks = text.split(/^---- (.*) ----$/m).slice(1);
    const shown = [];
    for (let block = 0; block + 1 < blocks.length; block += 2) {
        const lines = blocks[block + 1].split("\n").filter((line) => line.trim() !== "");
        const panic = lines.findIndex((line) => / panicked at /.test(line));
        const end = lines.findIndex((line) => /^(stack backtrace:|note: |failures:|test result:)/.test(line));
        const said = lines.slice(Math.max(panic, 0), end < 0 ? undefined : end);
        shown.push(`${blocks[block]}\n  ${said.slice(0, 12).join("\n  ").slice(0, 2_000)}`);
    }
    return shown;
}

async function main() {
    const programs = build().filter(({ name }) => args.length === 0 || args.some((part) => name.includes(part)));
    if (programs.length === 0) {
        console.error("no test program has such a name");
        process.exit(2);
    }
    process.env.TMPDIR = scratch();
    const folder = mkdtempSync(join(tmpdir(), "gom-tests-"));
    const [failed, said] = [[], []];
    const lane = async () => {
        for (let program = programs.shift(); program; program = programs.shift()) {
            const result = await run(program, folder);
            const good = result.status === 0;
            const text = readFileSync(result.path, "utf8");
            const counted = text.match(/^test result: .*$/gm)?.at(-1)?.replace("test result: ", "") ?? "";
            console.log(`${good ? "ok  " : "FAIL"} ${result.seconds.toFixed(1).padStart(6)} s  ${program.name}  ${counted}`);
            if (!good) {
                failed.push(program.name);
                console.log(`exit status ${result.status}\n${text}`);
                said.push(...failures(text).map((failure) => `${program.name}: ${failure}`));
            }
        }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    rmSync(folder, { recursive: true, force: true });
    if (failed.length > 0) {
        // Once more in short, where a reader of a long log looks first.
        console.error(said.join("\n"));
        console.error(`failed: ${failed.join(", ")}`);
        process.exit(1);
    }
}

main();
