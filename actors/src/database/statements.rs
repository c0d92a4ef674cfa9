//! The prepared statements of one connection: how many are kept, by number and by bytes of SQL.
//!
//! PostgreSQL keeps the parse tree of a prepared statement, and soon a plan, in the memory of the connection's
//! process until the statement is closed: for a filter with many conditions two hundred times the text. So the
//! text is what bounds it.

use std::cell::RefCell;
use std::rc::Rc;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::sync::OnceCell;

use super::options::DatabaseOptions;

/// A prepared statement, or the place where one is being prepared: anyone who needs it meanwhile waits for it.
pub(super) type Slot = Rc<OnceCell<tokio_postgres::Statement>>;

pub(super) struct Statements {
    /// Keyed by the SQL text. A statement that falls out is closed on the server when its last use ends: its last
    /// clone sends `Close` when it is dropped.
    cache: RefCell<Cache<String, Slot, Weight>>,
    /// Bytes of the longest text that is kept.
    longest: usize,
}

impl Statements {
    pub fn new(options: &DatabaseOptions) -> Self {
        let number = options.statement_cache.max(1);
        let bytes = options.statement_cache_bytes.max(1);
        // So that the number bounds them too: of one more, each with as much, the bytes would be too many.
        let least = bytes / (number + 1) + 1;
        let cache = Cache::with_weighter(number.min(bytes), bytes as u64, Weight { least });
        // One statement never takes the place of all others.
        Statements {
            cache: RefCell::new(cache),
            longest: options.statement_bytes.min(bytes / 4),
        }
    }

    /// Whether a statement is worth keeping. Others are sent without a name.
    pub fn keeps(&self, sql: &str) -> bool {
        sql.len() <= self.longest
    }

    pub fn get(&self, sql: &str) -> Option<tokio_postgres::Statement> {
        self.cache
            .borrow()
            .get(sql)
            .and_then(|slot| slot.get().cloned())
    }

    /// The place of a statement, made if there is none.
    pub fn slot(&self, sql: &str) -> Slot {
        let found = self.cache.borrow().get(sql).cloned();
        found.unwrap_or_else(|| {
            let slot = Slot::default();
            self.cache
                .borrow_mut()
                .insert(sql.to_owned(), Rc::clone(&slot));
            slot
        })
    }

    pub fn forget(&self, sql: &str) {
        self.cache.borrow_mut().remove(sql);
    }
}

#[derive(Clone)]
struct Weight {
    least: usize,
}

impl Weighter<String, Slot> for Weight {
    fn weight(&self, sql: &String, _: &Slot) -> u64 {
        sql.len().max(self.least) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(number: usize, bytes: usize, longest: usize) -> Statements {
        let mut options = DatabaseOptions::new(tokio_postgres::Config::new());
        options.statement_cache = number;
        (options.statement_cache_bytes, options.statement_bytes) = (bytes, longest);
        Statements::new(&options)
    }

    fn kept(statements: &Statements) -> (usize, usize) {
        let cache = statements.cache.borrow();
        (cache.len(), cache.iter().map(|(sql, _)| sql.len()).sum())
    }

    #[test]
    fn neither_the_number_nor_the_bytes_of_kept_statements_exceed_their_bounds() {
        for (number, bytes, length) in [
            (16, 65_536, 100),
            (256, 65_536, 5_000),
            (1, 1_024, 10),
            (300, 64, 16),
        ] {
            let statements = statements(number, bytes, 8_192);
            for i in 0..1_000 {
                statements.slot(&format!("{i:0length$}"));
                let (count, sum) = kept(&statements);
                assert!(
                    count <= number && sum <= bytes,
                    "{count} of {number}, {sum} of {bytes} bytes"
                );
            }
            assert!(
                kept(&statements).0 * 2 >= number.min(bytes / length),
                "room is used"
            );
        }
    }

    #[test]
    fn a_long_statement_is_not_kept_and_none_takes_the_place_of_all_others() {
        let statements = statements(256, 10_000, 2_000);
        assert!(statements.keeps(&"x".repeat(2_000)));
        assert!(!statements.keeps(&"x".repeat(2_001)));
        let small = self::statements(256, 4_000, 2_000);
        assert!(small.keeps(&"x".repeat(1_000)) && !small.keeps(&"x".repeat(1_001)));
    }
}
