//! From deliveries to devices: claimed, encrypted, sent. What became of each goes to the recorder.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::schedule;
use super::work::{Done, Prepared, Work, dice};
use crate::crash::crash_point;
use crate::database::LineError;
use crate::metrics::{PUSH_MESSAGES, PushOutcome};
use crate::push::device::Device;
use crate::push::ledger::{Claimed, Record};
use crate::push::sender::{Message, Outcome};
use crate::traces::{self, Begun, KeyValue, SpanKind};

/// Claimed at a time: a few, so that few are in doubt after a crash and others get some too.
const BATCH: usize = 64;
/// While the place where devices are kept is away.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// Makes deliveries until all is to stop; those in hand are finished by their own tasks.
pub(super) async fn make_deliveries(work: Rc<Work>) {
    let mut complained = false;
    while !work.stopping() {
        let free = work.options.concurrency.saturating_sub(work.in_hand.borrow().len());
        // Not one by one: a claim costs about the same for many.
        if free < (work.options.concurrency / 4).clamp(1, BATCH) {
            work.rest(&work.freed, work.options.poll).await;
            continue;
        }
        let unwanted = work.origins.borrow().unwanted();
        // As jobs are: held first, then looked whether all is to stop.
        work.claiming.set(true);
        work.tell_in_hand();
        if work.stopping() {
            work.claiming.set(false);
            return work.tell_in_hand();
        }
        let in_hand: Vec<String> = work.in_hand.borrow().iter().cloned().collect();
        let at = Instant::now();
        let claimed = work.ledger.claim(&unwanted, free.min(BATCH), &in_hand).await;
        if let Ok(claimed) = &claimed {
            work.in_hand.borrow_mut().extend(claimed.iter().map(|delivery| delivery.id.clone()));
        }
        work.claiming.set(false);
        work.tell_in_hand();
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                work.pause_after("deliveries", &error, &mut complained).await;
                continue;
            }
        };
        complained = false;
        if claimed.is_empty() {
            // A service that had enough in hand may have room before anything else happens.
            let woken = if unwanted.is_empty() { &work.due } else { &work.freed };
            work.rest(woken, work.options.poll).await;
            continue;
        }
        crash_point("intended");
        send_all(&work, claimed, at).await;
    }
}

/// `at`: since when they are ours.
async fn send_all(work: &Rc<Work>, claimed: Vec<Claimed>, at: Instant) {
    let texts = claimed.iter().map(|delivery| delivery.notification.clone()).collect::<HashSet<_>>();
    let endpoints: Vec<String> = claimed.iter().map(|delivery| delivery.endpoint.clone()).collect();
    let (prepared, devices) = tokio::join!(work.prepared(&texts), work.devices.registered(&endpoints));
    let (prepared, devices) = match (prepared, devices) {
        (Ok(prepared), Ok(devices)) if devices.len() == claimed.len() => (prepared, devices),
        (prepared, devices) => {
            let reason = prepared.err().map(|error: LineError| error.to_string());
            let reason = reason.or_else(|| devices.err().map(|error| error.to_string())).unwrap_or_default();
            tracing::warn!(reason, "deliveries are put off: devices or texts cannot be looked up");
            for delivery in claimed {
                work.origins.borrow_mut().take(&delivery.origin);
                let record = unsent(&delivery, STORE_PAUSE, "devices could not be looked up");
                finish(work, &delivery, record);
            }
            return;
        }
    };
    for (delivery, registered) in claimed.into_iter().zip(devices) {
        // It may have another user by now.
        let device =
            registered.filter(|device| device.user == delivery.recipient).map(|device| device.device);
        let text = prepared.get(&delivery.notification).map(Rc::clone);
        let permits = work.origins.borrow_mut().take(&delivery.origin);
        let work = Rc::clone(work);
        actix::spawn(async move {
            // Never closed: whoever waits gets its turn.
            let _permit = permits.acquire().await;
            let delivering = AssertUnwindSafe(deliver(&work, &delivery, device, text, at)).catch_unwind();
            let record = delivering.await.unwrap_or_else(|_| {
                tracing::error!(delivery = delivery.id, "a delivery panicked");
                later(&delivery, None, "a fault of this server's", work.options.retry)
            });
            finish(&work, &delivery, record);
        });
    }
}

fn finish(work: &Work, delivery: &Claimed, record: Record) {
    PUSH_MESSAGES.one(match record.state {
        "DELIVERED" => PushOutcome::Delivered,
        "GONE" => PushOutcome::Gone,
        "EXPIRED" => PushOutcome::Expired,
        "FAILED" => PushOutcome::Failed,
        _ if record.unsent > 0 => PushOutcome::Unsent,
        _ => PushOutcome::Later,
    });
    let done = Done { record, notification: delivery.notification.clone(), origin: delivery.origin.clone() };
    // Without a recorder the lease ends by itself.
    let _ = work.done.send(done);
}

