//! Reads and programs on a real PostgreSQL, well and ill.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod programs;
mod proxy;
mod reads;
mod repetitions;
mod statements;
mod states;

use std::time::Duration;

use gom_actors::database::{Database, DatabaseOptions, JsonText, LocalDatabase, RunError};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{Expect, Param, Program, Register, Statement, Step};
use tokio::time::Instant;
use tokio_postgres::Config;

pub fn statement(sql: &str, params: &[&str]) -> Statement {
    Statement {
        sql: sql.to_owned(),
        params: params.iter().map(|text| value(text)).collect(),
    }
}

pub fn value(text: &str) -> Param {
    Param::Text(text.to_owned())
}

pub fn run(sql: &str, params: Vec<Param>, fills: &[usize], expect: Expect) -> Step {
    Step::Run {
        statement: Statement {
            sql: sql.to_owned(),
            params,
        },
        fills: fills.iter().map(|index| Register(*index)).collect(),
        expect,
    }
}

pub fn program(registers: usize, steps: Vec<Step>) -> Program {
    Program { steps, registers }
}

pub fn no(message: &str) -> Box<ApiError> {
    Box::new(ApiError::new(ErrorKind::Execution, message))
}

pub fn within(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

/// Later than anything that a test waits for.
pub fn later() -> Instant {
    within(30_000)
}

pub fn text(answer: Result<Option<JsonText>, RunError>) -> Option<String> {
    answer
        .expect("an answer")
        .map(|text| text.as_str().to_owned())
}

pub async fn ask(database: &LocalDatabase, sql: &str) -> String {
    text(database.read(statement(sql, &[]), later()).await).expect("a value")
}

/// The database for a test of one worker.
pub async fn served(config: Config, change: impl FnOnce(&mut DatabaseOptions)) -> LocalDatabase {
    let database = started(config, change);
    database
        .database()
        .ready(later())
        .await
        .expect("the database is there");
    database
}

/// The same, without waiting for it.
pub fn started(config: Config, change: impl FnOnce(&mut DatabaseOptions)) -> LocalDatabase {
    let mut options = DatabaseOptions::new(config);
    options.workers = 1;
    change(&mut options);
    Database::start(options)
        .expect("no encryption to set up")
        .local()
}
