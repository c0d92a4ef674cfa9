//! From deliveries to devices: claimed, encrypted, sent. What became of each goes to the recorder.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::origins::{Trouble, reserved};
use super::record::settle;
use super::schedule;
use super::work::{Done, Prepared, Work, dice};
use crate::database::StatementError;
use crate::push::device::Device;
use crate::push::ledger::{Claimed, DeliveryState, Record, Wanted};
use crate::push::sender::{Message, Outcome};
use gom_runtime::crash::crash_point;
use gom_telemetry::metrics::{PUSH_MESSAGES, PUSH_REFUSING, PushOutcome};
use gom_telemetry::traces::{self, Begun, KeyValue, SpanKind};

/// Claimed at a time: a few, so that few are in doubt after a crash and others get some too.
const BATCH: usize = 64;
/// While the place where devices are kept is away.
const STORE_PAUSE: Duration = Duration::from_secs(2);
/// Strangers may name hosts that take long to say nothing: those that have never taken a message get one in so many places.
const UNPROVEN: usize = 4;

/// Makes deliveries until the dispatcher stops; those in flight are finished by their own tasks.
pub(super) async fn make_deliveries(work: Rc<Work>) {
    let mut complained = false;
    while !work.stopping() {
        // What was refused and is not sent to any more counts no longer.
        note_refusing(&work);
        let wanted = wanted(&work);
        if wanted.most == 0 {
            work.rest(&work.freed, work.options.poll).await;
            continue;
        }
        // As jobs are: held first, then looked whether all is to stop.
        work.claiming.set(true);
        work.publish_in_flight();
        if work.stopping() {
            work.claiming.set(false);
            return work.publish_in_flight();
        }
        let at = Instant::now();
        let claimed = work.ledger.claim(&wanted).await;
        if let Ok(claim) = &claimed {
            let ids = claim.taken.iter().map(|delivery| delivery.id.clone());
            work.in_flight.borrow_mut().claimed(ids, at);
        }
        work.claiming.set(false);
        work.publish_in_flight();
        let claim = match claimed {
            Ok(claim) => claim,
            Err(error) => {
                work.pause_after("deliveries", &error, &mut complained)
                    .await;
                continue;
            }
        };
        complained = false;
        if claim.taken.is_empty() && claim.superseded.is_empty() {
            // A new one is due, or a service that had enough in flight has room.
            work.rest_for_either([&work.due, &work.freed], work.options.poll)
                .await;
            continue;
        }
        if !claim.superseded.is_empty() {
            PUSH_MESSAGES.add(PushOutcome::Superseded, claim.superseded.len() as u64);
            settle(&work, &claim.superseded).await;
        }
        if !claim.taken.is_empty() {
            crash_point("intended");
            send_all(&work, claim.taken).await;
        }
    }
}

/// What there is room for.
fn wanted(work: &Work) -> Wanted {
    let now = Instant::now();
    let (places, in_flight) = (work.options.concurrency, work.in_flight.borrow());
    let (most, origins) = (
        places.saturating_sub(in_flight.len()),
        work.origins.borrow(),
    );
    let others = most.saturating_sub(reserved(places));
    // Not one by one: a claim costs about the same for many. What is urgent does not wait for more.
    let few = others < (places / 4).clamp(1, BATCH);
    Wanted {
        most: most.min(BATCH),
        others: if few { 0 } else { others.min(BATCH) },
        unproven: (places / UNPROVEN)
            .max(1)
            .saturating_sub(origins.unproven()),
        each: origins.room_of_each(now),
        rooms: origins.rooms(now),
        in_flight: in_flight.ids(),
    }
}

