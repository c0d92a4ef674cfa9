//! Idempotency keys: the row that a mutation's root field claims before it writes, and stores its answer in, both in its own
//! transaction. What waits for such a row waits for the other transaction with the same key.

use super::{Param, Sql, Statement};

/// In place of an answer that was too large to be stored.
const TOO_LARGE: &str = "!";
/// In place of an answer that was removed with its session.
const REMOVED: &str = "~";
/// Before an answer that is found.
const FOUND: &str = "=";
/// The key is another request's.
const OTHER: &str = "other";
/// The viewer has as many keys as it may have.
const FULL: &str = "full";

/// The place in which a root field's answer is stored: whose key, and which field.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerSlot {
    /// A digest of the viewer, in hexadecimal.
    pub viewer: String,
    /// The key as the client sent it.
    pub key: String,
    /// A digest of the request, in hexadecimal.
    pub request: String,
    /// The session with which the answers are removed.
    pub session: Option<String>,
    /// The number of the root field in its operation, from 0.
    pub field: usize,
    /// Bytes that the answers of one key may have; larger ones are not stored.
    pub answer_bytes: usize,
    /// Keys that the viewer may have; `None`: any number.
    pub keys: Option<usize>,
}

/// What is found of a root field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredAnswer<'a> {
    /// It was carried out; the answer, where there is one.
    Found(Option<&'a str>),
    /// It was carried out, and its answer was too large to be stored.
    TooLarge,
    /// It was carried out, and its answer was removed when its session logged out.
    Removed,
    /// The key belongs to another request.
    OtherRequest,
    /// The viewer has too many keys.
    TooManyKeys,
    /// It was not carried out.
    Open,
}

impl AnswerSlot {
    /// Claims the row for the transaction; waits for another one that has it. No row: the field was carried out before, the
    /// key is another request's, or the viewer has too many; [`AnswerSlot::look_up`] says which.
    pub fn claim(&self) -> Statement {
        let mut sql = Sql::new();
        sql.push("insert into gom.idempotency_key as k (viewer, key, request, session) select ");
        self.bind_row(&mut sql);
        sql.push(", ");
        let request = self.bind_digest(&mut sql, &self.request);
        let session = self.session.clone().map_or(Param::Null, Param::Text);
        sql.push(", ").bind(session).push("::text");
        if let Some(keys) = self.keys {
            // Further fields of a key that is there already need no room.
            sql.push(" where case when exists (select from gom.idempotency_key h where ");
            push_row(&mut sql, "h");
            sql.push(") then true else (");
            push_count(&mut sql, keys);
            sql.push(" end");
        }
        sql.push(" on conflict (viewer, key) do update set session = coalesce(excluded.session, k.session) where k.request = ");
        push_digest(&mut sql, request);
        sql.push(" and k.answers[")
            .bind(self.subscript())
            .push("::int] is null returning k.key");
        sql.finish()
    }

    /// Stores the answer in the row that the transaction has claimed.
    pub fn store(&self, answer: Param) -> Statement {
        let mut sql = Sql::new();
        let answer = sql.add_param(answer);
        sql.push("update gom.idempotency_key k set answers[")
            .bind(self.subscript())
            .push("::int] = case when ")
            .placeholder(answer)
            .push("::text is null then '' when octet_length(")
            .placeholder(answer)
            .push("::text) + octet_length(array_to_string(k.answers, '')) > ")
            .bind(Param::Text(self.answer_bytes.to_string()))
            .push("::bigint then '!' else ")
            .placeholder(answer)
            .push("::text end where k.viewer = ");
        self.bind_digest(&mut sql, &self.viewer);
        sql.push(" and k.key = ")
            .bind(Param::Text(self.key.clone()))
            .push("::text");
        sql.finish()
    }

    /// What is stored, for [`StoredAnswer::read`].
    pub fn look_up(&self) -> Statement {
        let mut sql = Sql::new();
        let viewer = sql.add_param(Param::Text(self.viewer.clone()));
        let key = sql.add_param(Param::Text(self.key.clone()));
        debug_assert_eq!((viewer, key), (1, 2), "as push_row writes them");
        sql.push("select coalesce((select case when h.request <> ");
        self.bind_digest(&mut sql, &self.request);
        sql.push(" then 'other' else coalesce('=' || h.answers[")
            .bind(self.subscript())
            .push("::int], 'open') end from gom.idempotency_key h where ");
        push_row(&mut sql, "h");
        sql.push("), ");
        match self.keys {
            Some(keys) => {
                sql.push("case when (");
                push_count(&mut sql, keys);
                sql.push(" then 'open' else 'full' end)");
            }
            None => {
                sql.push("'open')");
            }
        }
        sql.finish()
    }

    /// The first two parameters: viewer and key.
    fn bind_row(&self, sql: &mut Sql) {
        self.bind_digest(sql, &self.viewer);
        sql.push(", ")
            .bind(Param::Text(self.key.clone()))
            .push("::text");
    }

    /// Writes a digest; the number of its parameter.
    fn bind_digest(&self, sql: &mut Sql, digest: &str) -> usize {
        let number = sql.add_param(Param::Text(digest.to_owned()));
        push_digest(sql, number);
        number
    }

