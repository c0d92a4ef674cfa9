//! The user that PostgreSQL runs as. It refuses uid 0, and initdb needs a uid that has an entry in the list of users, so root (and
//! users without an entry) must become somebody else for it. Knows processes and files, nothing of clusters.

use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};

use crate::error::EmbeddedError;
use crate::programs::Programs;

/// An entry in the list of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemUser {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

/// The user that PostgreSQL's programs run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessUser {
    /// The user that we are.
    Ourselves,
    /// A user namespace in which our own uid is called by the account's: the files stay ours, nothing is chowned,
    /// and it works below folders that only we may enter.
    Mapped(SystemUser),
    /// The account itself: its files are its own, and it must be able to reach them.
    Switched(SystemUser),
}

/// The identity to run `programs` with, for data that belong to `owner` (none: yet to be made). An existing data folder
/// keeps the identity that it was made with, for the owner of its files would not fit another one.
pub fn choose(
    programs: &Programs,
    folder: &Path,
    cluster: &Path,
    owner: Option<u32>,
) -> Result<ProcessUser, EmbeddedError> {
    let accounts = std::fs::read_to_string("/etc/passwd")
        .map(|text| parse_accounts(&text))
        .unwrap_or_default();
    let ourselves = rustix::process::geteuid().as_raw();
    if ourselves != 0 {
        if let Some(owner) = owner.filter(|owner| *owner != ourselves) {
            return Err(EmbeddedError::NotOurs {
                path: folder.to_owned(),
                owner,
                ourselves,
            });
        }
        if accounts.iter().any(|account| account.uid == ourselves) {
            return Ok(ProcessUser::Ourselves);
        }
        // A container that was started with a number for a user. Without a namespace, initdb has the last word:
        // users may be listed elsewhere than in the file.
        let mapped = namesake(&accounts)
            .map(ProcessUser::Mapped)
            .filter(|identity| probe(programs, identity, None).is_ok());
        return Ok(mapped.unwrap_or(ProcessUser::Ourselves));
    }

    let Some(account) = namesake(&accounts) else {
        return Err(EmbeddedError::RefusedAsRoot {
            reason: "there is neither a user `postgres` nor a user `nobody`".into(),
        });
    };
    match owner {
        None => {
            let mapped = ProcessUser::Mapped(account.clone());
            Ok(if probe(programs, &mapped, None).is_ok() {
                mapped
            } else {
                ProcessUser::Switched(account)
            })
        }
        Some(0) => {
            let mapped = ProcessUser::Mapped(account.clone());
            match probe(programs, &mapped, None) {
                Ok(()) => Ok(mapped),
                Err(reason) => Err(EmbeddedError::NamespaceGone {
                    path: folder.to_owned(),
                    cluster: cluster.to_owned(),
                    account: account.name,
                    reason: reason.to_string(),
                }),
            }
        }
        Some(owner) => match accounts.into_iter().find(|account| account.uid == owner) {
            Some(account) => Ok(ProcessUser::Switched(account)),
            None => Err(EmbeddedError::NotOurs {
                path: folder.to_owned(),
                owner,
                ourselves,
            }),
        },
    }
}

/// Whether the programs can be run under the identity, and, where a folder is given, whether it can be entered.
pub fn probe(programs: &Programs, identity: &ProcessUser, folder: Option<&Path>) -> io::Result<()> {
    let mut command = Command::new(programs.postgres());
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    identity.confine(&mut command, Some(Signal::KILL), folder, None)?;
    let status = command.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "`postgres --version` ended with {status}"
        )))
    }
}

impl ProcessUser {
    /// The account whose property the data must be, where that is not us.
    pub fn owner(&self) -> Option<&SystemUser> {
        match self {
            ProcessUser::Switched(account) => Some(account),
            ProcessUser::Ourselves | ProcessUser::Mapped(_) => None,
        }
    }

    /// Makes a file the property of the user that PostgreSQL runs as.
    pub fn give(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Some(account) = self.owner() else {
            return Ok(());
        };
        let doing = format!("giving {} to user {}", path.display(), account.name);
        std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
            .map_err(EmbeddedError::system(doing))
    }

