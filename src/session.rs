//! `gom session`: who is logged in, and an end to it. With a session end its devices: they receive no more notifications.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use gom_actors::push::DevicesError;
use gom_actors::sessions::{SessionSummary, Sessions};

use super::Failure;
use super::devices::devices;
use super::place::{Place, UserArguments, work_in};
use gom_server::application::Application;
use gom_server::settings::Settings;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show the open sessions of a user
    List(UserArguments),
    /// Close the sessions of a user, on every server at once, and forget the devices subscribed in them
    Close(Closing),
}

#[derive(Debug, Args)]
struct Closing {
    #[command(flatten)]
    of: UserArguments,
    /// Only this one, as `gom session list` shows it
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let (of, work) = match arguments.task {
        Task::List(of) => (of, Work::List),
        Task::Close(Closing { of, session: None }) => (of, Work::CloseAll),
        Task::Close(Closing {
            of,
            session: Some(handle),
        }) => (of, Work::Close(handle)),
    };
    let UserArguments { database, subject } = of;
    let (settings, patience) = database.load(application, [])?;
    work_in(application, &settings, patience, async |place| {
        carry_out(place, &settings, &subject, work).await
    })
}

enum Work {
    List,
    Close(String),
    CloseAll,
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
    match work {
        Work::List => {
            let sessions = sessions(place, settings)?.list(subject).await;
            print!(
                "{}",
                table(&sessions.map_err(|error| Failure::because("", &error))?)
            );
        }
        Work::Close(handle) => {
            let closed = sessions(place, settings)?
                .close_by_handle(subject, &handle)
                .await;
            if !closed.map_err(|error| Failure::because("", &error))? {
                let text =
                    format!("{subject} has no session {handle}; `gom session list` shows all");
                return Err(Failure::Other(text));
            }
            let forgotten = devices(place, settings)?
                .forget_session(subject, &handle)
                .await;
            let forgotten = forgotten
                .map_err(|error| not_forgotten("the session is closed", subject, &error))?;
            println!("The session is closed. Devices forgotten: {forgotten}.");
        }
        Work::CloseAll => {
            let closed = close_all(place, settings, subject).await?;
            println!(
                "{} sessions were closed. Devices forgotten: {}.",
                closed.sessions, closed.devices
            );
        }
    }
    Ok(())
}

/// How much was closed.
pub(super) struct Closed {
    pub sessions: u64,
    pub devices: u64,
}

/// Closes every session of a subject, and forgets its devices.
pub(super) async fn close_all(
    place: &Place,
    settings: &Settings,
    subject: &str,
) -> Result<Closed, Failure> {
    let sessions = sessions(place, settings)?.close_all(subject).await;
    let sessions = sessions.map_err(|error| Failure::because("", &error))?;
    // Not before: in a session that is open, a device may be subscribed again.
    let devices = devices(place, settings)?.forget_all(subject).await;
    let devices =
        devices.map_err(|error| not_forgotten("the sessions are closed", subject, &error))?;
    Ok(Closed { sessions, devices })
}

fn not_forgotten(done: &str, subject: &str, error: &DevicesError) -> Failure {
    Failure::Other(format!(
        "{done}, but devices of {subject} may still be sent notifications ({error}): \
         `gom push devices forget` tries again"
    ))
}

fn sessions(place: &Place, settings: &Settings) -> Result<Sessions, Failure> {
    Sessions::start(settings.session_options(), &place.database)
        .map_err(|error| Failure::because("", &error))
}

fn table(sessions: &[SessionSummary]) -> String {
    let head = ["SESSION", "OPENED (UTC)", "LAST SEEN (UTC)", "PROVIDER"].map(str::to_owned);
    let time = |time| {
        DateTime::<Utc>::from(time)
            .format("%Y-%m-%d %H:%M:%S")
            .to_string()
    };
    let rows = sessions.iter().map(|session| {
        [
            session.handle.clone(),
            time(session.opened),
            time(session.last_seen),
            session.provider.clone(),
        ]
    });
    super::columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}
