//! What is queued for a subscription that its browser has replaced.

use super::{Kept, Ledger};
use crate::push::device::PushEndpoint;

/// Open notifications that are looked through for deliveries to the old device, the newest first: one look by the index for
/// each. There are more only while a push service has been away for long; what waits of older ones ends as `GONE`.
const NOTIFICATIONS: usize = 2_000;

/// `$1` the old endpoint, `$2` the new one, `$3` its origin, `$4` its fingerprint, `$5` how many notifications. What is in
/// flight, or was written for the new device as well, stays; so does what a claim is about. Whose device it is, is looked at when it is sent.
const READDRESS: &str = "with open as materialized (select id from gom.notification where reported_at is null \
     and settled_at is null and expires_at > now() order by created_at desc limit $5::int), \
     waiting as materialized (select d.id from open cross join lateral (select d.id from gom.delivery d \
     where d.notification = open.id and d.endpoint = $1 and d.state || '' = 'WAITING' \
     and (select x.id from gom.delivery x where x.notification = open.id and x.endpoint = $2) is null \
     for update skip locked) d) \
     update gom.delivery set endpoint = $2, origin = $3, device = $4 where id = any(array(select id from waiting)) returning 1";

impl Ledger {
    /// What waits to be sent to an old endpoint goes to the new one, with all that was said of it; how many deliveries.
    pub async fn readdress(&self, old: &PushEndpoint, new: &PushEndpoint) -> Kept<usize> {
        let (old, endpoint) = (old.as_str().to_owned(), new.as_str().to_owned());
        let (origin, device) = (new.origin().to_owned(), new.fingerprint());
        let params = [
            &old,
            &endpoint,
            &origin,
            &device,
            &NOTIFICATIONS.to_string(),
        ];
        Ok(self.ask(READDRESS, params).await?.len())
    }
}
