//! What can go wrong with the private PostgreSQL, each as one message that says how to go on.
//! Knows nothing of how the cluster is found or run.

use std::path::PathBuf;

/// Why the private PostgreSQL did not start. Each text stands alone and is meant for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No usable PostgreSQL on this machine.
    #[error("{}", missing_programs(looked, refused))]
    ProgramsMissing {
        /// The places that were searched.
        looked: Vec<String>,
        /// Programs that were found, and why each cannot be used.
        refused: Vec<String>,
    },

    /// The folder that the settings name has no usable PostgreSQL.
    #[error(
        "The settings name {} as the folder of PostgreSQL's programs, but {reason}. \
         Name the folder that holds `postgres` and `initdb` (such as /usr/lib/postgresql/17/bin), or remove the setting to have them searched.",
        path.display()
    )]
    ProgramsUnusable {
        /// The folder that was named.
        path: PathBuf,
        /// What stands in the way.
        reason: String,
    },

    /// Another server of ours holds the folder.
    #[error(
        "The data folder {} is in use by another server{}. Stop that server, or give this one a folder of its own.",
        path.display(), holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The folder that was named.
        path: PathBuf,
        /// The process that holds the lock, if it is known.
        holder: Option<u32>,
    },

    /// A PostgreSQL that we did not start (or that outlived its server) runs on the folder.
    #[error(
        "A PostgreSQL (process {pid}) is already running on the data folder {}. Stop it (`kill -INT {pid}`), \
         or set DATABASE_URL to use it as it is.",
        path.display()
    )]
    AlreadyRunning {
        /// The folder that was named.
        path: PathBuf,
        /// The running PostgreSQL's process id.
        pid: u32,
    },

    /// The folder was made by another major version.
    #[error(
        "The data folder {} was made by PostgreSQL {folder}, but the programs in {} are PostgreSQL {programs}. \
         Install PostgreSQL {folder} beside it (it will be found), or bring the data over: start {folder} on the folder, \
         save it with `pg_dump`, move the folder away, start again and load the dump.",
        path.display(), bin.display()
    )]
    OtherMajor {
        /// The folder that was named.
        path: PathBuf,
        /// The folder's major version.
        folder: String,
        /// The programs' major version.
        programs: u32,
        /// The programs' folder.
        bin: PathBuf,
    },

    /// The folder holds something, but no PostgreSQL cluster.
    #[error(
        "The data folder {} is not empty and holds no PostgreSQL data (there is no PG_VERSION in it). \
         Name another folder, or move its content away.",
        path.display()
    )]
    NotACluster {
        /// The folder that was named.
        path: PathBuf,
    },

    /// The folder cannot be made or written to.
    #[error("The data folder {} cannot be used: {reason}. Name a folder that this user may write to.", path.display())]
    NotWritable {
        /// The folder that was named.
        path: PathBuf,
        /// What stands in the way.
        reason: String,
    },

    /// The cluster's files belong to a user that we neither are nor can become.
    #[error(
        "The data folder {} belongs to user {owner}, and this server runs as user {ourselves}. \
         Run it as user {owner}, or give the folder to this user (`chown -R {ourselves} {}`).",
        path.display(), path.display()
    )]
    NotOurs {
        /// The folder that was named.
        path: PathBuf,
        /// The user id of the files.
        owner: u32,
        /// The user id of this process.
        ourselves: u32,
    },

    /// Running as root, and there is no way to become somebody else.
    #[error(
        "PostgreSQL refuses to run as root, and this server cannot run it as another user here: {reason}. \
         Run the server as an ordinary user, or set DATABASE_URL to use a database of your own."
    )]
    RefusedAsRoot {
        /// What stands in the way.
        reason: String,
    },

    /// The cluster was made through a user namespace (its files belong to root), which the system no longer allows.
    #[error(
        "The data folder {} was made by root through a user namespace, which this system now refuses ({reason}). \
         Allow user namespaces again, or give the data to PostgreSQL's user once and for all: `chown -R {account} {}`.",
        path.display(), cluster.display()
    )]
    NamespaceGone {
        /// The folder that was named.
        path: PathBuf,
        /// PostgreSQL's own folder in it.
        cluster: PathBuf,
        /// PostgreSQL's user.
        account: String,
        /// What stands in the way.
        reason: String,
    },

    /// No folder for the socket has a path that is short enough.
    #[error("The data folder {} is too deep: no folder for PostgreSQL's socket could be made ({reason}). Name a folder with a shorter path.", path.display())]
    NoSocketFolder {
        /// The folder that was named.
        path: PathBuf,
        /// What stands in the way.
        reason: String,
    },

    /// `initdb` failed.
    #[error("PostgreSQL's initdb could not make a cluster in {}: {output}", path.display())]
    Initdb {
        /// The folder that was named.
        path: PathBuf,
        /// What `initdb` printed.
        output: String,
    },

    /// PostgreSQL ended, or was not ready in time.
    #[error("PostgreSQL did not start on {}: {reason}{}", path.display(), said(log))]
    NotStarted {
        /// The folder that was named.
        path: PathBuf,
        /// What stands in the way.
        reason: String,
        /// The last lines that PostgreSQL logged.
        log: Vec<String>,
    },

    /// The operating system refused something that has no better description here.
    #[error("The private PostgreSQL could not be run: {doing}: {source}")]
    System {
        /// What was attempted.
        doing: String,
        /// The answer of the operating system.
        source: std::io::Error,
    },
}

impl EmbeddedError {
    pub(super) fn system(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> EmbeddedError {
        let doing = doing.into();
        move |source| EmbeddedError::System { doing, source }
    }
}

fn missing_programs(looked: &[String], refused: &[String]) -> String {
    let mut text = String::from(
        "No database is configured, and PostgreSQL's programs (`postgres` and `initdb`, version 13 or newer), \
         which the built-in database needs, were not found on this machine.\n\
         Three ways to go on:\n\
         \x20 1. install PostgreSQL (Debian, Ubuntu: `apt-get install postgresql`; Fedora: `dnf install postgresql-server`; macOS: `brew install postgresql`);\n\
         \x20 2. run `scripts/start`, which fetches the programs if they are missing and starts the server, also without root;\n\
         \x20 3. set DATABASE_URL (postgresql://user:password@host/database) to use a database of your own.\n",
    );
    text.push_str(&format!("Looked in: {}.", looked.join(", ")));
    for reason in refused {
        text.push_str(&format!("\nFound but not usable: {reason}."));
    }
    text
}

fn said(log: &[String]) -> String {
    if log.is_empty() {
        String::new()
    } else {
        format!("\nIt said:\n  {}", log.join("\n  "))
    }
}
