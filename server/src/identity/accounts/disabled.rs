//! Which subjects have no account that is not disabled: looked up for bearer tokens, seldom, and once at a time for each subject.

use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::AccountError;

/// After so long it is looked up again whether a subject's accounts are disabled.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// After so long a look-up that failed is repeated.
const FAILURE_REMEMBERED_FOR: Duration = Duration::from_secs(2);
/// Of so many subjects that is remembered.
const REMEMBERED: usize = 16_384;

/// What was found of subjects.
pub(super) struct DisabledSubjects(Cache<String, Found>);

#[derive(Clone)]
struct Found {
    /// Nothing, if the look-up failed.
    disabled: Option<bool>,
    at: Instant,
}

impl Found {
    fn is_over(&self) -> bool {
        let lasts = match self.disabled {
            Some(_) => REMEMBERED_FOR,
            None => FAILURE_REMEMBERED_FOR,
        };
        self.at.elapsed() >= lasts
    }
}

impl DisabledSubjects {
    pub fn new() -> Self {
        DisabledSubjects(Cache::new(REMEMBERED))
    }

    /// What is remembered of the subject, or `look_up` finds. Others that ask for the same subject meanwhile wait for it, and take
    /// it over if its requester goes away.
    pub async fn get(
        &self,
        subject: &str,
        look_up: impl Future<Output = Result<bool, AccountError>>,
    ) -> Result<bool, AccountError> {
        self.0.remove_if(subject, Found::is_over);
        let guard = match self.0.get_value_or_guard_async(subject).await {
            Ok(found) => {
                return found.disabled.ok_or_else(|| {
                    AccountError::Unavailable("a look-up failed just now".to_owned())
                });
            }
            Err(guard) => guard,
        };
        let result = look_up.await;
        let found = Found {
            disabled: result.as_ref().ok().copied(),
            at: Instant::now(),
        };
        // It is not kept if it was removed meanwhile.
        let _ = guard.insert(found);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::join_all;
    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Answers one after another, each after a second.
    struct Table<'a> {
        subjects: DisabledSubjects,
        answers: &'a [Option<bool>],
        lookups: Cell<usize>,
    }

    fn table(answers: &[Option<bool>]) -> Table<'_> {
        Table {
            subjects: DisabledSubjects::new(),
            answers,
            lookups: Cell::new(0),
        }
    }

    impl Table<'_> {
        async fn ask(&self, subject: &str) -> Option<bool> {
            let look_up = async {
                let answer = self.answers[self.lookups.get()];
                self.lookups.set(self.lookups.get() + 1);
                sleep(SECOND).await;
                answer.ok_or_else(|| AccountError::Unavailable("down".to_owned()))
            };
            self.subjects.get(subject, look_up).await.ok()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_remembered_for_ten_seconds() {
        let table = table(&[Some(false), Some(true)]);
        assert_eq!(table.ask("ana").await, Some(false));
        advance(10 * SECOND - Duration::from_millis(1)).await;
        assert_eq!(table.ask("ana").await, Some(false));
        advance(Duration::from_millis(1)).await;
        assert_eq!(table.ask("ana").await, Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_of_a_subject_look_it_up_once() {
        let table = table(&[Some(true), Some(false)]);
        let of_ana = join_all((0..50).map(|_| table.ask("ana"))).await;
        assert_eq!(of_ana, [Some(true); 50]);
        assert_eq!(table.lookups.get(), 1);
        assert_eq!(table.ask("ben").await, Some(false), "another subject");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_remembered_for_two_seconds() {
        let table = table(&[None, Some(false)]);
        let waiting = join_all((0..50).map(|_| table.ask("ana"))).await;
        assert_eq!(waiting, [None; 50]);
        assert_eq!(table.ask("ana").await, None);
        assert_eq!(table.lookups.get(), 1);
        advance(2 * SECOND).await;
        assert_eq!(table.ask("ana").await, Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_whose_requester_goes_away_is_taken_over() {
        let table = table(&[Some(true), Some(false)]);
        let gone = tokio::time::timeout(SECOND / 2, table.ask("ana"));
        let (gone, other) = tokio::join!(gone, table.ask("ana"));
        assert!(gone.is_err());
        assert_eq!(other, Some(false));
    }
}
