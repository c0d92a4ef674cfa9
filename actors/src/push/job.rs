//! What is queued, and who knows what it means.

use std::time::SystemTime;

use futures::future::LocalBoxFuture;

use super::notice::Notice;

/// A change that may cause notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The job's number.
    pub id: i64,
    /// What has changed: the subject of a watched model.
    pub subject: String,
    /// The node's id.
    pub node: String,
    /// It is new; if not, it was changed.
    pub created: bool,
    /// The `sub` of the token by which it was written; none: by the service, or from outside the API.
    pub writer: Option<String>,
    /// When it was queued, and what time it is, by the database's clock: those of several servers may differ.
    pub queued_at: SystemTime,
    /// The database's time when the job was leased.
    pub now: SystemTime,
}

/// The most recipients that are named at a time. With all their devices they must fit into memory, and into one statement
/// that others need not wait for.
pub const MAX_RECIPIENTS: usize = 1_000;

/// What a job comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Composed {
    /// It causes no notification: the node is gone, or was cancelled.
    Nothing,
    /// Not before this time.
    Later(SystemTime),
    /// Its time has come and gone, so long ago that no notification is sent any more.
    TooLate,
    /// It causes this notification.
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
    /// The node of the job that caused it.
    pub source: String,
    /// Devices that confirmed it, that could not be reached, and that were gone.
    pub delivered: u64,
    /// Devices that could not be reached.
    pub failed: u64,
    /// Devices whose subscription has ended.
    pub gone: u64,
}

/// The application's part: the recipients and the text of a notification. Lives in the dispatcher's thread.
pub trait Composer {
    /// What a job comes to now, for [`MAX_RECIPIENTS`] at most. Asked again if it could not be said, if the node changed
    /// meanwhile, and for more recipients: those that follow the place `after`, which is the `next` of an earlier notice.
    fn compose<'a>(
        &'a self,
        job: &'a Job,
        after: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Composed, ComposeError>>;

    /// Hears at least once that a job will never come to anything: it was given up.
    fn given_up<'a>(&'a self, job: &'a Job) -> LocalBoxFuture<'a, Result<(), ComposeError>>;

    /// Hears at least once of each notification that is settled.
    fn settled<'a>(&'a self, settled: &'a Settled) -> LocalBoxFuture<'a, Result<(), ComposeError>>;
}
