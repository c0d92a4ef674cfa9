//! The JavaScript clients (`clients/js`): packed, installed, and run against this server, with its private database, through cut
//! connections and killed servers.

use std::path::Path;
use std::process::Command;

/// Runs Node.js in the clients' folder, and returns what it wrote.
fn node(arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/js");
    assert!(
        folder.join("node_modules").exists(),
        "the clients' tools are missing: run `npm ci --prefix clients/js --ignore-scripts`"
    );
    let output = Command::new("node")
        .args(arguments)
        .current_dir(folder)
        .env("GOM", env!("CARGO_BIN_EXE_gom"))
        .output()
        .expect("Node.js runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn the_packed_clients_pass_their_tests() {
    node(&["pack.js"]);
    let said = node(&[
        "--test",
        "--test-reporter=spec",
        "--test-timeout=120000",
        "test/package.test.js",
        "test/scripted.test.js",
        "test/viewers.test.js",
        "test/failures.test.js",
        "test/server.test.js",
    ]);
    assert!(said.contains("\u{2139} fail 0\n"), "{said}");
    assert!(said.contains("\u{2139} skipped 0\n"), "{said}");
}
