//! What is known of each push service: how much is in flight there, whether it is to be left alone, and whether it takes
//! this server's messages at all. Decides how many messages may be taken for it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::schedule;
use crate::push::ledger::Room;

/// A push service that fails so often in a row is left alone for a while: it is not one device's fault then.
const FAILURES: u32 = 5;
/// What a push service says for one device's sake, it means for all once it has said it to so many users in a row.
const USERS: usize = 3;
/// The longest pause of a push service that refuses this server's keys: it is found soon after the mend.
const MAX_REFUSAL: Duration = Duration::from_secs(5 * 60);
/// A service that took a message within this time does not refuse this server because it refuses one user's devices.
const RECENT: Duration = Duration::from_secs(60 * 60);
/// A service that was sent nothing for so long is not known to refuse this server any more: nothing may be open for it. Longer
/// than the longest pause of a message, an hour and a fifth.
const REFUSAL_KNOWN: Duration = Duration::from_secs(90 * 60);
/// Services that are remembered, beside those with messages in flight.
const REMEMBERED: usize = 1_000;

/// Of so many places, those that only urgent messages take.
pub(super) fn reserved(places: usize) -> usize {
    places / 8
}

pub(super) struct Origins {
    most: usize,
    retry: Duration,
    known: HashMap<String, Origin>,
}

#[derive(Default)]
struct Origin {
    in_flight: usize,
    /// When it took a message, or refused one for that message's sake.
    answered: Option<Instant>,
    /// Failures since then, and the users whose devices it had too much to do for or refused this server's keys.
    failures: u32,
    busy: Vec<String>,
    refused: Vec<String>,
    refuses: bool,
    /// When it failed to take a message last.
    failed: Option<Instant>,
    paused: Option<Instant>,
    /// It was paused, and has not answered since: one message at a time finds out.
    trial: bool,
}

/// Why a push service has not taken a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No answer, or a fault of its own.
    Failed,
    /// It cannot take any for so long.
    Away(Duration),
    /// There are too many for this device, or for all; what it asked for.
    Busy(Option<Duration>),
    /// It does not accept who this server says it is.
    Refused,
}

impl Origin {
    fn is_paused(&self, now: Instant) -> bool {
        self.paused.is_some_and(|until| until > now)
    }

    fn refuses_at(&self, now: Instant) -> bool {
        let recently = self
            .failed
            .is_some_and(|at| now.saturating_duration_since(at) < REFUSAL_KNOWN);
        self.refuses && recently
    }

    /// How many messages may be taken: in all, and of what is not urgent.
    fn room(&self, most: usize, now: Instant) -> (usize, usize) {
        if self.is_paused(now) {
            return (0, 0);
        }
        if self.trial {
            let probe = usize::from(self.in_flight == 0);
            return (probe, probe);
        }
        let urgent = most.saturating_sub(self.in_flight);
        (urgent, urgent.saturating_sub(reserved(most)))
    }
}

fn note(users: &mut Vec<String>, user: &str) -> usize {
    if users.len() < USERS && !users.iter().any(|known| known == user) {
        users.push(user.to_owned());
    }
    users.len()
}

impl Origins {
    /// `most`: messages in flight to one of them. `retry`: the first pause.
    pub fn new(most: usize, retry: Duration) -> Self {
        Origins {
            most,
            retry,
            known: HashMap::new(),
        }
    }

    /// A message for it was taken.
    pub fn take(&mut self, origin: &str, now: Instant) {
        if self.known.len() >= REMEMBERED && !self.known.contains_key(origin) {
            self.forget_some(now);
        }
        self.known.entry(origin.to_owned()).or_default().in_flight += 1;
    }

    /// Hosts that strangers have named may be very many: those that never took a message go first.
    fn forget_some(&mut self, now: Instant) {
        let keeps: [fn(&Origin, Instant) -> bool; 3] = [
            |origin, now| origin.is_paused(now),
            |origin, _| origin.answered.is_some(),
            |_, _| false,
        ];
        for keep in keeps {
            self.known
                .retain(|_, origin| origin.in_flight > 0 || keep(origin, now));
            if self.known.len() < REMEMBERED {
                return;
            }
        }
    }

    /// What was taken is not in flight any more.
    pub fn give_back(&mut self, origin: &str) {
        if let Some(known) = self.known.get_mut(origin) {
            known.in_flight = known.in_flight.saturating_sub(1);
        }
    }

    /// It has taken a message, or refused one for that message's sake. Whether it had refused this server before.
    pub fn answered(&mut self, origin: &str, now: Instant) -> bool {
        let Some(known) = self.known.get_mut(origin) else {
            return false;
        };
        known.failures = 0;
        known.busy.clear();
        known.refused.clear();
        known.answered = Some(now);
        // A pause that it asked for is not over because something from before it has arrived.
        known.trial &= known.is_paused(now);
        std::mem::take(&mut known.refuses)
    }

