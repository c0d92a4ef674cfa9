//! Whose time the hub spends: every user may take a share of it, and anyone who takes more is served in the slow lane for a
//! while. Pure.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::database::StatementError;
use gom_runtime::owner::Owner;

/// A user's budget is refilled at this share of real time: one in so many.
const SHARE: u32 = 10;
/// What a group of the service may take of a batch: many users are served through it.
pub(super) const SERVICE_BUDGET: Duration = Duration::from_secs(1);
/// How long a user stays in the slow lane at least; doubled each time that it comes there again soon.
const FIRST_PENALTY: Duration = Duration::from_secs(1);
const MAX_PENALTY: Duration = Duration::from_secs(60);
/// The part of its budget that an owner must have left for joining: with less, a cheap page would look like a costly one.
const PART_TO_JOIN: u32 = 2;
/// Accounts that are kept before those are dropped which say nothing.
const MANY: usize = 1_024;

pub(super) struct Budgets {
    of_user: Duration,
    accounts: RefCell<HashMap<Owner, Account>>,
}

struct Account {
    left: Duration,
    refilled: Instant,
    /// Until when its groups stay in the slow lane, and for how long that was.
    penalty: Option<(Instant, Duration)>,
}

impl Budgets {
    /// `of_user`: what one user may take at once.
    pub fn new(of_user: Duration) -> Self {
        Budgets {
            of_user,
            accounts: RefCell::default(),
        }
    }

    /// What an owner may take in one go.
    fn whole(&self, owner: &Owner) -> Duration {
        match owner {
            Owner::Service => SERVICE_BUDGET,
            Owner::User(_) => self.of_user,
        }
    }

    /// What the owner may take now; nothing while it is in the slow lane.
    pub fn left(&self, owner: &Owner, now: Instant) -> Duration {
        let whole = self.whole(owner);
        // Each group of the service has all of it, and a slow one goes to the slow lane alone.
        if *owner == Owner::Service {
            return whole;
        }
        match self.accounts.borrow_mut().get_mut(owner) {
            None => whole,
            Some(account) if account.is_penalized(now) => Duration::ZERO,
            Some(account) => {
                account.refill(whole, owner, now);
                account.left
            }
        }
    }

    /// Takes what a statement took.
    pub fn charge(&self, owner: &Owner, took: Duration, now: Instant) {
        let whole = self.whole(owner);
        let mut accounts = self.accounts.borrow_mut();
        if accounts.len() >= MANY && !accounts.contains_key(owner) {
            accounts.retain(|_, account| account.says_something(now));
        }
        let fresh = || Account {
            left: whole,
            refilled: now,
            penalty: None,
        };
        let account = accounts.entry(owner.clone()).or_insert_with(fresh);
        account.refill(whole, owner, now);
        account.left = account.left.saturating_sub(took);
    }

    /// The owner has taken more than it may: its groups go to the slow lane. Gives until when.
    pub fn penalize(&self, owner: &Owner, now: Instant) -> Instant {
        self.charge(owner, Duration::ZERO, now);
        let mut accounts = self.accounts.borrow_mut();
        let Some(account) = accounts.get_mut(owner) else {
            return now + FIRST_PENALTY;
        };
        let lasts = match account.penalty {
            // Several of its groups at once are one offence.
            Some((until, _)) if now < until => return until,
            Some((until, lasts)) if now < until + lasts * SHARE => (lasts * 2).min(MAX_PENALTY),
            _ => FIRST_PENALTY,
        };
        account.penalty = Some((now + lasts, lasts));
        account.left = self.whole(owner);
        now + lasts
    }

    /// Until when all groups of the owner stay in the slow lane; nothing if they need not.
    pub fn penalized_until(&self, owner: &Owner, now: Instant) -> Option<Instant> {
        if *owner == Owner::Service {
            return None;
        }
        let accounts = self.accounts.borrow();
        let account = accounts
            .get(owner)
            .filter(|account| account.is_penalized(now))?;
        account.penalty.map(|(until, _)| until)
    }

    /// Whether the hub may read a last page for the owner now. One that has to wait gets there: its budget is refilled.
    pub fn may_join(&self, owner: &Owner, now: Instant) -> bool {
        self.left(owner, now) >= self.whole(owner) / PART_TO_JOIN
    }
}

impl Account {
    fn is_penalized(&self, now: Instant) -> bool {
        self.penalty.is_some_and(|(until, _)| now < until)
    }

    fn refill(&mut self, whole: Duration, owner: &Owner, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        let share = if *owner == Owner::Service { 1 } else { SHARE };
        self.left = whole.min(self.left + passed / share);
        self.refilled = now;
    }

