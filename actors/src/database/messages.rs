//! The messages of the database's actors.

use std::sync::Arc;

use actix::Message;
use gom_engine::plan::{Program, Statement};
use tokio::time::Instant;

use super::error::RunError;
use super::health::Health;
use super::share::Behalf;
use super::text::JsonText;

/// The first column of the first row; nothing where there is no row or the column is null.
pub(super) type Answer = Result<Option<JsonText>, RunError>;

/// To the `Connection`: run a statement that only reads. It may be repeated after a lost connection, and is
/// cancelled or left to itself when the requester goes away.
#[derive(Message)]
#[rtype(result = "Answer")]
pub(super) struct Run {
    pub statement: Statement,
    /// Known to be long: runs where it can be cancelled.
    pub long: bool,
    pub behalf: Option<Behalf>,
    pub deadline: Instant,
}

/// The answer of each statement.
pub(super) type Answers = Result<Vec<Answer>, RunError>;

/// To the `Connection`: run statements that only read, as of one moment, on a leased client; cancelled when the requester goes away. If
/// one of them fails, each is run for itself.
#[derive(Message)]
#[rtype(result = "Answers")]
pub(super) struct RunTogether {
    pub statements: Arc<[Statement]>,
    pub deadline: Instant,
}

/// To the `Connection`: carry out a program in a transaction, to its end even if the requester has gone.
#[derive(Message)]
#[rtype(result = "Answer")]
pub(super) struct Transact {
    pub program: Program,
    pub behalf: Option<Behalf>,
    pub deadline: Instant,
}

/// To the `DatabaseSupervisor`: what is the state? That it answers shows that it lives.
pub(super) struct AskHealth;

impl Message for AskHealth {
    type Result = Health;
}

/// To the `DatabaseSupervisor`: a worker lost a connection or could not open one; look at once.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Suspect {
    /// The server refused because all its connections are in use.
    pub no_room: bool,
}
