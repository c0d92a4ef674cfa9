//! The JavaScript clients (`clients/js`): packed, installed, and run against this server, with its private database, through cut
//! connections and killed servers.

use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

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

/// The packages as users get them, installed for the tests. Packing removes folders, so it runs once.
static PACKED: LazyLock<()> = LazyLock::new(|| {
    node(&["pack.js"]);
});

/// Runs files of tests on the packed clients.
fn pass(files: &[&str]) {
    // One at a time: each starts servers, databases and browsers, beside which other tests have to be on time.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    LazyLock::force(&PACKED);
    let arguments = ["--test", "--test-reporter=spec", "--test-timeout=120000"];
    let said = node(&[&arguments, files].concat());
    assert!(said.contains("\u{2139} fail 0\n"), "{said}");
    assert!(said.contains("\u{2139} skipped 0\n"), "{said}");
}

#[test]
fn the_packed_clients_pass_their_tests() {
    pass(&[
        "test/package.test.js",
        "test/scripted.test.js",
        "test/viewers.test.js",
        "test/failures.test.js",
        "test/server.test.js",
    ]);
}

#[test]
fn the_notifications_of_a_page_and_a_worker_pass_their_tests() {
    pass(&[
        "test/push.package.test.js",
        "test/push.page.test.js",
        "test/push.ends.test.js",
        "test/push.worker.test.js",
        "test/push.browser.test.js",
    ]);
}

#[test]
fn the_rows_and_writes_kept_in_a_browser_pass_their_tests() {
    pass(&[
        "test/offline.sets.test.js",
        "test/offline.tabs.test.js",
        "test/offline.queue.test.js",
        "test/offline.browser.test.js",
    ]);
}

#[test]
fn the_react_hooks_pass_their_tests() {
    pass(&[
        "test/react.package.test.js",
        "test/react.hooks.test.js",
        "test/react.18.test.js",
        "test/react.random.test.js",
    ]);
}

#[test]
fn the_tanstack_packages_pass_their_tests() {
    pass(&[
        "test/tanstack.package.test.js",
        "test/tanstack-db.test.js",
        "test/tanstack-db.random.test.js",
        "test/tanstack-query.test.js",
    ]);
}

#[test]
fn react_and_tanstack_lists_equal_the_query_after_each_fault() {
    pass(&["test/react.tanstack.server.test.js"]);
}

#[test]
fn apollo_client_resumes_and_keeps_lists() {
    pass(&["test/apollo.scripted.test.js", "test/apollo.server.test.js"]);
}

#[test]
fn urql_resumes_and_keeps_lists() {
    pass(&["test/urql.scripted.test.js", "test/urql.server.test.js"]);
}

#[test]
fn graphql_ws_and_graphql_sse_resume_as_documented() {
    pass(&["test/graphql-ws.test.js"]);
}