    /// Makes `command` run under this identity, as a child that gets the signal `at_our_death` when the *thread* that spawns
    /// it ends (so that thread must live as long as the child should). It starts in `folder` and keeps the descriptor
    /// `inherited`, which must stay open until it was spawned.
    pub fn confine(
        &self,
        command: &mut Command,
        at_our_death: Option<Signal>,
        folder: Option<&Path>,
        inherited: Option<RawFd>,
    ) -> io::Result<()> {
        // Everything that allocates happens here: between fork and exec, only system calls are allowed.
        let folder = folder
            .map(|path| CString::new(path.as_os_str().as_bytes()))
            .transpose()?;
        let become_it = Switch::to(self);
        let us = rustix::process::getpid();
        let prepare = move || -> io::Result<()> {
            become_it.apply()?;
            if let Some(folder) = &folder {
                rustix::process::chdir(folder.as_c_str())?;
            }
            if let Some(descriptor) = inherited {
                // SAFETY: the caller keeps it open until the spawn is over, and this process has its own copy.
                let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
                rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
            }
            // After the change of identity, which resets it.
            die_with_parent(us, at_our_death)
        };
        // A terminal's Ctrl-C goes to the whole process group; the database is to outlive the server's last requests.
        command.process_group(0);
        // SAFETY: `prepare` makes system calls only; it neither allocates nor locks nor panics.
        unsafe { command.pre_exec(prepare) };
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: Pid, signal: Option<Signal>) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(signal)?;
    // The parent may have died before the line above: then nobody will send the signal.
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

/// Other systems have no such signal: there, the next start finds the folder locked and says by whom.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: Pid, _signal: Option<Signal>) -> io::Result<()> {
    Ok(())
}

/// The system calls that turn a fresh child into an identity, with their arguments written out.
enum Switch {
    Stay,
    #[cfg(target_os = "linux")]
    Map {
        uid_map: Vec<u8>,
        gid_map: Vec<u8>,
    },
    #[cfg(target_os = "linux")]
    Become {
        uid: u32,
        gid: u32,
    },
    #[cfg(not(target_os = "linux"))]
    Impossible,
}

impl Switch {
    #[cfg(target_os = "linux")]
    fn to(identity: &ProcessUser) -> Switch {
        let (uid, gid) = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        match identity {
            ProcessUser::Ourselves => Switch::Stay,
            ProcessUser::Mapped(account) => Switch::Map {
                uid_map: format!("{} {uid} 1", account.uid).into_bytes(),
                gid_map: format!("{} {gid} 1", account.gid).into_bytes(),
            },
            ProcessUser::Switched(account) => Switch::Become {
                uid: account.uid,
                gid: account.gid,
            },
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn to(identity: &ProcessUser) -> Switch {
        if *identity == ProcessUser::Ourselves {
            Switch::Stay
        } else {
            Switch::Impossible
        }
    }

    #[cfg(target_os = "linux")]
    fn apply(&self) -> io::Result<()> {
        use rustix::process::{Gid, Uid};
        use rustix::thread::{
            UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
        };
        match self {
            Switch::Stay => {}
            Switch::Map { uid_map, gid_map } => {
                // SAFETY: no descriptors are unshared.
                unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }?;
                write_to(c"/proc/self/uid_map", uid_map)?;
                // Without this, the system lets nobody map groups.
                write_to(c"/proc/self/setgroups", b"deny")?;
                write_to(c"/proc/self/gid_map", gid_map)?;
            }
            Switch::Become { uid, gid } => {
                // This process has one thread only: the one that these calls are about.
                let (uid, gid) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
                set_thread_groups(&[gid])?;
                set_thread_res_gid(gid, gid, gid)?;
                set_thread_res_uid(uid, uid, uid)?;
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn apply(&self) -> io::Result<()> {
        match self {
            Switch::Stay => Ok(()),
            Switch::Impossible => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

#[cfg(target_os = "linux")]
fn write_to(path: &std::ffi::CStr, text: &[u8]) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    // The kernel takes such a file's content in one piece or not at all.
    if rustix::io::write(&file, text)? == text.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// The account under which PostgreSQL runs for somebody who cannot run it.
fn namesake(accounts: &[SystemUser]) -> Option<SystemUser> {
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| accounts.iter().find(|account| account.name == *name))
        .cloned()
}

fn parse_accounts(text: &str) -> Vec<SystemUser> {
    let account = |line: &str| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(SystemUser {
            name: name.to_owned(),
            uid,
            gid,
        })
    };
    text.lines().filter_map(account).collect()
}

/// The first folder on the way to `path` that the identity may not enter, if there is one.
pub fn first_closed(programs: &Programs, identity: &ProcessUser, path: &Path) -> Option<PathBuf> {
    if probe(programs, identity, Some(path)).is_ok() {
        return None;
    }
    let closed = |folder: &&Path| probe(programs, identity, Some(folder)).is_err();
    path.ancestors().filter(closed).last().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_list_of_users_and_skips_what_is_none() {
        let accounts = parse_accounts(
            "root:x:0:0:root:/root:/bin/sh\n\nbroken\npostgres:x:101:104::/var:/bin/sh\n+::::::\n",
        );
        assert_eq!(accounts.len(), 2);
        assert_eq!(
            accounts[1],
            SystemUser {
                name: "postgres".into(),
                uid: 101,
                gid: 104
            }
        );
    }

    #[test]
    fn postgres_goes_before_nobody() {
        let accounts = parse_accounts(
            "nobody:x:65534:65534::/:/bin/false\npostgres:x:101:104::/var:/bin/sh\n",
        );
        assert_eq!(namesake(&accounts).unwrap().name, "postgres");
        assert_eq!(namesake(&accounts[..1]).unwrap().name, "nobody");
        assert_eq!(namesake(&[]), None);
    }
}
