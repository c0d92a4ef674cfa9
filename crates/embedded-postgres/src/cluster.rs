//! The private cluster on disk: its folder, the lock on it, initdb, and the command that serves it. Runs nothing for long
//! and supervises nothing (that is `process`).
//!
//! The data folder holds `lock` (held for as long as we, or any process of the PostgreSQL that we started, lives),
//! `cluster` (PostgreSQL's own data folder) and `socket`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use super::EmbeddedOptions;
use crate::error::EmbeddedError;
use crate::identity::{self, ProcessUser};
use crate::initdb;
use crate::programs::{self, Places, Programs};

/// The longest path that a socket's address can hold, on Linux; other systems have a few bytes less.
const MAX_SOCKET_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
const SOCKET: &str = ".s.PGSQL.5432";
/// How long a start waits for the PostgreSQL of a killed predecessor to finish.
const PREDECESSOR: Duration = Duration::from_secs(20);

/// How long a lock may be held by nobody in particular: a process that is just being forked has a copy of every descriptor.
const PASSING: Duration = Duration::from_millis(500);

/// A cluster that is ours alone, ready to be served.
#[derive(Debug)]
pub struct Cluster {
    /// The data folder in use: the one asked for, or the fallback.
    pub folder: PathBuf,
    /// PostgreSQL's own data folder in it.
    pub data: PathBuf,
    /// The folder of the socket. Only we, and the user that PostgreSQL runs as, may enter it.
    pub sockets: PathBuf,
    /// PostgreSQL's programs.
    pub programs: Programs,
    /// The user that they run as.
    pub identity: ProcessUser,
    settings: Vec<(String, String)>,
    lock: File,
}

/// Why a folder cannot be used: for good, or because the user that PostgreSQL runs as does not get there.
enum Obstacle {
    Closed { gate: PathBuf, account: String },
    Error(EmbeddedError),
}

impl From<EmbeddedError> for Obstacle {
    fn from(error: EmbeddedError) -> Obstacle {
        Obstacle::Error(error)
    }
}

impl Cluster {
    /// Locks the data folder, makes the cluster in it if there is none, and checks that it can be served. Blocks, for
    /// seconds where a cluster has to be made.
    pub fn prepare(options: &EmbeddedOptions) -> Result<Cluster, EmbeddedError> {
        let asked = std::path::absolute(&options.data_dir)
            .map_err(EmbeddedError::system("finding the data folder"))?;
        let fallback = options
            .fallback
            .as_ref()
            .map(|base| base.join(format!("postgres-{:016x}", fingerprint(&asked))));
        let made = |folder: &Path| folder.join("cluster/PG_VERSION").exists();
        // Data that once went to the fallback stay there, even if the folder that was asked for could be used by now.
        if let Some(fallback) = fallback
            .as_deref()
            .filter(|fallback| made(fallback) && !made(&asked))
        {
            tracing::info!(folder = %fallback.display(), "the database is in the fallback folder, where it was made");
            return Self::in_folder(fallback, options).map_err(Obstacle::into_error);
        }
        match (Self::in_folder(&asked, options), fallback) {
            (Err(Obstacle::Closed { gate, account }), Some(fallback)) => {
                tracing::warn!(
                    "PostgreSQL runs as user {account} here, who may not enter {}: the data go to {} instead of {}",
                    gate.display(),
                    fallback.display(),
                    asked.display()
                );
                Self::in_folder(&fallback, options).map_err(Obstacle::into_error)
            }
            (result, _) => result.map_err(Obstacle::into_error),
        }
    }

