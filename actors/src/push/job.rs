//! What is queued, and who knows what it means.

use std::time::SystemTime;

use futures::future::LocalBoxFuture;

use super::notice::Notice;

/// A change that somebody may have to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: i64,
    /// What has changed: `order`, `publication`.
    pub subject: String,
    /// The node's id.
    pub node: String,
    /// It is new; if not, it was changed.
    pub created: bool,
    /// The `sub` of the token by which it was written; none: by the service, or from outside the API.
    pub writer: Option<String>,
}

/// What a job comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Composed {
    /// Nobody is to be told: the node is gone, or was called off.
    Nothing,
    /// Not before this time.
    Later(SystemTime),
    Notify(Notice),
}

/// It cannot be said what a job comes to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// Something is away that will be back.
    #[error("{0}")]
    Later(String),
    /// Trying again would hardly help.
    #[error("{0}")]
    Never(String),
}

/// A notification of which nothing is left to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The notification's id.
    pub notification: String,
    /// The job's subject and node.
    pub subject: String,
    pub source: String,
    /// Devices that confirmed it, that could not be reached, and that were gone.
    pub delivered: u64,
    pub failed: u64,
    pub gone: u64,
}

/// The application's part: what is said to whom. Lives in the dispatcher's thread.
pub trait Composer {
    /// What a job comes to now. Asked again if it could not be said, or if the node changed meanwhile.
    fn compose<'a>(&'a self, job: &'a Job) -> LocalBoxFuture<'a, Result<Composed, ComposeError>>;

    /// Hears at least once of each notification that is settled.
    fn settled<'a>(&'a self, settled: &'a Settled) -> LocalBoxFuture<'a, Result<(), ComposeError>>;
}
