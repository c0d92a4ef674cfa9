//! `gom serve`: the server.

use std::time::{Duration, SystemTime};

use clap::Args;

use super::{Failure, SettingsArguments};
use gom_server::application::Application;
use gom_server::logging;
use gom_server::seed::SeedData;
use gom_server::server::{Server, StartError};
use gom_server::settings::{Purpose, ServerRole};

/// How long the token that is printed for the private database is valid.
const DEVELOPMENT_TOKEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

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
            ("server.port", "--port", arguments.port),
            ("server.role", "--role", arguments.role),
            ("database.deploy", "--deploy", set(arguments.deploy)),
            (
                "graphql.execute_raw",
                "--execute-raw",
                set(arguments.execute_raw),
            ),
        ],
    )?;
    logging::start(&loaded.settings.log);
    let role = loaded.settings.server.role;
    // Elsewhere standard output is a log, which is kept and read by others.
    let demo = application.seed_data(&loaded.settings);
    let in_development = loaded.environment == "development";
    let system = actix::System::new();
    let result = system.block_on(async {
        let server = match Server::build(loaded.settings, application).await {
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
                println!(
                    "A development token, valid for a week (`gom token` signs others):\n{token}"
                );
            } else {
                println!("`gom token` signs tokens, which are allowed everything");
            }
        }
        server
            .run_until_stopped()
            .await
            .map_err(|error| Failure::because("the server failed", &error))
    });
    // Dropping it would wait for threads that hang, as one does that looks for the address of a host.
    std::mem::forget(system);
    result
}
