//! One connection to PostgreSQL with its prepared statements. Knows nothing of who uses it, alone or shared.

use std::cell::RefCell;
use std::pin::pin;

use futures::{FutureExt, StreamExt, TryStreamExt};
use gom_engine::plan::{Param, Statement};
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{CancelToken, Client, Row, RowStream};

use super::connector::Open;
use super::error::Failure;
use super::statements::Statements;
use super::text::{JsonText, Parameter};
use super::tls::Tls;
use gom_telemetry::causes::with_causes;
use gom_telemetry::metrics::{Lookup, PREPARED_STATEMENTS};

pub(super) struct Link {
    client: Client,
    statements: Statements,
    io: RefCell<JoinHandle<()>>,
    tls: Tls,
    /// The life of the server that it belongs to: see `Health::generation`.
    pub generation: u64,
    _open: Open,
}

/// A statement that can be sent.
pub(super) enum Ready<'a> {
    Prepared(tokio_postgres::Statement),
    /// Too long to be kept: sent with its text, without a name.
    Unnamed(&'a str),
}

/// What a statement did.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub first: Option<Row>,
    /// Rows that came back, or that were changed if none came back.
    pub rows: u64,
}

impl Link {
    pub fn new(
        client: Client,
        io: JoinHandle<()>,
        tls: Tls,
        statements: Statements,
        generation: u64,
        open: Open,
    ) -> Self {
        Link {
            client,
            statements,
            io: RefCell::new(io),
            tls,
            generation,
            _open: open,
        }
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends when the connection has ended.
    pub async fn closed(&self) {
        // One keeper waits for a link at a time, and nobody else borrows the handle meanwhile but `sever`.
        std::future::poll_fn(|cx| match self.io.try_borrow_mut() {
            Ok(mut io) if !io.is_finished() => std::pin::Pin::new(&mut *io).poll(cx).map(|_| ()),
            _ => std::task::Poll::Ready(()),
        })
        .await;
    }

    /// Closes the socket now, whatever is in flight. A transaction that was not committed is rolled back.
    pub fn sever(&self) {
        self.io.borrow().abort();
    }

    pub fn canceller(&self) -> Canceller {
        Canceller::new(&self.client, &self.tls)
    }

    /// Sends a statement without parameters; order on the wire is the order in which the futures are polled.
    pub async fn command(&self, sql: &str) -> Result<Outcome, Failure> {
        match self.client.batch_execute(sql).await {
            Ok(()) => Ok(Outcome::default()),
            Err(error) => Err(Failure::of(&error)),
        }
    }

    /// Whether the statement has to be prepared before it is sent; counted: for the first look at a statement that
    /// is to be run.
    pub fn is_unprepared(&self, sql: &str) -> bool {
        let found = self.statements.get(sql).is_some();
        PREPARED_STATEMENTS.inc(if found { Lookup::Hit } else { Lookup::Miss });
        !found && self.statements.keeps(sql)
    }

    /// The statement if it can be sent without being prepared first.
    pub fn ready<'a>(&self, sql: &'a str) -> Option<Ready<'a>> {
        if !self.statements.keeps(sql) {
            return Some(Ready::Unnamed(sql));
        }
        self.statements.get(sql).map(Ready::Prepared)
    }

    /// Prepares a statement that is kept, unless it is prepared or being prepared.
    pub async fn prepare(&self, sql: &str) -> Result<tokio_postgres::Statement, Failure> {
        let slot = self.statements.slot(sql);
        match slot.get_or_try_init(|| self.client.prepare(sql)).await {
            Ok(statement) => Ok(statement.clone()),
            Err(error) => {
                self.forget(sql);
                Err(Failure::of(&error).not_retryable())
            }
        }
    }

    /// The types that a statement's parameters have; nothing of one that is not kept.
    pub async fn parameter_types(&self, sql: &str) -> Result<Option<Vec<Type>>, Failure> {
        if !self.statements.keeps(sql) {
            return Ok(None);
        }
        let prepared = self.prepare(sql).await?;
        Ok(Some(prepared.params().to_vec()))
    }

    pub fn forget(&self, sql: &str) {
        self.statements.forget(sql);
    }

    /// Puts a statement on the wire at the first poll; its rows follow.
    async fn send(
        &self,
        statement: &Ready<'_>,
        parameters: Vec<Parameter<'_>>,
    ) -> Result<RowStream, Failure> {
        match statement {
            Ready::Prepared(statement) => self
                .client
                .query_raw(statement, parameters)
                .await
                .map_err(|error| Failure::of(&error)),
            Ready::Unnamed(sql) => {
                // As for a prepared one, the statement itself says which types they have.
                let parameters = parameters
                    .into_iter()
                    .map(|parameter| (parameter, Type::UNKNOWN));
                let rows = self.client.query_typed_raw(sql, parameters).await;
                // It was parsed just now: it would not fit better another time.
                rows.map_err(|error| Failure::of(&error).not_retryable())
            }
        }
    }

    /// Has the server forget a statement without a name, which would stay until the next of its kind. Nobody waits
    /// for that.
    fn end(&self, statement: &Ready<'_>) {
        if matches!(statement, Ready::Unnamed(_)) {
            // Polled once it is sent; a simple query, even an empty one, takes the place of the unnamed statement.
            let _ = self.client.batch_execute("").now_or_never();
        }
    }

    /// Runs a statement and takes in its whole answer: an error may still follow the first row, and
    /// a commit outside a transaction only happens after the last one. Sends at the first poll.
    pub async fn run(
        &self,
        statement: &Ready<'_>,
        parameters: Vec<Parameter<'_>>,
    ) -> Result<Outcome, Failure> {
        let outcome = self.take_in(statement, parameters).await;
        self.end(statement);
        outcome
    }

    async fn take_in(
        &self,
        statement: &Ready<'_>,
        parameters: Vec<Parameter<'_>>,
    ) -> Result<Outcome, Failure> {
        let mut rows = pin!(self.send(statement, parameters).await?);
        let mut outcome = Outcome::default();
        while let Some(row) = rows.next().await {
            let row = row.map_err(|error| Failure::of(&error))?;
            outcome.first.get_or_insert(row);
            outcome.rows += 1;
        }
        outcome.rows = outcome.rows.max(rows.rows_affected().unwrap_or(0));
        Ok(outcome)
    }

    /// Runs one statement on its own and gives the first column of its first row. A statement that no longer
    /// fits the tables is prepared again, once.
    pub async fn ask(&self, statement: &Statement) -> Result<Option<JsonText>, Failure> {
        match self.ask_once(statement).await {
            Err(Failure::Stale(_)) => {
                self.forget(&statement.sql);
                self.ask_once(statement)
                    .await
                    .map_err(Failure::not_retryable)
            }
            answer => answer,
        }
    }

    /// Runs one statement on its own and gives all its rows; prepared again, once, if it no longer fits the tables.
    pub async fn rows(&self, statement: &Statement) -> Result<Vec<Row>, Failure> {
        match self.rows_once(statement).await {
            Err(Failure::Stale(_)) => {
                self.forget(&statement.sql);
                self.rows_once(statement)
                    .await
                    .map_err(Failure::not_retryable)
            }
            answer => answer,
        }
    }

    async fn rows_once(&self, statement: &Statement) -> Result<Vec<Row>, Failure> {
        let ready = self.made_ready(&statement.sql).await?;
        let parameters = plain(&statement.params)?;
        fits(&ready, &parameters)?;
        let rows = match self.send(&ready, parameters).await {
            Ok(rows) => rows
                .try_collect()
                .await
                .map_err(|error| Failure::of(&error)),
            Err(failure) => Err(failure),
        };
        self.end(&ready);
        rows
    }

    async fn made_ready<'a>(&self, sql: &'a str) -> Result<Ready<'a>, Failure> {
        if !self.is_unprepared(sql)
            && let Some(ready) = self.ready(sql)
        {
            return Ok(ready);
        }
        self.prepare(sql).await.map(Ready::Prepared)
    }

    async fn ask_once(&self, statement: &Statement) -> Result<Option<JsonText>, Failure> {
        let ready = self.made_ready(&statement.sql).await?;
        let parameters = plain(&statement.params)?;
        fits(&ready, &parameters)?;
        let outcome = self.run(&ready, parameters).await?;
        match outcome.first {
            Some(row) => JsonText::of(row, 0),
            None => Ok(None),
        }
    }
}

