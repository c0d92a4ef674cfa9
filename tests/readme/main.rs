//! The README, followed to the letter: every command in it is run, in its order, and answers what it shows.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod document;
mod terminal;

use document::commands;
use gom_test_support::TestDatabase;
use terminal::Terminal;

/// What a reader's own values stand for.
const PLACEHOLDER_DATABASE: &str = "postgresql://user:password@host/database";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_does_what_it_shows() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let database = TestDatabase::create().await;
    let mut terminal = Terminal::new(&[
        (PLACEHOLDER_DATABASE, &database.url()),
        // The port is whichever is free.
        ("localhost:3000", "$GOM_ADDRESS"),
    ]);
    let all = commands(&readme);
    assert!(all.len() > 15, "the README has commands");
    for command in &all {
        terminal.run(command);
    }
    terminal.finish();
}