    /// PostgreSQL counts from 1.
    fn subscript(&self) -> Param {
        Param::Text((self.field + 1).to_string())
    }
}

fn push_digest(sql: &mut Sql, number: usize) {
    sql.push("decode(")
        .placeholder(number)
        .push("::text, 'hex')");
}

/// The condition that an alias is the row of viewer and key: the first two parameters.
fn push_row(sql: &mut Sql, alias: &str) {
    sql.push(alias).push(".viewer = ");
    push_digest(sql, 1);
    sql.push(" and ")
        .push(alias)
        .push(".key = ")
        .placeholder(2)
        .push("::text");
}

/// Whether the viewer has room for one more key; after an opening parenthesis. Counts no further than it has to.
fn push_count(sql: &mut Sql, keys: usize) {
    sql.push("select count(*) from (select from gom.idempotency_key o where o.viewer = ");
    push_digest(sql, 1);
    let keys = sql.push(" limit ").add_param(Param::Text(keys.to_string()));
    sql.placeholder(keys)
        .push("::bigint) held) < ")
        .placeholder(keys)
        .push("::bigint");
}

impl<'a> StoredAnswer<'a> {
    /// What [`AnswerSlot::look_up`] has found.
    pub fn read(found: Option<&'a str>) -> Self {
        match found {
            Some(OTHER) => StoredAnswer::OtherRequest,
            Some(FULL) => StoredAnswer::TooManyKeys,
            Some(text) => match text.strip_prefix(FOUND) {
                Some("") => StoredAnswer::Found(None),
                Some(TOO_LARGE) => StoredAnswer::TooLarge,
                Some(REMOVED) => StoredAnswer::Removed,
                Some(answer) => StoredAnswer::Found(Some(answer)),
                None => StoredAnswer::Open,
            },
            None => StoredAnswer::Open,
        }
    }
}

/// Removes the answers of a session. The rows stay, with what was carried out, so that nothing is carried out twice. What others
/// have locked, or have not committed yet, stays as it is.
pub fn forget_session(session: String) -> Statement {
    let mut sql = Sql::new();
    // An array's first subscript is that of the field that was carried out first: by number, all come out at their places.
    sql.push(
        "with held as materialized (select viewer, key from gom.idempotency_key where session = ",
    )
    .bind(Param::Text(session))
    .push(
        "::text for update skip locked) update gom.idempotency_key k set session = null, answers = array(\
         select case when k.answers[n] is null or k.answers[n] in ('', '!') then k.answers[n] else '~' end \
         from generate_series(1, array_upper(k.answers, 1)) n order by n) \
         from held where k.viewer = held.viewer and k.key = held.key",
    );
    sql.finish()
}

/// Removes keys that were first used longer ago than so many milliseconds, at most `step` of them; how many, as text. What
/// others have locked stays until the next time.
pub fn forget_older(milliseconds: u128, step: u32) -> Statement {
    let mut sql = Sql::new();
    // By the index, which a time that changes within the statement could not use, and by the rows' places.
    sql.push(
        "with removed as (delete from gom.idempotency_key where ctid = any (array(\
         select ctid from gom.idempotency_key where created_at < now() - ",
    )
    .bind(Param::Text(milliseconds.to_string()))
    .push("::bigint * interval '1 millisecond' order by created_at limit ")
    .bind(Param::Text(step.to_string()))
    .push("::int for update skip locked)) returning 1) select count(*)::text from removed");
    sql.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> AnswerSlot {
        AnswerSlot {
            viewer: "aa".into(),
            key: "the key".into(),
            request: "bb".into(),
            session: Some("s".into()),
            field: 2,
            answer_bytes: 100,
            keys: Some(10),
        }
    }

    #[test]
    fn values_are_parameters_and_not_text() {
        for statement in [slot().claim(), slot().look_up(), slot().store(Param::Null)] {
            assert!(!statement.sql.contains("the key"), "{}", statement.sql);
            assert!(statement.params.contains(&Param::Text("the key".into())));
            // PostgreSQL counts from 1.
            assert!(statement.params.contains(&Param::Text("3".into())));
            for number in 1..=statement.params.len() {
                assert!(
                    statement.sql.contains(&format!("${number}")),
                    "{number}: {}",
                    statement.sql
                );
            }
        }
    }

    #[test]
    fn everything_that_may_be_found_is_read() {
        for (found, stored) in [
            (None, StoredAnswer::Open),
            (Some("open"), StoredAnswer::Open),
            (Some("other"), StoredAnswer::OtherRequest),
            (Some("full"), StoredAnswer::TooManyKeys),
            (Some("="), StoredAnswer::Found(None)),
            (Some("=!"), StoredAnswer::TooLarge),
            (Some("=~"), StoredAnswer::Removed),
            (Some("={\"a\":1}"), StoredAnswer::Found(Some("{\"a\":1}"))),
        ] {
            assert_eq!(StoredAnswer::read(found), stored, "{found:?}");
        }
    }
}
