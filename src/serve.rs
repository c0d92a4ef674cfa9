//! `gom serve`: the server.

use std::time::{Duration, SystemTime};

use clap::Args;

use super::{Failure, SettingsArguments};
use gom_server::application::Application;
use gom_server::logging;
use gom_server::seed::SeedData;
use gom_server::server::{Server, StartError};
use gom_server::settings::{Purpose, ServerRole, Settings};

/// How long the token that is printed for the private database is valid.
const DEVELOPMENT_TOKEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// As a process's first thread has.
const STACK_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, Args, Default)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Port to listen on; 0 takes any free one, which is printed
    #[arg(long, value_name = "N")]
    port: Option<String>,
    /// What this process does: all, api (answers requests) or worker (sends push messages) [default: all]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Bring the database to the datamodel before serving [default: only the private database]
    #[arg(long)]
    deploy: bool,
    /// Offer the mutation `executeRaw` to the service role
    #[arg(long)]
    execute_raw: bool,
}

/// Who can log in without having been let in by anybody. Silent if the database is not ready yet.
async fn print_demo_logins(server: &Server, demo: &dyn SeedData) {
    let Ok(client) = server.database().lend().await else {
        return;
    };
    if let Ok(Some(line)) = demo.logins(&client).await {
        println!("{line}");
    }
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    let set = |flag: bool| flag.then(|| "true".to_owned());
    let loaded = arguments.settings.load(
        application,
        Purpose::Serve,
        [
            ("server.port", arguments.port),
            ("server.role", arguments.role),
            ("database.deploy", set(arguments.deploy)),
            ("graphql.execute_raw", set(arguments.execute_raw)),
        ],
    )?;
    logging::start(&loaded.settings.log);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // Elsewhere standard output is a log, which is kept and read by others.
    let in_development = loaded.environment == "development";
    let settings = loaded.settings;
    // The runtime waits at its end for threads that hang, such as one that resolves a host's name. It belongs to a thread of its
    // own, for which the process does not wait.
    let (report, ended) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("gom-serve".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let system = actix::System::new();
            // Nobody listens only if the process ends already.
            let _ = report.send(system.block_on(serve(settings, application, in_development)));
        })
        .map_err(|error| Failure::because("the server's thread cannot start", &error))?;
    ended
        .recv()
        .unwrap_or_else(|_| Err(Failure::Other("the server ended by a panic".into())))
}

/// Builds the server, prints where it is, and runs it until it is requested to stop.
async fn serve(
    settings: Settings,
    application: &'static dyn Application,
    in_development: bool,
) -> Result<(), Failure> {
    let role = settings.server.role;
    let demo = application.seed_data(&settings);
    let server = match Server::build(settings, application).await {
        Ok(server) => server,
        Err(StartError::Stopped) => return Ok(()),
        Err(error) => return Err(Failure::because("", &error)),
    };
    for address in server.addresses() {
        match role {
            ServerRole::Worker => {
                println!("gom sends push messages; its state: http://{address}/readyz")
            }
            _ => println!("gom serves http://{address}/graphql"),
        }
    }
    if let Some(embedded) = server.embedded() {
        println!(
            "The database is a private one, in {}",
            embedded.data_dir().display()
        );
        if let Some(demo) = &demo {
            print_demo_logins(&server, &**demo).await;
        }
        if in_development {
            let token = server
                .tokens()
                .sign(SystemTime::now(), DEVELOPMENT_TOKEN)
                .map_err(|error| {
                    Failure::because("the development token cannot be signed", &error)
                })?;
            println!("A development token, valid for a week (`gom token` signs others):\n{token}");
        } else {
            println!("`gom token` signs tokens, which are allowed everything");
        }
    }
    server
        .run_until_stopped()
        .await
        .map_err(|error| Failure::because("the server failed", &error))
}