async fn send_all(work: &Rc<Work>, claimed: Vec<Claimed>) {
    let texts = claimed
        .iter()
        .map(|delivery| delivery.notification.clone())
        .collect::<HashSet<_>>();
    let endpoints: Vec<String> = claimed
        .iter()
        .map(|delivery| delivery.endpoint.clone())
        .collect();
    let (prepared, devices) =
        tokio::join!(work.prepared(&texts), work.devices.registered(&endpoints));
    let (prepared, devices) = match (prepared, devices) {
        (Ok(prepared), Ok(devices)) if devices.len() == claimed.len() => (prepared, devices),
        (prepared, devices) => {
            let reason = prepared
                .err()
                .map(|error: StatementError| error.to_string());
            let reason = reason
                .or_else(|| devices.err().map(|error| error.to_string()))
                .unwrap_or_default();
            tracing::warn!(
                reason,
                "deliveries are put off: devices or texts cannot be looked up"
            );
            for delivery in claimed {
                work.origins
                    .borrow_mut()
                    .take(&delivery.origin, Instant::now());
                let record = unsent(&delivery, STORE_PAUSE, "devices could not be looked up");
                finish(work, &delivery, record).await;
            }
            return;
        }
    };
    for (delivery, registered) in claimed.into_iter().zip(devices) {
        // It may have another user by now.
        let device = registered
            .filter(|device| device.user == delivery.recipient)
            .map(|device| device.device);
        let text = prepared.get(&delivery.notification).map(Rc::clone);
        work.origins
            .borrow_mut()
            .take(&delivery.origin, Instant::now());
        let work = Rc::clone(work);
        // At once: whose device it is may change at any time.
        actix::spawn(async move {
            let delivering =
                AssertUnwindSafe(deliver(&work, &delivery, device, text)).catch_unwind();
            let record = delivering.await.unwrap_or_else(|_| {
                tracing::error!(delivery = delivery.id, "a delivery panicked");
                later(
                    &delivery,
                    None,
                    "a fault of this server's",
                    work.options.retry,
                )
            });
            finish(&work, &delivery, record).await;
        });
    }
}

async fn finish(work: &Work, delivery: &Claimed, record: Record) {
    PUSH_MESSAGES.inc(match record.state {
        DeliveryState::Delivered => PushOutcome::Delivered,
        DeliveryState::Gone => PushOutcome::Gone,
        DeliveryState::Expired => PushOutcome::Expired,
        DeliveryState::Failed => PushOutcome::Failed,
        DeliveryState::Superseded => PushOutcome::Superseded,
        DeliveryState::Waiting | DeliveryState::Sending if record.unsent > 0 => PushOutcome::Unsent,
        DeliveryState::Waiting | DeliveryState::Sending => PushOutcome::Later,
    });
    work.origins.borrow_mut().give_back(&delivery.origin);
    let done = Done {
        record,
        notification: delivery.notification.clone(),
    };
    // It has room for all that may be in flight. Without a recorder the lease ends by itself.
    let _ = work.done.send(done).await;
}

/// One attempt, and what is to be said of it.
async fn deliver(
    work: &Work,
    delivery: &Claimed,
    device: Option<Device>,
    text: Option<Rc<Prepared>>,
) -> Record {
    if delivery.lost > work.options.attempts {
        return ended(
            delivery,
            DeliveryState::Failed,
            None,
            Some("tried too often without a result"),
        );
    }
    let Some(text) = text.filter(|text| text.expires > Instant::now()) else {
        return ended(
            delivery,
            DeliveryState::Expired,
            None,
            Some("it could not be delivered in time"),
        );
    };
    let Some(device) = device else {
        return ended(
            delivery,
            DeliveryState::Gone,
            None,
            Some("the device is not this user's any more"),
        );
    };
    let left = text.expires.saturating_duration_since(Instant::now());
    if let Some(pause) = work
        .origins
        .borrow()
        .pause_of(&delivery.origin, Instant::now())
    {
        return unsent(
            delivery,
            pause.min(left),
            "the push service wants to be left alone",
        );
    }
    if work.stopping() {
        return unsent(delivery, Duration::ZERO, "the server stops");
    }
    // A task that was held up for so long may not have the delivery alone any more. (The recorder is gone after a panic of the actor.)
    if !work
        .in_flight
        .borrow()
        .is_ours(&delivery.id, Instant::now())
        || work.done.is_closed()
    {
        return unsent(
            delivery,
            Duration::ZERO,
            "the lease was lost, or has nearly ended",
        );
    }
    let fingerprint = device.endpoint.fingerprint();
    let next = schedule::pause(work.options.retry, 1, dice());
    if let Err(pause) = work
        .throttled
        .borrow_mut()
        .admit(&fingerprint, Instant::now(), next)
    {
        return unsent(
            delivery,
            pause.min(left),
            "the push service wants fewer messages for this device",
        );
    }
    let message = Message {
        payload: if delivery.shortened {
            text.short.clone()
        } else {
            text.whole.clone()
        },
        ttl: left,
        urgency: text.urgency,
        topic: text.topic.clone(),
    };
    let begun = traces::begin(|| Begun {
        name: "push".into(),
        kind: SpanKind::Client,
        attributes: vec![KeyValue::new("server.address", delivery.origin.clone())],
        parent: None,
    });
    let outcome = traces::within(
        begun,
        work.sender.send(&device, &message),
        |outcome, span| {
            span.set_attribute(KeyValue::new("gom.outcome", outcome.name()));
        },
    )
    .await;
    crash_point("sent");
    if matches!(outcome, Outcome::Gone { .. }) {
        forget(work, &device).await;
    }
    let now = Instant::now();
    let (status, reason, trouble, asked) = match outcome {
        Outcome::Later {
            status,
            retry_after,
            reason,
        } => {
            let asked = retry_after.filter(|_| status.is_some());
            let trouble = match (status, asked) {
                (Some(429 | 406), _) => Trouble::Busy(asked),
                (Some(503), Some(wait)) => Trouble::Away(wait),
                // What it asks for is for this device.
                _ => Trouble::Failed,
            };
            (status, reason, trouble, asked)
        }
        Outcome::Unauthorized { status, reason } => (Some(status), reason, Trouble::Refused, None),
        settled => {
            work.throttled.borrow_mut().release(&fingerprint, now);
            answered(work, &delivery.origin);
            return settled_by(delivery, settled);
        }
    };
    let pause = schedule::pause(work.options.retry, delivery.attempts, dice())
        .max(asked.unwrap_or_default());
    match trouble {
        Trouble::Busy(_) => work
            .throttled
            .borrow_mut()
            .throttle(&fingerprint, now, pause),
        Trouble::Failed if asked.is_some() => {
            work.throttled
                .borrow_mut()
                .throttle(&fingerprint, now, pause)
        }
        _ => work.throttled.borrow_mut().undecided(&fingerprint),
    }
    let failed = work.origins.borrow_mut().failed(
        &delivery.origin,
        &delivery.recipient,
        trouble,
        now,
        dice(),
    );
    if failed {
        let origin = delivery.origin.as_str();
        tracing::error!(
            origin,
            status,
            reason,
            "a push service does not accept this server's keys, clock or contact: messages wait until it does"
        );
        note_refusing(work);
    }
    // As long as it is of use to anybody: a service may be away for hours.
    later(delivery, status, &reason, pause.min(left))
}

