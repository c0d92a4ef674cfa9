//! `gom push devices`: on which devices a user is notified, and how to end it. Shows neither endpoints nor keys.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use gom_actors::push::{DeviceSummary, Devices};

use super::Failure;
use super::place::{Place, UserArguments, work_in};
use gom_server::application::Application;
use gom_server::identity::obtain_vapid_keys;
use gom_server::push::devices_options;
use gom_server::settings::Settings;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show the devices of a user
    List(UserArguments),
    /// Forget the devices of a user: nothing more is sent to them, until they are subscribed again
    Forget(Forgotten),
}

#[derive(Debug, Args)]
struct Forgotten {
    #[command(flatten)]
    of: UserArguments,
    /// Only this one, as `gom push devices list` shows it
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let (of, work) = match arguments.task {
        Task::List(of) => (of, Work::List),
        Task::Forget(Forgotten { of, device: None }) => (of, Work::ForgetAll),
        Task::Forget(Forgotten {
            of,
            device: Some(device),
        }) => (of, Work::Forget(device)),
    };
    let UserArguments { database, subject } = of;
    let (settings, patience) = database.load(application, [])?;
    work_in(application, &settings, patience, async |place| {
        carry_out(place, &settings, &subject, work).await
    })
}

enum Work {
    List,
    Forget(String),
    ForgetAll,
}

/// The devices of all users, where the servers keep them.
pub(super) fn devices(place: &Place, settings: &Settings) -> Result<Devices, Failure> {
    let options = devices_options(place.application, settings, None);
    Devices::start(options, &place.database).map_err(|error| Failure::because("", &error))
}

async fn carry_out(
    place: &Place,
    settings: &Settings,
    subject: &str,
    work: Work,
) -> Result<(), Failure> {
    match work {
        Work::List => place.prepare_to_read(settings).await?,
        _ => place.prepare_system(settings).await?,
    }
    let (devices, failed) = (devices(place, settings)?, |error| {
        Failure::because("", &error)
    });
    match work {
        Work::List => {
            let key = obtain_vapid_keys(settings)
                .ok()
                .flatten()
                .map(|keys| keys.fingerprint());
            print!(
                "{}",
                table(
                    &devices.list(subject).await.map_err(failed)?,
                    key.as_deref()
                )
            );
        }
        Work::Forget(device) => {
            if !devices.forget_one(subject, &device).await.map_err(failed)? {
                let text =
                    format!("{subject} has no device {device}; `gom push devices list` shows all");
                return Err(Failure::Other(text));
            }
            println!("The device is forgotten.");
        }
        Work::ForgetAll => {
            let forgotten = devices.forget_all(subject).await.map_err(failed)?;
            println!("Devices forgotten: {forgotten}.");
        }
    }
    Ok(())
}

/// `key`: the fingerprint of the VAPID key that browsers subscribe for now.
fn table(devices: &[DeviceSummary], key: Option<&str>) -> String {
    let head = [
        "DEVICE",
        "PUSH SERVICE",
        "SUBSCRIBED (UTC)",
        "EXPIRES (UTC)",
        "SESSION",
        "KEY",
    ];
    let time = |time: Option<SystemTime>| {
        let time = time.map(|time| {
            DateTime::<Utc>::from(time)
                .format("%Y-%m-%d %H:%M:%S")
                .to_string()
        });
        time.unwrap_or_else(|| "-".to_owned())
    };
    let rows = devices.iter().map(|device| {
        let key = match (&device.vapid_key, key) {
            (Some(of), Some(key)) if of == key => "current",
            (Some(_), Some(_)) => "another",
            _ => "-",
        };
        [
            device.fingerprint.clone(),
            device.origin.clone(),
            time(device.subscribed),
            time(device.expires),
            device.session.clone().unwrap_or_else(|| "-".to_owned()),
            key.to_owned(),
        ]
    });
    super::columns(
        &std::iter::once(head.map(str::to_owned))
            .chain(rows)
            .collect::<Vec<_>>(),
    )
}
