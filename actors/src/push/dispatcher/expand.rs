//! From a notice to the deliveries of its recipients' devices. Few recipients are one statement; of many, each step writes
//! some and where it has come to, and lets the job go: other jobs come in between, and any server may take the next step.

use std::collections::HashSet;
use std::time::Duration;

use super::jobs::away;
use super::work::Work;
use crate::database::StatementError;
use crate::push::device::PushEndpoint;
use crate::push::devices::DevicesError;
use crate::push::ledger::{ClaimedJob, Expanded, NewDelivery};
use crate::push::notice::Notice;
use gom_runtime::crash::crash_point;

/// Users whose devices are looked up at a time; in between, the thread does what else there is to do.
const LOOK_UP: usize = 250;

/// Writes a notice for its recipients, or for some more of them.
pub(super) async fn expand(
    work: &Work,
    claimed: &ClaimedJob,
    notice: Notice,
) -> Result<(), StatementError> {
    let deliveries = match deliveries_to(work, &notice.recipients).await {
        Ok(deliveries) => deliveries,
        Err(error) => return away(work, claimed, &error.to_string()).await,
    };
    let last = notice.next.is_none();
    crash_point("job-composed");
    let ledger = work.ledger_of(claimed);
    let (notification, expanded) = match &claimed.expansion {
        None => {
            let id = (work.ids)();
            let expanded = ledger.expand(claimed, &id, &notice, &deliveries).await?;
            (id, expanded)
        }
        Some(expansion) => {
            let next = notice.next.as_deref();
            let expanded = ledger.step(claimed, expansion, next, &deliveries).await?;
            (expansion.notification.clone(), expanded)
        }
    };
    crash_point(match (claimed.expansion.is_some(), last) {
        (false, true) => "job-expanded",
        (false, false) => "expansion-begun",
        (true, false) => "expansion-step",
        (true, true) => "expansion-ended",
    });
    match expanded {
        Expanded::New(deliveries) => {
            tracing::debug!(
                notification,
                deliveries,
                last,
                "a notification is to be sent"
            );
            if deliveries > 0 {
                work.due.notify_one();
            }
            // Perhaps nobody has a device, or all were served before the last was written.
            if last && (deliveries == 0 || claimed.expansion.is_some()) {
                ledger.settle(&[notification]).await?;
                work.settled.notify_one();
            }
        }
        // The application hears of the old one again.
        Expanded::Known => work.settled.notify_one(),
        // Let go, to be composed again.
        Expanded::Changed => {
            ledger
                .put_off_job(claimed, Duration::ZERO, None, false)
                .await?
        }
    }
    Ok(())
}

/// One for each device: of several users who had it, it has one.
async fn deliveries_to(
    work: &Work,
    recipients: &[String],
) -> Result<Vec<NewDelivery>, DevicesError> {
    let mut seen = HashSet::new();
    let mut deliveries = Vec::new();
    for users in recipients.chunks(LOOK_UP) {
        for (recipient, endpoint) in work.devices.of_users(users).await? {
            if seen.insert(endpoint.as_str().to_owned()) {
                deliveries.push(delivery(work, recipient, &endpoint));
            }
        }
    }
    Ok(deliveries)
}

fn delivery(work: &Work, recipient: String, endpoint: &PushEndpoint) -> NewDelivery {
    NewDelivery {
        id: (work.ids)(),
        recipient,
        endpoint: endpoint.as_str().to_owned(),
        origin: endpoint.origin().to_owned(),
        device: endpoint.fingerprint(),
    }
}