    /// Whether a new account would be another.
    fn says_something(&self, now: Instant) -> bool {
        let remembered = self
            .penalty
            .is_some_and(|(until, lasts)| now < until + lasts * SHARE);
        remembered || now.saturating_duration_since(self.refilled) < SERVICE_BUDGET * SHARE
    }
}

/// What deciding may take, and what it has taken.
pub(super) struct Meter {
    allowance: Duration,
    spent: Cell<Duration>,
    pub of_service: bool,
}

impl Meter {
    pub fn new(allowance: Duration, owner: &Owner) -> Self {
        Meter {
            allowance,
            spent: Cell::default(),
            of_service: *owner == Owner::Service,
        }
    }

    pub fn unlimited() -> Self {
        Meter {
            allowance: Duration::MAX,
            spent: Cell::default(),
            of_service: false,
        }
    }

    pub fn spent(&self) -> Duration {
        self.spent.get()
    }

    pub fn add(&self, took: Duration) {
        self.spent.set(self.spent.get() + took);
    }

    /// What is returned when it is over.
    pub fn exceeded(&self) -> StatementError {
        StatementError::Slow(self.allowance)
    }

    pub fn is_over(&self) -> bool {
        self.spent.get() >= self.allowance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn user(name: &str) -> Owner {
        Owner::User(name.into())
    }

    #[test]
    fn a_user_may_take_a_burst_and_then_a_tenth_of_the_time() {
        let (budgets, start) = (Budgets::new(50 * MS), Instant::now());
        assert_eq!(budgets.left(&user("a"), start), 50 * MS);
        budgets.charge(&user("a"), 40 * MS, start);
        assert_eq!(budgets.left(&user("a"), start), 10 * MS);
        assert_eq!(
            budgets.left(&user("b"), start),
            50 * MS,
            "another's is another's"
        );
        assert_eq!(budgets.left(&user("a"), start + 100 * MS), 20 * MS);
        assert_eq!(budgets.left(&user("a"), start + 10_000 * MS), 50 * MS);
        budgets.charge(&Owner::Service, 40 * MS, start);
        budgets.penalize(&Owner::Service, start);
        assert_eq!(
            budgets.left(&Owner::Service, start),
            SERVICE_BUDGET,
            "of each of its groups"
        );
        assert_eq!(budgets.penalized_until(&Owner::Service, start), None);
    }

    #[test]
    fn a_penalty_doubles_while_it_is_earned_again_and_again_and_is_forgotten_after_a_while() {
        let (budgets, start) = (Budgets::new(50 * MS), Instant::now());
        let (a, mut now, mut lasted) = (user("a"), start, Duration::ZERO);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            let until = budgets.penalize(&a, now);
            lasted = until - now;
            assert_eq!(lasted, Duration::from_secs(expected));
            assert_eq!(
                budgets.penalize(&a, until - MS),
                until,
                "once for all its groups"
            );
            assert_eq!(budgets.left(&a, now), Duration::ZERO);
            assert_eq!(budgets.penalized_until(&a, now), Some(until));
            assert_eq!(budgets.penalized_until(&user("b"), now), None);
            now = until;
            assert!(budgets.left(&a, now) > Duration::ZERO);
        }
        now += lasted * SHARE;
        assert_eq!(budgets.penalize(&a, now), now + FIRST_PENALTY);
    }

    #[test]
    fn who_has_little_left_waits_to_join_until_it_has_more_and_is_not_penalized() {
        let (budgets, start) = (Budgets::new(50 * MS), Instant::now());
        assert!(budgets.may_join(&user("a"), start));
        budgets.charge(&user("a"), 40 * MS, start);
        assert!(!budgets.may_join(&user("a"), start) && budgets.may_join(&user("b"), start));
        assert!(budgets.may_join(&user("a"), start + 150 * MS));
        assert_eq!(budgets.penalized_until(&user("a"), start), None);
        budgets.penalize(&user("a"), start + 150 * MS);
        assert!(!budgets.may_join(&user("a"), start + 160 * MS));
        budgets.charge(&Owner::Service, SERVICE_BUDGET, start);
        assert!(budgets.may_join(&Owner::Service, start));
    }

    #[test]
    fn accounts_that_say_nothing_are_dropped() {
        let (budgets, start) = (Budgets::new(50 * MS), Instant::now());
        for number in 0..5 * MANY {
            let now = start + Duration::from_secs(u64::try_from(number).unwrap());
            budgets.charge(&user(&number.to_string()), MS, now);
        }
        assert!(budgets.accounts.borrow().len() <= MANY);
    }
}
