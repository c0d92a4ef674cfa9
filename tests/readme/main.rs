//! Documents, followed to the letter: every command is run, in its order, and answers what the document shows. Here the README;
//! `migrating.rs` has the move from Prisma 1.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod document;
mod left_behind;
mod migrating;
mod terminal;
mod visitor;

use document::commands;
use gom_test_support::TestDatabase;
use terminal::Terminal;

/// What a reader's own values stand for.
const PLACEHOLDER_DATABASE: &str = "postgresql://user:password@host/database";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_does_what_it_shows() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
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
