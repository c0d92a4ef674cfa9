//! Push, assembled from settings: where devices are stored, what sends, what composes.

use std::sync::Arc;

use gom_actors::database::Database;
use gom_actors::live::Live;
use gom_actors::push::{
    ContactError, Devices, DevicesOptions, MakeComposer, OTHER_KEYS_KEPT, Push, Sender,
    SenderError, VapidKeys,
};
use gom_actors::redis::RedisOptionsError;
use gom_engine::plan::ValueSource as _;

use crate::application::Application;
use crate::deployment::Deployed;
use crate::graphql::{Admission, Api, Engine, Sources};
use crate::identity::{SecretError, obtain_vapid_keys, sender_options};
use crate::settings::Settings;

/// Push cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The VAPID keys cannot be read or used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The settings of Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisOptionsError),
    /// `push.vapid.subject` is no contact.
    #[error("push.vapid.subject: {0}")]
    Contact(#[from] ContactError),
    /// The sender cannot be built, for example because `push.ca_file` cannot be read.
    #[error("push messages cannot be sent: {0}")]
    Sender(#[from] SenderError),
    /// The dispatcher ended while it started; the log has the cause.
    #[error("the push dispatcher's thread has ended")]
    Thread,
}

/// Where devices are kept, by the settings. `keys`: for which browsers subscribe.
pub fn devices_options(
    application: &dyn Application,
    settings: &Settings,
    keys: Option<&VapidKeys>,
) -> DevicesOptions {
    DevicesOptions {
        store: settings.stores().devices.into(),
        per_user: settings.push.devices_per_user,
        vapid_key: keys.map(VapidKeys::fingerprint),
        other_keys_kept: OTHER_KEYS_KEPT,
        earlier_name: application.earlier_subject(),
    }
}

/// Starts the dispatcher: where the application composes notifications, and if there are keys, it sends. Waits for no store.
///
/// # Errors
/// What only the operator can put right.
pub(crate) async fn start(
    application: &'static dyn Application,
    settings: &Settings,
    database: &Database,
    engine: &Arc<Engine>,
    live: &Live,
    deployed: &Deployed,
) -> Result<Push, PushError> {
    let keys = obtain_vapid_keys(settings)?;
    let devices = devices_options(application, settings, keys.as_ref());
    let sender = match keys {
        Some(keys) => Some(Sender::new(sender_options(settings)?, keys)?),
        None => {
            tracing::info!(
                "push is off: there are no VAPID keys (`gom vapid generate` makes some)"
            );
            None
        }
    };
    let composer: Arc<MakeComposer> = {
        let (engine, database, live, deployed) = (
            Arc::clone(engine),
            database.clone(),
            live.clone(),
            deployed.clone(),
        );
        let settings = settings.clone();
        Arc::new(move || {
            let api = Api {
                engine: Arc::clone(&engine),
                database: database.local(),
                live: live.local(),
                push: None,
                deployed: deployed.clone(),
                admission: Admission::default(),
            };
            application.composer(api, &settings)
        })
    };
    let role = settings.server.role;
    // Else nobody reports jobs to it.
    let is_woken = !role.dispatches() || role.answers() || settings.redis.is_configured();
    let options = settings
        .push
        .options(role, &settings.database.schema, is_woken);
    let devices = Devices::start(devices, database)?;
    let dispatches = options.dispatches;
    let push = Push::start(
        options,
        database,
        devices,
        sender,
        composer,
        Arc::new(|| Sources.cuid()),
    )
    .await
    .ok_or(PushError::Thread)?;
    if dispatches {
        live.on_commits_elsewhere(push.waker());
    }
    Ok(push)
}
