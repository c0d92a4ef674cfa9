//! Finds PostgreSQL's programs on this machine. Knows nothing of clusters, users or processes of ours.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::EmbeddedError;

/// The oldest major version that we run.
const OLDEST: u32 = 13;

/// A folder of PostgreSQL's programs that was seen to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The real folder, with all links resolved: initdb wants its neighbours there.
    pub bin: PathBuf,
    /// Their major version.
    pub major: u32,
}

impl Programs {
    /// The server.
    pub fn postgres(&self) -> PathBuf {
        self.bin.join("postgres")
    }

    /// The program that makes clusters.
    pub fn initdb(&self) -> PathBuf {
        self.bin.join("initdb")
    }
}

/// Where to look when no setting names the folder.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// Folders, in which `*` may stand for a version in one component. Of those that match one entry, the newest comes first.
    pub folders: Vec<PathBuf>,
}

impl Places {
    /// This machine's: `PATH`, then where distributions put the programs.
    pub fn of_this_machine() -> Places {
        let folders = [
            "/usr/lib/postgresql/*/bin",
            "/usr/pgsql-*/bin",
            "/usr/lib64/pgsql/*/bin",
            "/usr/lib64/pgsql/bin",
            "/usr/libexec/postgresql*",
            "/usr/local/pgsql/bin",
            "/opt/homebrew/opt/postgresql@*/bin",
            "/opt/homebrew/bin",
            "/usr/local/opt/postgresql@*/bin",
            "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
        ];
        Places {
            path: std::env::var_os("PATH"),
            folders: folders.iter().map(PathBuf::from).collect(),
        }
    }

    fn candidates(&self) -> Vec<PathBuf> {
        let on_path = self
            .path
            .iter()
            .flat_map(std::env::split_paths)
            .filter(|folder| folder.is_absolute());
        on_path
            .chain(self.folders.iter().flat_map(|pattern| expand(pattern)))
            .collect()
    }

    fn described(&self) -> Vec<String> {
        let folders = self
            .folders
            .iter()
            .map(|folder| folder.display().to_string());
        std::iter::once("PATH".to_owned()).chain(folders).collect()
    }
}

/// The programs that the settings name, or else the first usable ones of `places`. Programs of the major version `wanted`
/// (that of an existing data folder) go before others; without any of that version the first usable ones are given.
pub fn find(
    explicit: Option<&Path>,
    places: &Places,
    wanted: Option<u32>,
) -> Result<Programs, EmbeddedError> {
    if let Some(path) = explicit {
        let unusable = |reason| EmbeddedError::ProgramsUnusable {
            path: path.to_owned(),
            reason,
        };
        // The folder itself, the installation around it, or the program in it: people name any of these.
        let folder = if path.is_file() {
            path.parent().unwrap_or(path).to_owned()
        } else {
            path.to_owned()
        };
        let inner = folder.join("bin");
        let folder = if !folder.join("postgres").exists() && inner.is_dir() {
            inner
        } else {
            folder
        };
        return inspect(&folder)
            .map_err(unusable)?
            .ok_or_else(|| unusable("there is no `postgres` in it".into()));
    }

    let mut refused = Vec::new();
    let mut first = None;
    let mut seen = HashSet::new();
    for folder in places.candidates() {
        let Ok(real) = folder.join("postgres").canonicalize() else {
            continue;
        };
        if !seen.insert(real) {
            continue;
        }
        match inspect(&folder) {
            Ok(Some(programs)) if wanted.is_none_or(|major| major == programs.major) => {
                return Ok(programs);
            }
            Ok(Some(programs)) => first = first.or(Some(programs)),
            Ok(None) => {}
            Err(reason) => refused.push(format!("{}: {reason}", folder.display())),
        }
    }
    first.ok_or_else(|| EmbeddedError::ProgramsMissing {
        looked: places.described(),
        refused,
    })
}

/// Programs in one folder: none, usable ones, or the reason why they cannot be used.
fn inspect(folder: &Path) -> Result<Option<Programs>, String> {
    // A `postgres` on the PATH is often a link to where its real neighbours are.
    let Ok(postgres) = folder.join("postgres").canonicalize() else {
        return Ok(None);
    };
    let Some(bin) = postgres.parent() else {
        return Ok(None);
    };
    if !bin.join("initdb").is_file() {
        return Err(format!("{} has no `initdb` beside it", postgres.display()));
    }
    let output = Command::new(&postgres)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} cannot be run: {error}", postgres.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(major) = major_version(&text) else {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "`{} --version` says {:?}",
            postgres.display(),
            format!("{text}{complaint}").trim()
        ));
    };
    if major < OLDEST {
        return Err(format!(
            "PostgreSQL {major} in {} is older than {OLDEST}",
            bin.display()
        ));
    }
    Ok(Some(Programs {
        bin: bin.to_owned(),
        major,
    }))
}