    /// It could not take a message of this user's. Whether it refuses this server from now on.
    pub fn failed(
        &mut self,
        origin: &str,
        user: &str,
        trouble: Trouble,
        now: Instant,
        dice: u64,
    ) -> bool {
        let retry = self.retry;
        let Some(known) = self.known.get_mut(origin) else {
            return false;
        };
        // A refusal that was forgotten is news again.
        known.refuses &= known.refuses_at(now);
        known.failed = Some(now);
        // What was on its way when it began to fail fails with it, and says nothing new.
        if known.is_paused(now) {
            if let Trouble::Away(wait) = trouble {
                known.paused = known.paused.max(Some(now + wait));
            }
            return false;
        }
        let pause = |attempts: u32| schedule::pause(retry, attempts.max(1), dice);
        let (mut wanted, mut refuses) = (None, false);
        match trouble {
            Trouble::Failed => {
                known.failures = known.failures.saturating_add(1);
                if known.trial || known.failures >= FAILURES {
                    wanted = Some(pause((known.failures + 1).saturating_sub(FAILURES)));
                }
            }
            Trouble::Away(wait) => wanted = Some(wait),
            Trouble::Busy(wait) => {
                if note(&mut known.busy, user) >= USERS || known.trial {
                    wanted = Some(wait.unwrap_or_else(|| pause(1)));
                }
            }
            Trouble::Refused => {
                known.failures = known.failures.saturating_add(1);
                let several = note(&mut known.refused, user) >= USERS;
                let silent = known
                    .answered
                    .is_none_or(|at| now.duration_since(at) > RECENT);
                if known.trial || several || (silent && known.failures >= FAILURES) {
                    let beyond = (known.failures + 1).saturating_sub(FAILURES);
                    wanted = Some(pause(beyond).min(MAX_REFUSAL.max(retry)));
                    refuses = !std::mem::replace(&mut known.refuses, true);
                }
            }
        }
        if let Some(pause) = wanted.filter(|pause| !pause.is_zero()) {
            known.paused = Some(now + pause);
            known.trial = true;
        }
        refuses
    }

