//! Web Push: from a committed change to the devices of its recipients. See `docs/PUSH.md`.
//!
//! A trigger queues jobs in the writing transaction; the dispatcher has them composed, writes one delivery for each device
//! into the ledger, and sends. The application decides the recipients and the text: [`Composer`].

mod device;
mod devices;
mod dispatcher;
mod job;
mod ledger;
mod notice;
mod options;
#[expect(clippy::module_inception, reason = "the handle of the same name")]
mod push;
mod sender;
mod vapid;

pub use device::{
    AUTH_BYTES, Device, DeviceKeys, EndpointError, KeysError, MAX_ENDPOINT_BYTES, P256DH_BYTES,
    PushEndpoint, Registered,
};
pub use devices::{
    Change, DeviceStoreChoice, DeviceSummary, Devices, DevicesError, DevicesOptions, EarlierName,
    OTHER_KEYS_KEPT, Renewal, Subscriber,
};
pub use job::{ComposeError, Composed, Composer, Job, MAX_RECIPIENTS, Settled};
pub use notice::{Notice, Urgency};
pub use options::PushOptions;
pub use push::{MakeComposer, MakeId, Push};
pub use sender::{
    EncodeError, Message, Outcome, PushEncoder, Sender, SenderError, SenderOptions, SystemNames,
    Unreachable, WebPushEncoder,
};
pub use vapid::{Contact, ContactError, VapidError, VapidKeys};
