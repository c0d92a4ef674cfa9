//! `with-postgres COMMAND…`: runs a command beside a PostgreSQL of its own, whose superuser's URL it finds in
//! `ADMIN_URL`. For scripts; the database's data go with the command.

use std::process::{Command, ExitCode};

use gom_embedded_postgres::socket_url;
use gom_test_support::TestCluster;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: with-postgres COMMAND [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let cluster = runtime.block_on(TestCluster::own());
    let status = Command::new(&program)
        .args(arguments)
        .env("ADMIN_URL", admin_url(&cluster))
        .status();
    drop(cluster);
    match status {
        Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
        Err(error) => {
            eprintln!("{}: {error}", program.to_string_lossy());
            ExitCode::from(127)
        }
    }
}

fn admin_url(cluster: &TestCluster) -> String {
    use tokio_postgres::config::Host;
    let config = cluster.admin_config();
    let folder = config.get_hosts().iter().find_map(|host| match host {
        Host::Unix(folder) => Some(folder.clone()),
        Host::Tcp(_) => None,
    });
    let folder = folder.expect("a private cluster listens in a folder");
    socket_url(&folder, config.get_user().unwrap_or("postgres"), "postgres")
}
