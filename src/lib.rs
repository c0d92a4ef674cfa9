//! The command line: one file for each command. Commands read settings, call the modules that do the work, and
//! say how it went; the exit status is 0 (done), 1 (failed) or 2 (wrong usage or settings).

mod account;
mod config;
mod devices;
mod doctor;
mod healthcheck;
mod migrate;
mod password;
mod place;
mod policy;
mod push;
mod schema;
mod seed;
mod serve;
mod session;
mod token;
mod vapid;

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::OsStringValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use gom_telemetry::causes::with_causes;

use gom_server::application::Application;
use gom_server::settings::{self, Inputs, Loaded, Purpose, SettingsError};

/// A Prisma datamodel becomes a complete, reactive GraphQL backend on PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "gom", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    serve: serve::Arguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (also without any command)
    Serve(serve::Arguments),
    /// Print the settings in use, secrets masked, and where each came from
    Config(config::Arguments),
    /// Print the API's schema (GraphQL SDL)
    Schema(schema::Arguments),
    /// Compare the database with the datamodel, and bring it there
    Migrate(migrate::Arguments),
    /// Check the policy, and show what it makes of an operation
    Policy(policy::Arguments),
    /// Write the application's demo into the database; rows that are there stay as they are
    Seed(seed::Arguments),
    /// Sign a service token, which is allowed everything
    Token(token::Arguments),
    /// Manage the accounts whose passwords the server itself checks
    Account(account::Arguments),
    /// Show who is logged in, and close sessions
    Session(session::Arguments),
    /// Generate the keys of Web Push
    Vapid(vapid::Arguments),
    /// Show push jobs and deliveries, and users' devices
    Push(push::Arguments),
    /// Check settings, PostgreSQL, Redis, keys and all else that a server needs, and print remedies
    Doctor(doctor::Arguments),
    /// Check the health of a running server: exit status 0 if it is healthy, 1 if not
    Healthcheck(healthcheck::Arguments),
}

/// What several commands take.
#[derive(Debug, Clone, Args, Default)]
pub(crate) struct SettingsArguments {
    /// Folder with the settings files (default.toml, development.toml, …) [default: ./config]
    #[arg(long, value_name = "DIR", env = "GOM_CONFIG", value_parser = OsStringValueParser::new())]
    config: Option<OsString>,
    /// The Prisma datamodel [default: Gom's own]
    #[arg(long, value_name = "FILE")]
    datamodel: Option<String>,
    /// The permissions that belong to the datamodel
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// The PostgreSQL database [default: a private one, run by the server itself]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl SettingsArguments {
    /// Reads the settings, these arguments and `more` (key, text) being the strongest. Former names are reported on standard
    /// error; a server logs them.
    fn load(
        self,
        application: &dyn Application,
        purpose: Purpose,
        more: impl IntoIterator<Item = (&'static str, Option<String>)>,
    ) -> Result<Loaded, SettingsError> {
        let own = [
            ("datamodel.file", self.datamodel),
            ("policy.file", self.policy),
            ("database.url", self.database_url),
        ];
        let flag = |key| settings::flag_of(key).unwrap_or(key);
        let loaded = settings::load(&Inputs {
            purpose,
            keys: application.settings(),
            variables: std::env::vars_os().collect(),
            directory: self.config.and_then(folder),
            arguments: own
                .into_iter()
                .chain(more)
                .filter_map(|(key, text)| Some((key, flag(key), text?)))
                .collect(),
        })?;
        if purpose == Purpose::Tool {
            for warning in &loaded.warnings {
                eprintln!("gom: {warning}");
            }
        }
        Ok(loaded)
    }
}

/// A variable that is empty counts as not set.
fn folder(given: OsString) -> Option<PathBuf> {
    Some(PathBuf::from(given)).filter(|path| !path.as_os_str().is_empty())
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The settings cannot be used.
    Settings(SettingsError),
    /// Something else; the text is for people.
    Other(String),
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Failure::Settings(error)
    }
}

impl Failure {
    /// As it is printed.
    pub(crate) fn text(&self) -> String {
        match self {
            Failure::Settings(error) => error.to_string(),
            Failure::Other(text) => text.clone(),
        }
    }

    /// The error with its causes.
    pub(crate) fn because(what: &str, error: &dyn Error) -> Self {
        let causes = with_causes(error);
        Failure::Other(if what.is_empty() {
            causes
        } else {
            format!("{what}: {causes}")
        })
    }
}

/// Rows as lines with columns of equal width.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// What the process was started with. Wrong usage, and a request for help, end the process.
fn parse(application: &dyn Application) -> Cli {
    let mut command = place::with_subject_forms(Cli::command(), application.token_kinds());
    let matches = command.get_matches_mut();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// Runs the command that the process was started with, for an application.
pub fn run(application: &'static dyn Application) -> ExitCode {
    let cli = parse(application);
    if !matches!(cli.command, None | Some(Command::Serve(_))) {
        // A reader that has read enough, as in `gom config | head`, ends a command, quietly; never the server.
        sigpipe::reset();
    }
    let result = match cli.command {
        Some(Command::Serve(arguments)) => serve::run(arguments, application),
        None => serve::run(cli.serve, application),
        Some(Command::Config(arguments)) => config::run(arguments, application),
        Some(Command::Schema(arguments)) => schema::run(arguments, application),
        Some(Command::Migrate(arguments)) => migrate::run(arguments, application),
        Some(Command::Policy(arguments)) => policy::run(arguments, application),
        Some(Command::Seed(arguments)) => seed::run(arguments, application),
        Some(Command::Token(arguments)) => token::run(arguments, application),
        Some(Command::Account(arguments)) => account::run(arguments, application),
        Some(Command::Session(arguments)) => session::run(arguments, application),
        Some(Command::Vapid(arguments)) => vapid::run(&arguments),
        Some(Command::Push(arguments)) => push::run(arguments, application),
        Some(Command::Doctor(arguments)) => doctor::run(arguments, application),
        Some(Command::Healthcheck(arguments)) => healthcheck::run(arguments, application),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Settings(error)) => {
            eprintln!("gom: {error}");
            ExitCode::from(2)
        }
        Err(Failure::Other(text)) => {
            eprintln!("gom: {text}");
            ExitCode::FAILURE
        }
    }
}
