//! Devices of sessions that end because their issuer refuses to renew their token: the user may be shut out there.

use std::time::Duration;

use gom_actors::push::Push;
use gom_actors::sessions::Refused;
use tokio::time::sleep;

use super::auth_services::AuthServices;

/// Between the first two attempts to forget the devices of a session. It doubles with each, up to the most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(32);

/// Has the devices of such sessions forgotten from now on, each on a task of its own: neither a connection that ends with the
/// session nor a request that no longer waits holds it up. Call it on the thread on which the sessions were started.
pub fn forget_devices(auth: Option<&AuthServices>, push: &Push) {
    let (Some(auth), push) = (auth, push.clone()) else {
        return;
    };
    auth.sessions.on_refused(move |refused| {
        actix_web::rt::spawn(forget_for_long(push.clone(), refused));
    });
}

async fn forget_for_long(push: Push, refused: Refused) {
    let user = &refused.subject;
    let mut pause = FIRST_PAUSE;
    while let Err(cause) = forget(&push, &refused).await {
        if pause > MAX_PAUSE {
            tracing::warn!(
                user,
                cause,
                "devices of a session that has ended still receive notifications"
            );
            return;
        }
        if pause == FIRST_PAUSE {
            tracing::warn!(
                user,
                cause,
                "devices of a session that has ended are not forgotten yet; the server retries"
            );
        }
        sleep(pause).await;
        pause *= 2;
    }
}

/// # Errors
/// Why it has to be retried: nobody comes back for them.
async fn forget(push: &Push, refused: &Refused) -> Result<(), String> {
    if refused
        .has_ended()
        .await
        .map_err(|error| error.to_string())?
    {
        let forgotten = push
            .forget_session(&refused.subject, &refused.id.handle())
            .await;
        forgotten.map_err(|error| error.to_string())?;
    }
    Ok(())
}