/// One attempt, and what is to be said of it.
async fn deliver(
    work: &Work,
    delivery: &Claimed,
    device: Option<Device>,
    text: Option<Rc<Prepared>>,
    at: Instant,
) -> Record {
    if delivery.attempts > work.options.attempts {
        return ended(delivery, "FAILED", None, Some("tried too often without a result"));
    }
    let Some(text) = text.filter(|text| text.expires > Instant::now()) else {
        return ended(delivery, "EXPIRED", None, Some("it could not be delivered in time"));
    };
    let Some(device) = device else {
        return ended(delivery, "GONE", None, Some("the device is not this user's any more"));
    };
    if let Some(pause) = work.origins.borrow().pause_of(&delivery.origin) {
        return unsent(delivery, pause, "the push service wants to be left alone");
    }
    if work.stopping() {
        return unsent(delivery, Duration::ZERO, "the server stops");
    }
    // Whoever was held up for so long may not be the only one any more. (The recorder is gone after a panic of the actor.)
    if at.max(work.renewed.get()).elapsed() > work.options.lease * 2 / 3 || work.done.is_closed() {
        return unsent(delivery, Duration::ZERO, "the lease has nearly ended");
    }
    let message = Message {
        payload: if delivery.shortened { text.short.clone() } else { text.whole.clone() },
        ttl: text.expires.saturating_duration_since(Instant::now()),
        urgency: text.urgency,
        topic: text.topic.clone(),
    };
    let begun = traces::begin(|| Begun {
        name: "push".into(),
        kind: SpanKind::Client,
        attributes: vec![KeyValue::new("server.address", delivery.origin.clone())],
        parent: None,
    });
    let outcome = traces::within(begun, work.sender.send(&device, &message), |outcome, span| {
        span.set_attribute(KeyValue::new("gom.outcome", outcome.name()));
    })
    .await;
    crash_point("sent");
    if matches!(outcome, Outcome::Gone { .. }) {
        forget(work, &device).await;
    }
    let (origin, mut origins) = (delivery.origin.as_str(), work.origins.borrow_mut());
    match outcome {
        Outcome::Delivered { status } => {
            origins.answered(origin);
            ended(delivery, "DELIVERED", Some(status), None)
        }
        Outcome::Gone { status } => {
            origins.answered(origin);
            ended(delivery, "GONE", Some(status), Some("the push service does not know the device any more"))
        }
        Outcome::TooLarge if !delivery.shortened => {
            origins.answered(origin);
            Record { shortened: true, ..later(delivery, Some(413), "too long: shortened", Duration::ZERO) }
        }
        Outcome::TooLarge => {
            origins.answered(origin);
            ended(delivery, "FAILED", Some(413), Some("too long, shortened as well"))
        }
        Outcome::Refused { status, reason } => {
            origins.answered(origin);
            ended(delivery, "FAILED", status, Some(&reason))
        }
        Outcome::Later { status, retry_after, reason } => {
            let asked = retry_after.filter(|_| status.is_some());
            let pause = schedule::pause(work.options.retry, delivery.attempts, dice());
            // A service with too much to do is left alone by all; another failure may be this device's own.
            let first = || schedule::pause(work.options.retry, 1, dice());
            let of_all = if status == Some(429) { Some(asked.unwrap_or_else(first)) } else { asked };
            origins.failed(origin, of_all, dice());
            if delivery.attempts >= work.options.attempts {
                return ended(delivery, "FAILED", status, Some(&reason));
            }
            later(delivery, status, &reason, asked.unwrap_or_default().max(pause))
        }
    }
}

async fn forget(work: &Work, device: &Device) {
    if let Err(error) = work.devices.forget(device.endpoint.as_str()).await {
        let device = device.endpoint.fingerprint();
        tracing::warn!(device, cause = %error, "a device that is gone is still known");
    }
}

fn ended(delivery: &Claimed, state: &'static str, status: Option<u16>, reason: Option<&str>) -> Record {
    Record {
        id: delivery.id.clone(),
        state,
        status,
        reason: reason.map(clean),
        shortened: false,
        unsent: 0,
        wait_ms: 0,
    }
}

fn later(delivery: &Claimed, status: Option<u16>, reason: &str, pause: Duration) -> Record {
    let wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    Record { wait_ms, ..ended(delivery, "WAITING", status, Some(reason)) }
}

fn unsent(delivery: &Claimed, pause: Duration, reason: &str) -> Record {
    Record { unsent: 1, ..later(delivery, None, reason, pause) }
}

/// What push services answer is theirs: nothing of it may spoil the ledger.
fn clean(reason: &str) -> String {
    reason.chars().filter(|character| !character.is_control()).take(300).collect()
}