    /// How long it still wants to be left alone.
    pub fn pause_of(&self, origin: &str, now: Instant) -> Option<Duration> {
        let until = self.known.get(origin)?.paused?;
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// How many of them refuse this server. Those to which nothing goes any more do not count.
    pub fn refusing(&self, now: Instant) -> usize {
        self.known
            .values()
            .filter(|known| known.refuses_at(now))
            .count()
    }

    /// How many messages may be taken for those that are not known: in all, and of what is not urgent.
    pub fn room_of_each(&self, now: Instant) -> (usize, usize) {
        Origin::default().room(self.most, now)
    }

    /// The same for those that are known.
    pub fn rooms(&self, now: Instant) -> Vec<Room> {
        let room = |(origin, known): (&String, &Origin)| {
            let (urgent, others) = known.room(self.most, now);
            Room {
                origin: origin.clone(),
                urgent,
                others,
                proven: known.answered.is_some(),
            }
        };
        self.known.iter().map(room).collect()
    }

    /// Messages in flight to services that have never taken one.
    pub fn unproven(&self) -> usize {
        self.known
            .values()
            .filter(|known| known.answered.is_none())
            .map(|known| known.in_flight)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://push.example";
    const THERE: &str = "https://other.example";

    fn origins() -> (Origins, Instant) {
        let (mut origins, now) = (Origins::new(16, Duration::from_secs(5)), Instant::now());
        origins.take(HERE, now);
        origins.take(THERE, now);
        (origins, now)
    }

    fn room(origins: &Origins, origin: &str, now: Instant) -> (usize, usize) {
        let rooms = origins.rooms(now);
        let room = rooms.iter().find(|room| room.origin == origin).unwrap();
        (room.urgent, room.others)
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_that_is_away_is_left_alone_as_long_as_it_asks() {
        let (mut origins, now) = origins();
        origins.failed(HERE, "ana", Trouble::Away(seconds(90)), now, 0);
        assert_eq!(room(&origins, HERE, now), (0, 0));
        assert!(origins.pause_of(HERE, now).unwrap() > seconds(89));
        origins.answered(HERE, now);
        assert_eq!(
            room(&origins, HERE, now),
            (0, 0),
            "what was on its way arrives, and changes nothing"
        );
        assert_eq!(room(&origins, THERE, now), (15, 13));
    }

    #[test]
    fn after_a_pause_one_message_at_a_time_finds_out_whether_it_is_over() {
        let (mut origins, mut now) = origins();
        origins.failed(HERE, "ana", Trouble::Away(seconds(90)), now, 0);
        origins.give_back(HERE);
        now += seconds(91);
        assert_eq!(room(&origins, HERE, now), (1, 1));
        origins.take(HERE, now);
        assert_eq!(room(&origins, HERE, now), (0, 0), "the probe is under way");
        origins.failed(HERE, "bea", Trouble::Failed, now, 0);
        origins.give_back(HERE);
        assert!(
            origins.pause_of(HERE, now).is_some(),
            "one failure is enough"
        );
        now += seconds(30);
        origins.take(HERE, now);
        origins.answered(HERE, now);
        origins.give_back(HERE);
        assert_eq!(room(&origins, HERE, now), (16, 14));
    }

    #[test]
    fn one_device_that_fails_does_not_stop_the_others() {
        let (mut origins, now) = origins();
        for _ in 0..FAILURES - 1 {
            origins.failed(HERE, "ana", Trouble::Failed, now, 0);
        }
        assert_eq!(origins.pause_of(HERE, now), None);
        origins.failed(HERE, "ana", Trouble::Failed, now, 0);
        assert!(origins.pause_of(HERE, now).unwrap() > seconds(4));
        assert_eq!(origins.pause_of(THERE, now), None);
    }

    #[test]
    fn too_many_requests_for_one_users_devices_do_not_stop_the_service() {
        let (mut origins, now) = origins();
        for _ in 0..20 {
            origins.failed(HERE, "ana", Trouble::Busy(Some(seconds(3_600))), now, 0);
        }
        assert_eq!(origins.pause_of(HERE, now), None);
        for user in ["bea", "cid"] {
            origins.failed(HERE, user, Trouble::Busy(Some(seconds(60))), now, 0);
        }
        assert!(
            origins.pause_of(HERE, now).unwrap() > seconds(59),
            "three users in a row: it means all"
        );
    }

    #[test]
    fn a_service_that_refuses_this_server_is_paused_counted_once_and_retried() {
        let (mut origins, mut now) = origins();
        assert!(!origins.failed(HERE, "ana", Trouble::Refused, now, 0));
        assert!(!origins.failed(HERE, "bea", Trouble::Refused, now, 0));
        assert!(
            origins.failed(HERE, "cid", Trouble::Refused, now, 0),
            "said once"
        );
        assert_eq!(origins.refusing(now), 1);
        origins.give_back(HERE);
        for _ in 0..10 {
            let pause = origins.pause_of(HERE, now).unwrap();
            assert!(pause <= MAX_REFUSAL, "{pause:?}");
            now += pause + seconds(1);
            origins.take(HERE, now);
            assert!(
                !origins.failed(HERE, "ana", Trouble::Refused, now, 0),
                "said already"
            );
            origins.give_back(HERE);
        }
        now += MAX_REFUSAL;
        origins.take(HERE, now);
        assert!(origins.answered(HERE, now), "it is mended");
        assert_eq!(
            (origins.refusing(now), origins.pause_of(HERE, now)),
            (0, None)
        );
    }

    #[test]
    fn who_refuses_this_server_counts_no_longer_than_messages_go_there() {
        let (mut origins, mut now) = origins();
        let refused = |origins: &mut Origins, now: Instant| {
            ["ana", "bea", "cid"]
                .map(|user| origins.failed(HERE, user, Trouble::Refused, now, 0))
                .contains(&true)
        };
        assert!(refused(&mut origins, now));
        origins.give_back(HERE);
        now += seconds(72 * 60);
        assert_eq!(
            origins.refusing(now),
            1,
            "the longest pause of a message is over"
        );
        origins.take(HERE, now);
        assert!(!refused(&mut origins, now), "said already");
        origins.give_back(HERE);
        now += REFUSAL_KNOWN;
        assert_eq!(
            origins.refusing(now),
            0,
            "nothing has been sent there since"
        );
        origins.take(HERE, now);
        assert_eq!(origins.refusing(now), 0);
        assert!(refused(&mut origins, now), "it is news again");
        assert_eq!(origins.refusing(now), 1);
    }

    #[test]
    fn one_user_with_keys_of_another_server_does_not_stop_a_service_that_takes_messages() {
        let (mut origins, now) = origins();
        origins.answered(HERE, now);
        for _ in 0..20 {
            origins.failed(HERE, "mal", Trouble::Refused, now, 0);
        }
        assert_eq!(
            (origins.refusing(now), origins.pause_of(HERE, now)),
            (0, None)
        );
    }

    #[test]
    fn many_that_fail_together_are_one_failure() {
        let (mut origins, now) = origins();
        for _ in 0..100 {
            origins.failed(HERE, "ana", Trouble::Failed, now, 0);
        }
        assert!(origins.pause_of(HERE, now).unwrap() <= seconds(5));
    }

    #[test]
    fn an_eighth_is_kept_for_what_is_urgent() {
        let (mut origins, now) = origins();
        for _ in 0..13 {
            origins.take(HERE, now);
        }
        assert_eq!(room(&origins, HERE, now), (2, 0));
        origins.take(HERE, now);
        origins.take(HERE, now);
        assert_eq!(room(&origins, HERE, now), (0, 0));
        origins.give_back(HERE);
        assert_eq!(room(&origins, HERE, now), (1, 0));
    }

    #[test]
    fn hosts_that_strangers_have_named_are_not_remembered_without_bound() {
        let (mut origins, now) = origins();
        origins.answered(THERE, now);
        for number in 0..3 * REMEMBERED {
            let host = format!("https://{number}.example");
            origins.take(&host, now);
            origins.failed(&host, "mal", Trouble::Away(seconds(86_400)), now, 0);
            origins.give_back(&host);
        }
        assert!(
            origins.known.len() <= REMEMBERED + 2,
            "{}",
            origins.known.len()
        );
        assert_eq!(room(&origins, THERE, now), (15, 13));
    }
}
