//! Sessions in PostgreSQL, for a deployment without Redis. Looking one up has a connection for itself, so that it
//! never waits behind a commit.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use futures::future::FutureExt;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{Life, Listed, SessionStore, Stored};
use crate::database::Database;
use crate::postgres_store_client::{Durability, PostgresStoreClient};
use crate::secret::SecretText;
use crate::sessions::session::{Previous, Session, SessionId};
use gom_telemetry::health::HealthReporter;

/// Rows that one sweep removes at most.
const SWEEP: i64 = 1000;

/// On the connection for reads.
const GET: usize = 0;
const LIST: usize = 1;
const LIVING: usize = 2;
const READS: &[&str] = &[
    "SELECT subject, provider, signature, refresh_token, opened_at, previous_signature, previous_head, previous_until
     FROM gom.session WHERE id = $1 AND expires_at > $2",
    "SELECT subject, provider, signature, refresh_token, opened_at, previous_signature, previous_head, previous_until,
            id, seen_at
     FROM gom.session WHERE subject = $1 AND expires_at > $2",
    "SELECT id FROM gom.session WHERE id = ANY($1) AND expires_at > $2",
];

/// On the connection for writes.
const INSERT: usize = 0;
const TOUCH: usize = 1;
const REMOVE: usize = 2;
const REMOVE_ALL: usize = 3;
const LOCK: usize = 4;
const UNLOCK: usize = 5;
const RENEW: usize = 6;
const REMOVE_EXPIRED: usize = 7;
const REMOVE_STALE: usize = 8;
const WRITES: &[&str] = &[
    "WITH replaced AS (DELETE FROM gom.session WHERE id = $8),
     excess AS (
       DELETE FROM gom.session WHERE id IN (
         SELECT id FROM gom.session WHERE subject = $2 AND id <> $1 AND id IS DISTINCT FROM $8
         ORDER BY seen_at DESC, id OFFSET $9::bigint))
     INSERT INTO gom.session (id, subject, provider, signature, refresh_token, opened_at, seen_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, $6, $7) ON CONFLICT (id) DO NOTHING",
    "UPDATE gom.session SET seen_at = $2, expires_at = $3 WHERE id = $1 AND expires_at > $2",
    "DELETE FROM gom.session WHERE id = $1 RETURNING 1",
    "WITH gone AS (DELETE FROM gom.session WHERE subject = $1 RETURNING expires_at)
     SELECT count(*) FROM gone WHERE expires_at > $2",
    "UPDATE gom.session
     SET refreshing = $2, refreshing_until = clock_timestamp() + $3::bigint * interval '1 millisecond'
     WHERE id = $1
       AND (refreshing_until IS NULL OR refreshing_until < clock_timestamp() OR refreshing = $2) RETURNING 1",
    "UPDATE gom.session SET refreshing = NULL, refreshing_until = NULL WHERE id = $1 AND refreshing = $2",
    "UPDATE gom.session
     SET signature = $3, refresh_token = $4, previous_signature = $5, previous_head = $6, previous_until = $7,
         refreshing_until = CASE WHEN refreshing = $8 THEN NULL ELSE refreshing_until END
     WHERE id = $1 AND signature = $2 AND ($9::timestamptz IS NULL OR previous_until = $9) RETURNING 1",
    "WITH gone AS (
       DELETE FROM gom.session WHERE id IN (
         SELECT id FROM gom.session WHERE expires_at < least($1, clock_timestamp()) ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
       RETURNING 1)
     SELECT count(*) FROM gone",
    "DELETE FROM gom.session WHERE id = $1 AND signature = $2 RETURNING 1",
];

pub(in crate::sessions) struct PostgresSessions {
    reads: PostgresStoreClient,
    writes: PostgresStoreClient,
}

impl PostgresSessions {
    pub fn new(database: &Database) -> Self {
        PostgresSessions {
            reads: PostgresStoreClient::connect(database, Durability::Full, READS),
            writes: PostgresStoreClient::connect(database, Durability::Full, WRITES),
        }
    }
}

fn session(row: &Row) -> Result<Session, tokio_postgres::Error> {
    let previous = match (row.try_get(5)?, row.try_get(6)?, row.try_get(7)?) {
        (Some(signature), Some(head), Some(until)) => Some(Previous {
            signature,
            head,
            until,
        }),
        _ => None,
    };
    Ok(Session {
        subject: row.try_get(0)?,
        provider: row.try_get(1)?,
        signature: row.try_get(2)?,
        refresh_token: row.try_get::<_, Option<String>>(3)?.map(SecretText::new),
        opened: row.try_get(4)?,
        previous,
    })
}

fn reason(error: tokio_postgres::Error) -> String {
    format!("PostgreSQL: {error}")
}

fn token(session: &Session) -> Option<&str> {
    session.refresh_token.as_ref().map(SecretText::expose)
}

/// The single number of the answer.
fn number(rows: &[Row]) -> Result<i64, String> {
    rows.first()
        .map_or(Ok(0), |row| row.try_get(0))
        .map_err(reason)
}

/// PostgreSQL's calendar is longer than any session.
fn end(life: Life) -> SystemTime {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    life.now + life.left.min(CENTURY)
}

impl SessionStore for PostgresSessions {
    fn reporter(&self) -> &HealthReporter {
        // Every request looks a session up.
        self.reads.reporter()
    }

