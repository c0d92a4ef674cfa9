//! Makes a new cluster: all of it or nothing, so that a start that is cut short leaves no half-made data behind.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::Signal;

use super::{ADMIN, DATABASE, USER};
use crate::cluster::Cluster;
use crate::error::EmbeddedError;

/// Makes the cluster's data, with our user (who is no superuser) and our database in it. `durable`: flushed to disk.
pub(super) fn make(cluster: &Cluster, durable: bool) -> Result<(), EmbeddedError> {
    let fresh = cluster.folder.join("cluster.new");
    tracing::info!(folder = %cluster.folder.display(), "making a new database");
    let mut output = attempt(cluster, &fresh, &locale(cluster.programs.major), durable)?;
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("locale") {
        // Small systems have no UTF-8 locale; then only letter case beyond ASCII differs.
        output = attempt(cluster, &fresh, &["--locale=C"], durable)?;
    }
    let failed = |output: &Output| EmbeddedError::Initdb {
        path: fresh.clone(),
        output: complaint(output),
    };
    if !output.status.success() {
        return Err(failed(&output));
    }

    let sql = format!("CREATE ROLE {USER} LOGIN\nCREATE DATABASE {DATABASE} OWNER {USER}\n");
    let output = single_user(cluster, &fresh, &sql, durable)?;
    // In this mode a refused statement does not change the exit status.
    if !output.status.success() || complaint(&output).contains("ERROR:") {
        return Err(failed(&output));
    }
    fs::rename(&fresh, &cluster.data).map_err(EmbeddedError::system(
        "putting the new cluster in its place",
    ))?;
    if durable {
        let folder = fs::File::open(&cluster.folder).and_then(|folder| folder.sync_all());
        folder.map_err(EmbeddedError::system("flushing the data folder"))?;
    }
    Ok(())
}

/// Text is ordered by code point, and letter case follows Unicode: the same everywhere, whatever the machine's language.
fn locale(major: u32) -> Vec<&'static str> {
    if major >= 17 {
        vec![
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]
    } else {
        vec!["--locale=C.UTF-8"]
    }
}

fn attempt(
    cluster: &Cluster,
    fresh: &Path,
    locale: &[&str],
    durable: bool,
) -> Result<Output, EmbeddedError> {
    let failed = |error| EmbeddedError::NotWritable {
        path: fresh.to_owned(),
        reason: format!("{error}"),
    };
    match fs::remove_dir_all(fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(fresh)
        .map_err(failed)?;
    cluster.identity.give(fresh)?;
    let mut command = cluster.command(&cluster.programs.initdb(), Some(Signal::KILL))?;
    command
        .arg("-D")
        .arg(fresh)
        .args(["-U", ADMIN, "-E", "UTF8", "--data-checksums"])
        .args(locale);
    // The folder of the socket is the guard: only this user gets there.
    command.args(["--auth-local=trust", "--auth-host=reject"]);
    if !durable {
        command.arg("--no-sync");
    }
    command
        .output()
        .map_err(EmbeddedError::system("running initdb"))
}

/// Runs statements, one a line, without a server.
fn single_user(
    cluster: &Cluster,
    data: &Path,
    sql: &str,
    durable: bool,
) -> Result<Output, EmbeddedError> {
    let mut command = cluster.command(&cluster.programs.postgres(), Some(Signal::KILL))?;
    command
        .arg("--single")
        .arg("-D")
        .arg(data)
        .args(["-c", if durable { "fsync=on" } else { "fsync=off" }]);
    command.args(["-c", "log_checkpoints=off", "postgres"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(EmbeddedError::system("running postgres"))?;
    // A few lines fit into the pipe at once; dropping it ends the input. If the program is gone, its output says why.
    let _ = child
        .stdin
        .take()
        .map(|mut input| input.write_all(sql.as_bytes()));
    child
        .wait_with_output()
        .map_err(EmbeddedError::system("running postgres"))
}

fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let end = lines[lines.len().saturating_sub(10)..].join("\n");
    if end.is_empty() {
        format!("it ended with {}", output.status)
    } else {
        end
    }
}
