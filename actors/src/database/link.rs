//! One connection to PostgreSQL with its prepared statements. Knows nothing of who uses it, alone or shared.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;

use futures::{StreamExt, TryStreamExt};
use gom_engine::plan::{Param, Statement};
use quick_cache::unsync::Cache;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client, Row};

use super::connector::Open;
use super::error::Failure;
use super::text::{JsonText, Parameter};
use super::tls::Tls;
use crate::metrics::{Lookup, PREPARED_STATEMENTS};

/// A prepared statement, or the place where one is being prepared: whoever needs it meanwhile waits for it.
type Slot = Rc<OnceCell<tokio_postgres::Statement>>;

pub(super) struct Link {
    client: Client,
    /// Keyed by the SQL text. A statement that falls out is closed on the server when its last use ends.
    statements: RefCell<Cache<String, Slot>>,
    io: RefCell<JoinHandle<()>>,
    tls: Tls,
    /// The life of the server that it belongs to: see `Health::generation`.
    pub generation: u64,
    _open: Open,
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
        statements: usize,
        generation: u64,
        open: Open,
    ) -> Self {
        Link {
            client,
            statements: RefCell::new(Cache::new(statements.max(1))),
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

    /// The statement if it is prepared already.
    pub fn prepared(&self, sql: &str) -> Option<tokio_postgres::Statement> {
        self.statements.borrow().get(sql).and_then(|slot| slot.get().cloned())
    }

    /// The same, counted: for the first look at a statement that is to be run.
    pub fn look_up(&self, sql: &str) -> Option<tokio_postgres::Statement> {
        let prepared = self.prepared(sql);
        PREPARED_STATEMENTS.one(if prepared.is_some() { Lookup::Hit } else { Lookup::Miss });
        prepared
    }

    /// Prepares a statement unless it is prepared or being prepared.
    pub async fn prepare(&self, sql: &str) -> Result<tokio_postgres::Statement, Failure> {
        let cached = self.statements.borrow().get(sql).cloned();
        let slot = cached.unwrap_or_else(|| {
            let slot = Slot::default();
            self.statements.borrow_mut().insert(sql.to_owned(), Rc::clone(&slot));
            slot
        });
        match slot.get_or_try_init(|| self.client.prepare(sql)).await {
            Ok(statement) => Ok(statement.clone()),
            Err(error) => {
                self.forget(sql);
                Err(Failure::of(&error).unmended())
            }
        }
    }

    pub fn forget(&self, sql: &str) {
        self.statements.borrow_mut().remove(sql);
    }

    /// Runs a prepared statement and takes in its whole answer: an error may still follow the first row, and
    /// a commit outside a transaction only happens after the last one. Sends at the first poll.
    pub async fn run(
        &self,
        statement: &tokio_postgres::Statement,
        parameters: Vec<Parameter<'_>>,
    ) -> Result<Outcome, Failure> {
        let rows = self.client.query_raw(statement, parameters).await.map_err(|error| Failure::of(&error))?;
        let mut rows = pin!(rows);
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
                self.ask_once(statement).await.map_err(Failure::unmended)
            }
            answer => answer,
        }
    }

    /// Runs one statement on its own and gives all its rows; prepared again, once, if it no longer fits the tables.
    pub async fn rows(&self, statement: &Statement) -> Result<Vec<Row>, Failure> {
        match self.rows_once(statement).await {
            Err(Failure::Stale(_)) => {
                self.forget(&statement.sql);
                self.rows_once(statement).await.map_err(Failure::unmended)
            }
            answer => answer,
        }
    }

    async fn rows_once(&self, statement: &Statement) -> Result<Vec<Row>, Failure> {
        let prepared = match self.look_up(&statement.sql) {
            Some(prepared) => prepared,
            None => self.prepare(&statement.sql).await?,
        };
        let parameters = plain(&statement.params)?;
        fits(&prepared, &parameters)?;
        let failed = |error| Failure::of(&error);
        let rows = self.client.query_raw(&prepared, parameters).await.map_err(failed)?;
        rows.try_collect().await.map_err(failed)
    }

    async fn ask_once(&self, statement: &Statement) -> Result<Option<JsonText>, Failure> {
        let prepared = match self.look_up(&statement.sql) {
            Some(prepared) => prepared,
            None => self.prepare(&statement.sql).await?,
        };
        let parameters = plain(&statement.params)?;
        fits(&prepared, &parameters)?;
        let outcome = self.run(&prepared, parameters).await?;
        match outcome.first {
            Some(row) => JsonText::of(row, 0),
            None => Ok(None),
        }
    }
}

/// Whether a prepared statement takes that many parameters: a bug if not, found before anything is sent.
pub(super) fn fits(
    statement: &tokio_postgres::Statement,
    parameters: &[Parameter<'_>],
) -> Result<(), Failure> {
    let (wanted, given) = (statement.params().len(), parameters.len());
    if wanted == given {
        return Ok(());
    }
    Err(Failure::Fault(format!("the statement takes {wanted} parameters, not {given}")))
}

/// The parameters of a statement that uses no registers.
fn plain(params: &[Param]) -> Result<Vec<Parameter<'_>>, Failure> {
    params
        .iter()
        .map(|param| match param {
            Param::Null => Ok(Parameter::Null),
            Param::Text(text) => Ok(Parameter::Borrowed(text)),
            Param::Register(_) => Err(Failure::Fault("a statement on its own has no registers".to_owned())),
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
        Canceller { token: client.cancel_token(), tls: tls.clone() }
    }

    pub async fn cancel(&self) {
        let result = match &self.tls {
            Tls::Off => self.token.cancel_query(tokio_postgres::NoTls).await,
            Tls::On(connect) => self.token.cancel_query(connect.clone()).await,
        };
        if let Err(error) = result {
            tracing::debug!(
                error = super::error::describe(&error),
                "a cancel request did not reach the server"
            );
        }
    }
}