/// What an answer that is no trouble comes to.
fn settled_by(delivery: &Claimed, outcome: Outcome) -> Record {
    match outcome {
        Outcome::Delivered { status } => {
            ended(delivery, DeliveryState::Delivered, Some(status), None)
        }
        Outcome::Gone { status } => ended(
            delivery,
            DeliveryState::Gone,
            Some(status),
            Some("the push service does not know the device any more"),
        ),
        Outcome::TooLarge if !delivery.shortened => Record {
            shortened: true,
            ..later(delivery, Some(413), "too long: shortened", Duration::ZERO)
        },
        Outcome::TooLarge => ended(
            delivery,
            DeliveryState::Failed,
            Some(413),
            Some("too long, shortened as well"),
        ),
        Outcome::Refused { status, reason } | Outcome::Later { status, reason, .. } => {
            ended(delivery, DeliveryState::Failed, status, Some(&reason))
        }
        Outcome::Unauthorized { status, reason } => {
            ended(delivery, DeliveryState::Failed, Some(status), Some(&reason))
        }
    }
}

fn answered(work: &Work, origin: &str) {
    if work.origins.borrow_mut().answered(origin, Instant::now()) {
        tracing::info!(origin, "a push service accepts this server again");
        note_refusing(work);
    }
}

/// For `/readyz` and the metrics.
fn note_refusing(work: &Work) {
    let refusing = work.origins.borrow().refusing(Instant::now());
    work.shared.refusing.store(refusing, Ordering::Relaxed);
    PUSH_REFUSING.set((), refusing as u64);
}

async fn forget(work: &Work, device: &Device) {
    // Only as it was when it was sent to: it may have subscribed again since.
    if let Err(error) = work.devices.unsubscribe(device).await {
        let device = device.endpoint.fingerprint();
        tracing::warn!(device, cause = %error, "a device that is gone is still known");
    }
}

fn ended(
    delivery: &Claimed,
    state: DeliveryState,
    status: Option<u16>,
    reason: Option<&str>,
) -> Record {
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
    Record {
        wait_ms,
        ..ended(delivery, DeliveryState::Waiting, status, Some(reason))
    }
}

fn unsent(delivery: &Claimed, pause: Duration, reason: &str) -> Record {
    Record {
        unsent: 1,
        ..later(delivery, None, reason, pause)
    }
}

/// What push services answer is theirs: nothing of it may spoil the ledger.
fn clean(reason: &str) -> String {
    reason
        .chars()
        .filter(|character| !character.is_control())
        .take(300)
        .collect()
}
