//! `gom doctor`: whether all that a server needs is there and well set up, and what to do where it is not. Looks, and changes
//! nothing. One file for each subject.

mod disk;
mod keys;
mod port;
mod postgres;
mod program;
mod provider;
mod proxy;
mod push;
mod redis;
mod report;
mod vapid;

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;

use self::report::{Outcome, Report};
use super::{Failure, SettingsArguments};
use gom_server::application::Application;
use gom_server::settings::{Purpose, Settings, SettingsError};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// How many processes are to use this database
    #[arg(long, value_name = "N", default_value_t = 1)]
    nodes: u32,
    /// A transaction that is open for longer is worth a warning
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    long_transaction: u64,
}

/// What is looked at.
struct Patient {
    application: &'static dyn Application,
    settings: Settings,
    /// `development`, `staging` or `production`.
    environment: String,
    nodes: u32,
    long_transaction: Duration,
}

impl Patient {
    /// Whether strangers may come.
    fn is_public(&self) -> bool {
        self.environment != "development"
    }
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let Arguments {
        settings,
        json,
        nodes,
        long_transaction,
    } = arguments;
    let mut report = Report::default();
    // What a server would refuse is reported; what a tool can do without does not keep it from looking at the rest.
    let refused = settings.clone().load(application, Purpose::Serve, []).err();
    let loaded = settings.load(application, Purpose::Tool, []);
    of_settings(refused.as_ref(), &mut report);
    if let Ok(loaded) = loaded {
        let (environment, long_transaction) =
            (loaded.environment, Duration::from_secs(long_transaction));
        let patient = Patient {
            application,
            settings: loaded.settings,
            environment,
            nodes,
            long_transaction,
        };
        actix::System::new().block_on(examine(&patient, &mut report));
    } else {
        report
            .of("everything else")
            .skipped("checks", "there are no settings to go by");
    }
    if json {
        println!("{}", report.as_json());
    } else {
        print!("{}", report.in_words());
    }
    match (refused, report.count(Outcome::Problem)) {
        (Some(error), _) => Err(Failure::Settings(error)),
        (None, 0) => Ok(()),
        (None, 1) => Err(Failure::Other("there is a problem".to_owned())),
        (None, count) => Err(Failure::Other(format!("there are {count} problems"))),
    }
}

/// Whether nobody elsewhere reaches what listens there.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

async fn examine(patient: &Patient, report: &mut Report) {
    program::examine(patient, report);
    keys::examine(patient, report);
    proxy::examine(patient, report);
    port::examine(patient, report).await;
    postgres::examine(patient, report).await;
    redis::examine(patient, report).await;
    provider::examine(patient, report).await;
    vapid::examine(patient, report);
    disk::examine(patient, report);
}

fn of_settings(refused: Option<&SettingsError>, report: &mut Report) {
    let mut found = report.of("settings");
    match refused {
        None => found.ok(
            "complete",
            "every key has a value that it takes, and no secret is missing",
        ),
        Some(error) => {
            for problem in &error.problems {
                let source = problem
                    .source
                    .as_ref()
                    .map(|source| format!(" (from {source})"));
                let text = format!(
                    "{}: {}{}",
                    problem.key,
                    problem.message,
                    source.unwrap_or_default()
                );
                found.problem("complete", text, problem.remedy.clone());
            }
        }
    }
}