/// Whether a prepared statement takes that many parameters: a bug if not, found before anything is sent. Of a
/// statement without a name only the server knows.
pub(super) fn fits(statement: &Ready<'_>, parameters: &[Parameter<'_>]) -> Result<(), Failure> {
    let Ready::Prepared(statement) = statement else {
        return Ok(());
    };
    let (wanted, given) = (statement.params().len(), parameters.len());
    if wanted == given {
        return Ok(());
    }
    Err(Failure::Fault(format!(
        "the statement takes {wanted} parameters, not {given}"
    )))
}

/// The parameters of a statement that uses no registers.
fn plain(params: &[Param]) -> Result<Vec<Parameter<'_>>, Failure> {
    params
        .iter()
        .map(|param| match param {
            Param::Null => Ok(Parameter::Null),
            Param::Text(text) => Ok(Parameter::Borrowed(text)),
            Param::Register(_) => Err(Failure::Fault(
                "a statement on its own has no registers".to_owned(),
            )),
        })
        .collect()
}

/// Asks the server to stop what a connection is doing, over a connection of its own. It names a server
/// process, not a statement, and may arrive late: only for a link that nobody else uses, now or later.
pub struct Canceller {
    token: CancelToken,
    tls: Tls,
}

impl Canceller {
    pub(super) fn new(client: &Client, tls: &Tls) -> Self {
        Canceller {
            token: client.cancel_token(),
            tls: tls.clone(),
        }
    }

    /// Cancels the statement that runs on the connection. Without effect if none does.
    pub async fn cancel(&self) {
        let result = match &self.tls {
            Tls::Off => self.token.cancel_query(tokio_postgres::NoTls).await,
            Tls::On(connect) => self.token.cancel_query(connect.clone()).await,
        };
        if let Err(error) = result {
            tracing::debug!(
                error = with_causes(&error),
                "a cancel request did not reach the server"
            );
        }
    }
}