    fn in_folder(asked: &Path, options: &EmbeddedOptions) -> Result<Cluster, Obstacle> {
        let folder = make_folder(asked)?;
        let lock = lock(&folder)?;
        let data = folder.join("cluster");
        let version = version_of(&folder, &data)?;
        let wanted = version.as_ref().and_then(|version| version.parse().ok());
        let programs = programs::find(
            options.programs.as_deref(),
            &Places::of_this_machine(),
            wanted,
        )?;
        if let Some(version) = version.as_ref().filter(|_| wanted != Some(programs.major)) {
            let (folder, bin) = (version.clone(), programs.bin);
            return Err(EmbeddedError::OtherMajor {
                path: data,
                folder,
                programs: programs.major,
                bin,
            }
            .into());
        }
        // The owner of the data tells how they were made; an empty folder of somebody's asks to be filled as theirs.
        let owner = fs::metadata(&data).ok().map(|metadata| metadata.uid());
        let identity = identity::choose(&programs, &folder, &data, owner)?;
        if let Some(account) = identity.owner() {
            identity::probe(&programs, &identity, None).map_err(|error| {
                EmbeddedError::RefusedAsRoot {
                    reason: format!(
                        "user `{}` cannot run the programs in {} ({error})",
                        account.name,
                        programs.bin.display()
                    ),
                }
            })?;
            open_the_way(&folder)?;
            if let Some(gate) = identity::first_closed(&programs, &identity, &folder) {
                return Err(Obstacle::Closed {
                    gate,
                    account: account.name.clone(),
                });
            }
        }
        let sockets = make_socket_folder(&folder, &identity)?;
        let cluster = Cluster {
            folder,
            data,
            sockets,
            programs,
            identity,
            settings: options.settings.clone(),
            lock,
        };
        cluster.clear_leftovers()?;
        if version.is_none() {
            initdb::make(&cluster, !cluster.relaxed())?;
        }
        Ok(cluster)
    }

    /// The arguments with which `postgres` serves the cluster until it gets a signal.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec!["-D".into(), self.data.clone().into()];
        let sockets = self.sockets.display().to_string();
        let ours = [
            // One way in: the socket in a folder that nobody else may enter.
            ("listen_addresses", ""),
            ("unix_socket_directories", sockets.as_str()),
            ("unix_socket_permissions", "0700"),
            ("port", "5432"),
            ("cluster_name", "gom"),
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("synchronous_commit", "on"),
            ("max_connections", "100"),
            // For a machine with other things to do. Memory that is not used is not taken.
            ("shared_buffers", "128MB"),
            ("effective_cache_size", "512MB"),
            ("work_mem", "8MB"),
            ("maintenance_work_mem", "64MB"),
            ("huge_pages", "off"),
            // The requests are many and small: compiling or spreading one costs more than it saves, and parallel
            // workers need more of /dev/shm than containers have.
            ("jit", "off"),
            ("max_parallel_workers_per_gather", "0"),
            ("random_page_cost", "1.1"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            // A refused statement is an answer to its client; its text and values have no place in a log.
            ("log_destination", "stderr"),
            ("logging_collector", "off"),
            ("log_min_messages", "log"),
            ("log_min_error_statement", "panic"),
            ("log_checkpoints", "off"),
            ("log_line_prefix", ""),
        ];
        let theirs = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in ours.into_iter().chain(theirs) {
            arguments.extend(["-c".into(), format!("{name}={value}").into()]);
        }
        arguments
    }

