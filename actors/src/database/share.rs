//! Whose work it is, so that nobody has all of a worker's connections while others wait.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use tokio::time::{Instant, timeout_at};

use gom_runtime::permits::{Permit, Permits};

/// On whose behalf statements run. Two of the same name are the same; those of others are, but for a chance of one in
/// many, not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asker(u64);

impl Asker {
    /// The asker of a name, such as a user's subject.
    pub fn named(name: &str) -> Self {
        // Seeded by the process, so that nobody can choose to be counted with another.
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Asker(SEED.hash_one(name))
    }
}

/// On whose behalf work is done, and what is kept until it has ended, also if nobody waits for it any more: so who goes
/// away and comes back has no more in flight than who stays.
#[derive(Debug, Clone)]
pub struct Behalf {
    asker: Asker,
    _kept: Arc<dyn Any + Send + Sync>,
}

impl Behalf {
    /// `kept` is dropped when the work has ended.
    pub fn of(asker: Asker, kept: Arc<dyn Any + Send + Sync>) -> Self {
        Behalf { asker, _kept: kept }
    }

    pub(super) fn asker(&self) -> Asker {
        self.asker
    }
}

/// How many of the places of one worker each asker may have.
pub(super) struct Shares {
    most: usize,
    /// Of those who have one or wait for one: the places left to them, and how many they are.
    open: RefCell<HashMap<Asker, (Permits, usize)>>,
}

/// One of an asker's places. It is given back when it is dropped.
pub(super) struct Share {
    _permit: Permit,
    _counted: Counted,
}

/// Keeps an asker's entry.
struct Counted {
    shares: Rc<Shares>,
    asker: Asker,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.shares.open.borrow_mut();
        if let Some((_, count)) = open.get_mut(&self.asker) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.asker);
            }
        }
    }
}

impl Shares {
    pub fn new(most: usize) -> Rc<Self> {
        Rc::new(Shares {
            most,
            open: RefCell::default(),
        })
    }

    /// One place, if there is one at once.
    pub fn take_now(self: &Rc<Self>, asker: Asker) -> Option<Share> {
        let (places, counted) = self.enter(asker);
        let permit = places.try_acquire().ok()?;
        Some(Share {
            _permit: permit,
            _counted: counted,
        })
    }

    /// One place, waited for behind the asker's own others; `None` at the deadline.
    pub async fn take(self: &Rc<Self>, asker: Asker, deadline: Instant) -> Option<Share> {
        let (places, counted) = self.enter(asker);
        let permit = timeout_at(deadline, places.acquire()).await.ok()?.ok()?;
        Some(Share {
            _permit: permit,
            _counted: counted,
        })
    }

    fn enter(self: &Rc<Self>, asker: Asker) -> (Permits, Counted) {
        let mut open = self.open.borrow_mut();
        let (places, count) = open
            .entry(asker)
            .or_insert_with(|| (Permits::new(self.most), 0));
        *count += 1;
        (
            places.clone(),
            Counted {
                shares: Rc::clone(self),
                asker,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[actix::test]
    async fn an_asker_has_no_more_than_its_share_and_leaves_nothing_behind() {
        let shares = Shares::new(2);
        let (ana, eva) = (Asker::named("ana"), Asker::named("eva"));
        let first = shares.take_now(ana).expect("a place");
        let second = shares.take_now(ana).expect("another");
        assert!(shares.take_now(ana).is_none());
        assert!(
            shares.take_now(eva).is_some(),
            "another's places are another's"
        );
        let soon = Instant::now() + Duration::from_millis(10);
        assert!(shares.take(ana, soon).await.is_none());
        drop(first);
        let later = Instant::now() + Duration::from_secs(10);
        let third = shares.take(ana, later).await.expect("given back");
        drop((second, third));
        assert!(shares.open.borrow().is_empty());
    }
}
