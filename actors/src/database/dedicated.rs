//! A connection of one actor's own: opened when it is first needed, and again when it was lost. Statements of
//! several tasks follow each other on it without waiting.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use gom_engine::plan::Statement;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_postgres::Row;

use super::Database;
use super::connector::{ConnectionPurpose, Planning};
use super::error::{DatabaseError, Failure};
use super::link::Link;

/// How much longer than its `statement_timeout` the server may take before it counts as gone.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) struct DedicatedConnection {
    database: Database,
    /// How long a statement may take.
    limit: Duration,
    planning: Planning,
    link: RefCell<Option<Rc<Link>>>,
    opening: Mutex<()>,
    /// When the last answer came, and how long the thread had worked by then.
    answered: Cell<(Instant, Duration)>,
    thread: ThreadWork,
}

/// For how long a thread was busy with something else than the connections that share this: an answer which came meanwhile
/// was noticed late. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct ThreadWork(Rc<Cell<Duration>>);

impl ThreadWork {
    pub fn add(&self, took: Duration) {
        self.0.set(self.0.get() + took);
    }

    fn so_far(&self) -> Duration {
        self.0.get()
    }
}

/// A statement has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StatementError {
    /// The database is not there, or does not answer: the same may be retried.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// This statement took longer than it may.
    #[error("a statement took longer than {} ms", .0.as_millis())]
    Slow(Duration),
    /// The database refuses this statement, and would again.
    #[error("the database refused a statement: {0}")]
    Rejected(String),
    /// What was asked for is more than may be read at once.
    #[error("an answer is too large: {0}")]
    Excessive(String),
}

impl DedicatedConnection {
    /// `limit`: overrides the default `statement_timeout`.
    pub fn new(database: &Database, limit: Option<Duration>) -> Self {
        DedicatedConnection::beside(database, limit, ThreadWork::default())
    }

    /// The same on a thread that does other work, with which no statement is charged.
    pub fn beside(database: &Database, limit: Option<Duration>, thread: ThreadWork) -> Self {
        DedicatedConnection {
            database: database.clone(),
            limit: limit.unwrap_or(database.options.statement_timeout),
            planning: Planning::Estimated,
            link: RefCell::default(),
            opening: Mutex::new(()),
            answered: Cell::new((Instant::now(), thread.so_far())),
            thread,
        }
    }

    /// Statements are planned each time that they run, and not once for good: for tables that are empty now and full later.
    pub fn planned_each_time(self) -> Self {
        DedicatedConnection {
            planning: Planning::EachTime,
            ..self
        }
    }

    /// Statements are planned once for all parameters: for those that find few rows by keys, whatever the parameters are,
    /// and take less time than a plan. Tables may grow: no plan walks along a whole one.
    pub fn planned_once(self) -> Self {
        DedicatedConnection {
            planning: Planning::Once,
            ..self
        }
    }

    /// Runs a statement that commits by itself; its rows.
    pub async fn rows(&self, statement: &Statement) -> Result<Vec<Row>, StatementError> {
        self.timed_rows(statement).await.0
    }

    /// The same for a statement whose functions and tables a database of an earlier version does not have: PostgreSQL's
    /// report that they are missing, in place of rows.
    pub async fn rows_unless_missing(
        &self,
        statement: &Statement,
    ) -> Result<Result<Vec<Row>, Box<DatabaseError>>, StatementError> {
        let (answer, _) = self.timed(statement).await?;
        match answer {
            Ok(rows) => Ok(Ok(rows)),
            Err(Failure::Rejected(report) | Failure::Stale(report))
                if report.kind().is_missing() =>
            {
                Ok(Err(report))
            }
            Err(failure) => Err(self.error(failure)),
        }
    }

    /// As [`DedicatedConnection::rows`], and how long the connection was busy with it: what it waited for others before it does not count, nor what
    /// the thread did meanwhile, without which its answer might have been noticed earlier.
    pub async fn timed_rows(
        &self,
        statement: &Statement,
    ) -> (Result<Vec<Row>, StatementError>, Duration) {
        match self.timed(statement).await {
            Ok((answer, busy)) => (answer.map_err(|failure| self.error(failure)), busy),
            Err(error) => (Err(error), Duration::ZERO),
        }
    }

    async fn timed(
        &self,
        statement: &Statement,
    ) -> Result<(Result<Vec<Row>, Failure>, Duration), StatementError> {
        let link = self.link().await?;
        let now = || (Instant::now(), self.thread.so_far());
        let sent = now();
        let answer = self.ask(&link, statement).await;
        let (since, worked) = sent.max(self.answered.replace(now()));
        let busy = since
            .elapsed()
            .saturating_sub(self.thread.so_far() - worked);
        Ok((answer, busy))
    }

    async fn ask(&self, link: &Rc<Link>, statement: &Statement) -> Result<Vec<Row>, Failure> {
        let patience = self.limit + GRACE;
        let mut asking = pin!(link.rows(statement));
        let answer = loop {
            match timeout(patience, &mut asking).await {
                Ok(answer) => break answer,
                // Others were before it and are answered: its turn comes.
                Err(_) if self.answered.get().0.elapsed() < patience => {}
                Err(_) => {
                    link.sever();
                    break Err(Failure::Lost("no answer in time".to_owned()));
                }
            }
        };
        if matches!(answer, Err(Failure::Lost(_))) {
            self.lose(link);
        }
        answer
    }

    fn error(&self, failure: Failure) -> StatementError {
        match failure {
            Failure::Rejected(report) | Failure::Stale(report) => {
                StatementError::Rejected(report.to_string())
            }
            Failure::Fault(message) => StatementError::Rejected(message),
            Failure::Cancelled => StatementError::Slow(self.limit),
            other => StatementError::Unavailable(other.into_run_error().to_string()),
        }
    }

    async fn link(&self) -> Result<Rc<Link>, StatementError> {
        if let Some(link) = self.live() {
            return Ok(link);
        }
        let _opening = self.opening.lock().await;
        if let Some(link) = self.live() {
            return Ok(link);
        }
        let opened = self
            .database
            .connector
            .open(
                ConnectionPurpose::Dedicated {
                    limit: self.limit,
                    planning: self.planning,
                },
                0,
            )
            .await;
        let link = Rc::new(opened.map_err(|error| StatementError::Unavailable(error.reason))?);
        *self.link.borrow_mut() = Some(Rc::clone(&link));
        Ok(link)
    }

    fn live(&self) -> Option<Rc<Link>> {
        self.link
            .borrow()
            .as_ref()
            .filter(|link| !link.is_closed())
            .cloned()
    }

    /// Forgets the connection, unless another has taken its place.
    fn lose(&self, lost: &Rc<Link>) {
        let mut link = self.link.borrow_mut();
        if link.as_ref().is_some_and(|link| Rc::ptr_eq(link, lost)) {
            *link = None;
        }
    }
}