    /// A program that works on the cluster: under the right identity and lock, with nothing of our environment that could
    /// mislead it. It gets the signal `at_our_death` when the thread that spawns it ends.
    pub fn command(
        &self,
        program: &Path,
        at_our_death: Option<Signal>,
    ) -> Result<Command, EmbeddedError> {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        for name in ["PATH", "HOME", "LD_LIBRARY_PATH"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.stdin(Stdio::null());
        // The lock goes with every process of PostgreSQL's, so that it is free when the last of them has ended, not when we have.
        let lock = Some(self.lock.as_raw_fd());
        self.identity
            .confine(&mut command, at_our_death, Some(&self.folder), lock)
            .map_err(EmbeddedError::system("preparing PostgreSQL's process"))?;
        Ok(command)
    }

    /// Takes away what a crash left behind. PostgreSQL would trust the process id in these files, which may be anybody's by
    /// now; the lock says better who is there. Finds a PostgreSQL that was started on the data by hand.
    pub fn clear_leftovers(&self) -> Result<(), EmbeddedError> {
        if let Some(pid) = self.postmaster() {
            if runs_here(pid, &self.data) {
                return Err(EmbeddedError::AlreadyRunning {
                    path: self.data.clone(),
                    pid,
                });
            }
            if cfg!(target_os = "linux") {
                tracing::debug!(
                    pid,
                    "removing the postmaster.pid of a PostgreSQL that is gone"
                );
                remove(&self.data.join("postmaster.pid"))?;
            }
        }
        remove(&self.sockets.join(SOCKET))?;
        remove(&self.sockets.join(format!("{SOCKET}.lock")))
    }

    /// The process id in `postmaster.pid`.
    pub fn postmaster(&self) -> Option<u32> {
        postmaster_lines(&self.data)?.first()?.trim().parse().ok()
    }

    /// Whether the server with this process id takes connections.
    pub fn is_ready(&self, pid: u32) -> bool {
        let Some(lines) = postmaster_lines(&self.data) else {
            return false;
        };
        let line = |number: usize| lines.get(number).map(|line| line.trim());
        line(0).and_then(|text| text.parse().ok()) == Some(pid) && line(7) == Some("ready")
    }

    /// Frees the folder, once the server is gone. (Dropping the cluster leaves the lock to other processes that have a copy of it.)
    pub fn release(self) {
        // If this fails, closing the file, which follows, does the same.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }

    /// Whether the settings give up durability (tests do).
    fn relaxed(&self) -> bool {
        self.settings
            .iter()
            .any(|(name, value)| name == "fsync" && value == "off")
    }
}

impl Obstacle {
    fn into_error(self) -> EmbeddedError {
        match self {
            Obstacle::Error(error) => error,
            Obstacle::Closed { gate, account } => EmbeddedError::RefusedAsRoot {
                reason: format!(
                    "user namespaces are refused here, and user `{account}` may not enter {}",
                    gate.display()
                ),
            },
        }
    }
}

fn postmaster_lines(data: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

/// Whether the process is a PostgreSQL server on this data folder: it works from inside it.
fn runs_here(pid: u32, data: &Path) -> bool {
    if let Ok(folder) = fs::read_link(format!("/proc/{pid}/cwd")) {
        return folder == data;
    }
    // Somebody else's process, or a system without this information: PostgreSQL itself will decide there.
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .is_ok_and(|name| matches!(name.trim(), "postgres" | "postmaster"))
}

fn remove(path: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(EmbeddedError::system(
            format!("removing {}", path.display()),
        )(error)),
        _ => Ok(()),
    }
}

fn fingerprint(path: &Path) -> u64 {
    // FNV-1a: the value names a folder, so it has to be the same in every build.
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            bytes.iter().for_each(|byte| {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            });
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    path.as_os_str().hash(&mut hasher);
    hasher.finish()
}

fn make_folder(asked: &Path) -> Result<PathBuf, EmbeddedError> {
    let refused = |error: std::io::Error| EmbeddedError::NotWritable {
        path: asked.to_owned(),
        reason: error.to_string(),
    };
    if let Some(parent) = asked.parent() {
        fs::create_dir_all(parent).map_err(refused)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(asked) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(refused(error)),
        // PostgreSQL knows its folders by their real paths.
        _ => asked.canonicalize().map_err(refused),
    }
}

/// Lets other users through to the cluster, which has its own guard. Only folders that we made are ever this narrow.
fn open_the_way(folder: &Path) -> Result<(), EmbeddedError> {
    let refused = |error: std::io::Error| EmbeddedError::NotWritable {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    let mode = fs::metadata(folder).map_err(refused)?.permissions().mode();
    fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o011)).map_err(refused)
}

/// Takes the folder's lock. Where its holder was killed and the holder's PostgreSQL is still on its way out, waits for that.
fn lock(folder: &Path) -> Result<File, EmbeddedError> {
    let refused = |error: std::io::Error| EmbeddedError::NotWritable {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    let path = folder.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(refused)?;
    let (settled, deadline) = (Instant::now() + PASSING, Instant::now() + PREDECESSOR);
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(refused(error.into()));
        }
        let mut text = String::new();
        file.rewind()
            .and_then(|()| file.read_to_string(&mut text))
            .map_err(refused)?;
        let holder = text.trim().parse().ok();
        if holder.is_none_or(is_alive) && Instant::now() > settled {
            return Err(EmbeddedError::InUse {
                path: folder.to_owned(),
                holder,
            });
        }
        if Instant::now() > deadline {
            let left = postmaster_lines(&folder.join("cluster"))
                .and_then(|lines| lines.first()?.trim().parse().ok());
            return Err(match left {
                Some(pid) => EmbeddedError::AlreadyRunning {
                    path: folder.to_owned(),
                    pid,
                },
                None => EmbeddedError::InUse {
                    path: folder.to_owned(),
                    holder,
                },
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .map_err(refused)?;
    writeln!(file, "{}", std::process::id()).map_err(refused)?;
    Ok(file)
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    // A process that we may not signal is there all the same.
    pid.is_some_and(|pid| {
        !matches!(
            rustix::process::test_kill_process(pid),
            Err(rustix::io::Errno::SRCH)
        )
    })
}

/// The content of `PG_VERSION`, or none where a cluster has yet to be made.
fn version_of(folder: &Path, data: &Path) -> Result<Option<String>, EmbeddedError> {
    let refused = |error: std::io::Error| EmbeddedError::NotWritable {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let filled = fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some());
            if filled {
                Err(EmbeddedError::NotACluster {
                    path: data.to_owned(),
                })
            } else {
                Ok(None)
            }
        }
        Err(error) => Err(refused(error)),
    }
}

/// A folder for the socket that only PostgreSQL's user may enter: in the data folder, or, where the path would be too long
/// for a socket's address, a short one that belongs to this data folder.
fn make_socket_folder(folder: &Path, identity: &ProcessUser) -> Result<PathBuf, EmbeddedError> {
    let near = folder.join("socket");
    let fits = |path: &Path| path.join(SOCKET).as_os_str().len() <= MAX_SOCKET_PATH_BYTES;
    let name = format!(
        "gom-{}-{:016x}",
        rustix::process::geteuid().as_raw(),
        fingerprint(folder)
    );
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime =
        runtime.filter(|path| path.is_absolute() && path.is_dir() && identity.owner().is_none());
    let far = [runtime, Some(std::env::temp_dir()), Some("/tmp".into())]
        .into_iter()
        .flatten()
        .map(|base| base.join(&name));
    let refused = |reason: String| EmbeddedError::NoSocketFolder {
        path: folder.to_owned(),
        reason,
    };
    let Some(path) = std::iter::once(near).chain(far).find(|path| fits(path)) else {
        return Err(refused(
            "every candidate's path is longer than a socket's address may be".into(),
        ));
    };

    let failed = |error: std::io::Error| refused(format!("{}: {error}", path.display()));
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => identity.give(&path)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    // In a shared folder such as /tmp, somebody may have been there first.
    let found = fs::symlink_metadata(&path).map_err(failed)?;
    let owner = identity.owner().map_or_else(
        || rustix::process::geteuid().as_raw(),
        |account| account.uid,
    );
    if !found.is_dir() || found.uid() != owner || found.permissions().mode() & 0o077 != 0 {
        return Err(refused(format!(
            "{} is not a folder that only user {owner} may enter; remove it",
            path.display()
        )));
    }
    Ok(path)
}