/// The major version in a text such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or `… 18beta1`.
fn major_version(text: &str) -> Option<u32> {
    let number = text.split("(PostgreSQL)").nth(1)?.trim_start();
    let end = number
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(number.len());
    number[..end].parse().ok()
}

/// The existing folders that `pattern` stands for, newest version first.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = vec![(0, PathBuf::new())];
    for component in pattern.components() {
        let part = component.as_os_str().to_string_lossy();
        let Some((before, after)) = part.split_once('*') else {
            found
                .iter_mut()
                .for_each(|(_, folder)| folder.push(component));
            continue;
        };
        let mut deeper = Vec::new();
        for (_, folder) in found {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let version = name
                    .strip_prefix(before)
                    .and_then(|rest| rest.strip_suffix(after));
                if let Some(version) = version {
                    // `postgresql-17` under /usr/lib64/pgsql, `9.6` under Debian's folder.
                    let digits =
                        version.trim_start_matches(|character: char| !character.is_ascii_digit());
                    let major = digits
                        .split(|c: char| !c.is_ascii_digit())
                        .next()
                        .and_then(|text| text.parse().ok());
                    deeper.push((major.unwrap_or(0), entry.path()));
                }
            }
        }
        found = deeper;
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found
        .into_iter()
        .map(|(_, folder)| folder)
        .filter(|folder| folder.is_dir())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder with programs that only know their version.
    fn pretend(bin: &Path, version: &str) {
        std::fs::create_dir_all(bin).unwrap();
        for (name, text) in [
            (
                "postgres",
                format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n"),
            ),
            ("initdb", String::new()),
        ] {
            // Not by us: a child that another test is about to start would hold the file open, and one that is written to
            // cannot be run.
            let write = r#"printf %s "$2" >"$1" && chmod 755 "$1""#;
            let status = Command::new("sh")
                .args(["-c", write, "sh"])
                .arg(bin.join(name))
                .arg(text)
                .status();
            assert!(status.unwrap().success());
        }
    }

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    #[test]
    fn reads_the_major_version() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major_version("no such thing"), None);
    }

    #[test]
    fn newest_comes_first_unless_the_data_folder_is_older() {
        let (_keep, root) = tree();
        for version in ["9.6", "14.1", "16.3"] {
            pretend(
                &root.join(version.split('.').next().unwrap()).join("bin"),
                version,
            );
        }
        let places = Places {
            path: None,
            folders: vec![root.join("*/bin")],
        };
        assert_eq!(find(None, &places, None).unwrap().major, 16);
        assert_eq!(find(None, &places, Some(14)).unwrap().major, 14);
        assert_eq!(
            find(None, &places, Some(12)).unwrap().major,
            16,
            "no match: the caller compares the versions"
        );
    }

    #[test]
    fn the_path_goes_first_and_its_links_are_resolved() {
        let (_keep, root) = tree();
        pretend(&root.join("real/bin"), "13.2");
        pretend(&root.join("versions/17/bin"), "17.1");
        std::fs::create_dir(root.join("links")).unwrap();
        symlink(root.join("real/bin/postgres"), root.join("links/postgres")).unwrap();
        let places = Places {
            path: Some(root.join("links").into()),
            folders: vec![root.join("versions/*/bin")],
        };
        assert_eq!(
            find(None, &places, None).unwrap(),
            Programs {
                bin: root.join("real/bin"),
                major: 13
            }
        );
    }

    #[test]
    fn the_setting_goes_before_all_and_its_error_names_it() {
        let (_keep, root) = tree();
        pretend(&root.join("mine/bin"), "17.0");
        let places = Places::default();
        for named in ["mine", "mine/bin", "mine/bin/postgres"] {
            assert_eq!(
                find(Some(&root.join(named)), &places, None).unwrap().bin,
                root.join("mine/bin")
            );
        }
        let error = find(Some(&root.join("nowhere")), &places, None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("nowhere") && error.contains("no `postgres`"),
            "{error}"
        );
    }

    #[test]
    fn missing_programs_are_one_message_with_three_ways_on() {
        let (_keep, root) = tree();
        pretend(&root.join("old"), "9.6");
        std::fs::create_dir(root.join("half")).unwrap();
        std::fs::copy(root.join("old/postgres"), root.join("half/postgres")).unwrap();
        let places = Places {
            path: None,
            folders: vec![root.join("old"), root.join("half")],
        };
        let error = find(None, &places, None).unwrap_err().to_string();
        for part in [
            "`postgres` and `initdb`",
            "apt-get install",
            "scripts/start",
            "DATABASE_URL",
            "older than 13",
            "no `initdb`",
        ] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
}
