//! What is known of each push service: how much is in hand there, and whether it wants to be left alone.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::schedule;

/// A push service that fails so often in a row is left alone for a while: it is not one device's fault then.
const FAILURES: u32 = 5;
/// What is kept of services that nothing is in hand for.
const REMEMBERED: usize = 1_000;

pub(super) struct Origins {
    most: usize,
    retry: Duration,
    known: HashMap<String, Origin>,
}

struct Origin {
    in_hand: usize,
    permits: Rc<Semaphore>,
    /// Failures since the last success.
    failures: u32,
    paused: Option<Instant>,
}

impl Origins {
    /// `most`: messages in hand to one of them. `retry`: the first pause.
    pub fn new(most: usize, retry: Duration) -> Self {
        Origins { most, retry, known: HashMap::new() }
    }

    /// Something for it was taken; what lets it through when its turn comes.
    pub fn take(&mut self, origin: &str) -> Rc<Semaphore> {
        if self.known.len() > REMEMBERED {
            let now = Instant::now();
            self.known
                .retain(|_, origin| origin.in_hand > 0 || origin.paused.is_some_and(|until| until > now));
        }
        let most = self.most;
        let known = self.known.entry(origin.to_owned()).or_insert_with(|| Origin {
            in_hand: 0,
            permits: Rc::new(Semaphore::new(most)),
            failures: 0,
            paused: None,
        });
        known.in_hand += 1;
        Rc::clone(&known.permits)
    }

    /// What was taken is done with.
    pub fn give_back(&mut self, origin: &str) {
        if let Some(known) = self.known.get_mut(origin) {
            known.in_hand = known.in_hand.saturating_sub(1);
        }
    }

    /// It has taken a message, or refused one for that message's sake.
    pub fn answered(&mut self, origin: &str) {
        if let Some(known) = self.known.get_mut(origin) {
            // A pause that it asked for is not over because something from before it has arrived.
            known.failures = 0;
        }
    }

    /// It could not take a message. `wait`: what it asked for, if it has too much to do.
    pub fn failed(&mut self, origin: &str, wait: Option<Duration>, dice: u64) {
        let (retry, now) = (self.retry, Instant::now());
        let Some(known) = self.known.get_mut(origin) else { return };
        // What was on its way when it began to fail fails with it, and says nothing new.
        if known.paused.is_none_or(|until| until <= now) {
            known.failures = known.failures.saturating_add(1);
        } else if wait.is_none() {
            return;
        }
        let pause = wait.filter(|wait| !wait.is_zero()).or_else(|| {
            let beyond = known.failures.checked_sub(FAILURES - 1).filter(|beyond| *beyond > 0)?;
            Some(schedule::pause(retry, beyond, dice))
        });
        if let Some(pause) = pause {
            known.paused = known.paused.max(Some(now + pause));
        }
    }

    /// How long it still wants to be left alone.
    pub fn pause_of(&self, origin: &str) -> Option<Duration> {
        let until = self.known.get(origin)?.paused?;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// Those for which nothing more should be taken now.
    pub fn unwanted(&self) -> Vec<String> {
        let now = Instant::now();
        self.known
            .iter()
            .filter(|(_, known)| known.in_hand >= self.most || known.paused.is_some_and(|until| until > now))
            .map(|(origin, _)| origin.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://push.example";
    const THERE: &str = "https://other.example";

    fn origins() -> Origins {
        let mut origins = Origins::new(2, Duration::from_secs(5));
        origins.take(HERE);
        origins.take(THERE);
        origins
    }

    #[test]
    fn one_that_has_too_much_to_do_is_left_alone_as_long_as_it_asks() {
        let mut origins = origins();
        origins.failed(HERE, Some(Duration::from_secs(90)), 0);
        assert_eq!(origins.unwanted(), [HERE]);
        assert!(origins.pause_of(HERE).unwrap() > Duration::from_secs(89));
        origins.answered(HERE);
        assert_eq!(origins.unwanted(), [HERE], "what was on its way arrives, and changes nothing");
    }

    #[test]
    fn one_device_that_fails_does_not_stop_the_others() {
        let mut origins = origins();
        for _ in 0..FAILURES - 1 {
            origins.failed(HERE, None, 0);
        }
        assert_eq!(origins.pause_of(HERE), None);
        origins.failed(HERE, None, 0);
        assert!(origins.pause_of(HERE).unwrap() > Duration::from_secs(4));
        assert_eq!(origins.pause_of(THERE), None);
    }

    #[test]
    fn many_that_fail_together_are_one_failure() {
        let mut origins = origins();
        for _ in 0..100 {
            origins.failed(HERE, None, 0);
        }
        assert!(origins.pause_of(HERE).unwrap() <= Duration::from_secs(5));
    }

    #[test]
    fn nothing_more_is_taken_for_one_that_has_enough() {
        let mut origins = origins();
        origins.take(HERE);
        assert_eq!(origins.unwanted(), [HERE]);
        origins.give_back(HERE);
        assert!(origins.unwanted().is_empty());
    }
}
