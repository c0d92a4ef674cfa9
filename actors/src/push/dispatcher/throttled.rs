//! Devices for which their push service wants fewer messages: nothing is sent to one until its time, and then one message
//! first.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Devices that are remembered; of more than these, each message waits by itself.
const REMEMBERED: usize = 10_000;
/// A probe of which nothing is heard for so long does not hold up others.
const PROBE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Throttled {
    /// By fingerprint.
    known: HashMap<String, Throttle>,
}

struct Throttle {
    until: Instant,
    probed: Option<Instant>,
}

impl Throttled {
    /// Whether a message may go now; else how long it has to wait, which is `next` while another one finds out.
    pub fn admit(&mut self, device: &str, now: Instant, next: Duration) -> Result<(), Duration> {
        let Some(known) = self.known.get_mut(device) else {
            return Ok(());
        };
        if known.until > now {
            return Err(known.until - now);
        }
        if known
            .probed
            .is_some_and(|at| now.duration_since(at) < PROBE)
        {
            return Err(next);
        }
        known.probed = Some(now);
        Ok(())
    }

    /// Its push service wants it left alone for so long.
    pub fn throttle(&mut self, device: &str, now: Instant, wait: Duration) {
        if self.known.len() >= REMEMBERED && !self.known.contains_key(device) {
            self.known.retain(|_, known| known.until > now);
            if self.known.len() >= REMEMBERED {
                return;
            }
        }
        let known = self.known.entry(device.to_owned()).or_insert(Throttle {
            until: now,
            probed: None,
        });
        known.until = known.until.max(now + wait);
        known.probed = None;
    }

    /// A message has got through, or there is no device any more.
    pub fn release(&mut self, device: &str, now: Instant) {
        // What was on its way before does not end a pause.
        if self
            .known
            .get(device)
            .is_some_and(|known| known.until <= now)
        {
            self.known.remove(device);
        }
    }

    /// A message has said nothing about it: the next one may find out.
    pub fn undecided(&mut self, device: &str) {
        if let Some(known) = self.known.get_mut(device) {
            known.probed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_goes_first_after_a_pause() {
        let (wait, next) = (Duration::from_secs(10), Duration::from_secs(1));
        let (mut devices, mut now) = (Throttled::default(), Instant::now());
        assert_eq!(devices.admit("phone", now, next), Ok(()));
        devices.throttle("phone", now, wait);
        assert_eq!(devices.admit("phone", now, next), Err(wait));
        assert_eq!(devices.admit("tablet", now, next), Ok(()));
        devices.release("phone", now);
        assert_eq!(
            devices.admit("phone", now, next),
            Err(wait),
            "it was on its way before"
        );
        now += wait;
        assert_eq!(devices.admit("phone", now, next), Ok(()));
        assert_eq!(devices.admit("phone", now, next), Err(next));
        devices.undecided("phone");
        assert_eq!(devices.admit("phone", now, next), Ok(()));
        devices.release("phone", now);
        assert_eq!(devices.admit("phone", now, next), Ok(()));
        assert_eq!(devices.admit("phone", now, next), Ok(()));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let (mut devices, now) = (Throttled::default(), Instant::now());
        for device in 0..REMEMBERED + 10 {
            devices.throttle(&device.to_string(), now, Duration::from_secs(3_600));
        }
        assert_eq!(devices.known.len(), REMEMBERED);
    }
}