    fn get<'a>(&'a self, id: &'a SessionId, now: SystemTime) -> Stored<'a, Option<Session>> {
        async move {
            let rows = self.reads.ask(GET, &[&id.as_str(), &now]).await?;
            rows.first().map(session).transpose().map_err(reason)
        }
        .boxed()
    }

    fn living<'a>(&'a self, ids: &'a [SessionId], now: SystemTime) -> Stored<'a, Vec<bool>> {
        async move {
            let asked: Vec<&str> = ids.iter().map(SessionId::as_str).collect();
            let rows = self.reads.ask(LIVING, &[&asked, &now]).await?;
            let found: Vec<String> = rows
                .iter()
                .map(|row| row.try_get(0))
                .collect::<Result<_, _>>()
                .map_err(reason)?;
            let found: HashSet<&str> = found.iter().map(String::as_str).collect();
            Ok(asked.iter().map(|id| found.contains(id)).collect())
        }
        .boxed()
    }

    fn insert<'a>(
        &'a self,
        id: &'a SessionId,
        session: &'a Session,
        life: Life,
        replaces: Option<&'a SessionId>,
        most: usize,
    ) -> Stored<'a, ()> {
        async move {
            let (id, end, token) = (id.as_str(), end(life), token(session));
            let replaced = replaces.map(SessionId::as_str);
            let Session {
                subject,
                provider,
                signature,
                opened,
                ..
            } = session;
            let others = i64::try_from(most.saturating_sub(1)).unwrap_or(i64::MAX);
            let params: [&(dyn ToSql + Sync); 9] = [
                &id, subject, provider, signature, &token, opened, &end, &replaced, &others,
            ];
            self.writes.ask(INSERT, &params).await.map(|_| ())
        }
        .boxed()
    }

    fn touch<'a>(&'a self, id: &'a SessionId, _: &'a str, life: Life) -> Stored<'a, ()> {
        async move {
            self.writes
                .ask(TOUCH, &[&id.as_str(), &life.now, &end(life)])
                .await
                .map(|_| ())
        }
        .boxed()
    }

    fn remove<'a>(&'a self, id: &'a SessionId) -> Stored<'a, bool> {
        async move {
            self.writes
                .ask(REMOVE, &[&id.as_str()])
                .await
                .map(|rows| !rows.is_empty())
        }
        .boxed()
    }

    fn remove_stale<'a>(&'a self, id: &'a SessionId, signature: &'a str) -> Stored<'a, bool> {
        async move {
            let rows = self
                .writes
                .ask(REMOVE_STALE, &[&id.as_str(), &signature])
                .await?;
            Ok(!rows.is_empty())
        }
        .boxed()
    }

    fn remove_all<'a>(&'a self, subject: &'a str, now: SystemTime) -> Stored<'a, u64> {
        async move {
            let rows = self.writes.ask(REMOVE_ALL, &[&subject, &now]).await?;
            Ok(u64::try_from(number(&rows)?).unwrap_or(0))
        }
        .boxed()
    }

    fn list<'a>(&'a self, subject: &'a str, now: SystemTime) -> Stored<'a, Vec<Listed>> {
        async move {
            let rows = self.reads.ask(LIST, &[&subject, &now]).await?;
            let mut listed = Vec::with_capacity(rows.len());
            for row in &rows {
                let Some(id) = SessionId::parse(row.try_get(8).map_err(reason)?) else {
                    continue;
                };
                let (session, seen) = (
                    session(row).map_err(reason)?,
                    row.try_get(9).map_err(reason)?,
                );
                listed.push(Listed { id, session, seen });
            }
            Ok(listed)
        }
        .boxed()
    }

    fn lock<'a>(&'a self, id: &'a SessionId, holder: &'a str, span: Duration) -> Stored<'a, bool> {
        async move {
            let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            Ok(!self
                .writes
                .ask(LOCK, &[&id.as_str(), &holder, &span])
                .await?
                .is_empty())
        }
        .boxed()
    }

    fn unlock<'a>(&'a self, id: &'a SessionId, holder: &'a str) -> Stored<'a, ()> {
        async move {
            self.writes
                .ask(UNLOCK, &[&id.as_str(), &holder])
                .await
                .map(|_| ())
        }
        .boxed()
    }

    fn renew<'a>(
        &'a self,
        id: &'a SessionId,
        held: &'a Session,
        renewed: &'a Session,
        holder: &'a str,
    ) -> Stored<'a, bool> {
        async move {
            let (id, token) = (id.as_str(), token(renewed));
            let previous = renewed.previous.as_ref();
            let signature = previous.map(|previous| &previous.signature);
            let head = previous.map(|previous| &previous.head);
            let until = previous.map(|previous| previous.until);
            let held_until = held.previous.as_ref().map(|previous| previous.until);
            let params: [&(dyn ToSql + Sync); 9] = [
                &id,
                &held.signature,
                &renewed.signature,
                &token,
                &signature,
                &head,
                &until,
                &holder,
                &held_until,
            ];
            Ok(!self.writes.ask(RENEW, &params).await?.is_empty())
        }
        .boxed()
    }

    fn sweep(&self, now: SystemTime) -> Stored<'_, bool> {
        async move { Ok(number(&self.writes.ask(REMOVE_EXPIRED, &[&now, &SWEEP]).await?)? == SWEEP) }.boxed()
    }
}
