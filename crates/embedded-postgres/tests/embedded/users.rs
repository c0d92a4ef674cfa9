//! The operating system's users: root, ordinary ones and those without a name.

use super::*;

fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn uid_of(name: &str) -> Option<u32> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    users.lines().find_map(|line| {
        line.strip_prefix(&format!("{name}:x:"))?
            .split(':')
            .next()?
            .parse()
            .ok()
    })
}

/// An existing folder of the account's makes root run PostgreSQL as that account, as it does where namespaces are refused.
#[tokio::test]
async fn root_runs_a_folder_of_postgres_as_postgres() {
    let Some(uid) = uid_of("postgres")
        .or_else(|| uid_of("nobody"))
        .filter(|_| am_root())
    else {
        return eprintln!("SKIPPED: only root can become somebody else");
    };
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    std::fs::create_dir_all(folder.path().join("data/cluster")).unwrap();
    std::os::unix::fs::chown(folder.path().join("data/cluster"), Some(uid), None).unwrap();
    for _ in 0..2 {
        let postgres = start(folder.path()).await;
        assert_eq!(
            number(&connect(&postgres).await, "SELECT 1::bigint").await,
            1
        );
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid(&postgres))).unwrap();
        assert!(
            status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}")),
            "{status}"
        );
        postgres.stop().await;
    }
    // Such a cluster keeps its user, below a folder that this user may enter.
    let closed = tempfile::tempdir().unwrap();
    set_mode(closed.path(), 0o700);
    std::fs::rename(folder.path().join("data"), closed.path().join("data")).unwrap();
    let message = refusal(options(closed.path())).await;
    assert!(
        message.contains("may not enter") && message.contains(&closed.path().display().to_string()),
        "{message}"
    );
    // With somewhere else to go, a new one is made there, and found there again.
    let fallback = Some(folder.path().join("fallback"));
    std::fs::remove_dir_all(closed.path().join("data/cluster")).unwrap();
    std::fs::create_dir(closed.path().join("data/cluster")).unwrap();
    std::os::unix::fs::chown(closed.path().join("data/cluster"), Some(uid), None).unwrap();
    for _ in 0..2 {
        let options = EmbeddedOptions {
            fallback: fallback.clone(),
            ..options(closed.path())
        };
        let postgres = EmbeddedPostgres::start(options).await.unwrap();
        assert!(
            postgres
                .data_dir()
                .starts_with(folder.path().join("fallback"))
        );
        postgres.stop().await;
    }
}

/// As an ordinary user, and as one that has no name (a container started with a number for a user).
#[tokio::test]
async fn works_as_an_ordinary_user() {
    if !am_root() || Command::new("setpriv").arg("--version").output().is_err() {
        return eprintln!(
            "SKIPPED: needs root and `setpriv` to become an ordinary user (the other tests run as one otherwise)"
        );
    }
    let nobody = uid_of("nobody").unwrap();
    for uid in [nobody, 54_321] {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(uid), None).unwrap();
        // The program itself may be where only root gets to.
        let program = folder.path().join("test-program");
        // Not by us: a child that another test is about to start would hold the file open, and one that is written to cannot be run.
        let copied = Command::new("cp")
            .arg(std::env::current_exe().unwrap())
            .arg(&program)
            .status()
            .unwrap();
        assert!(copied.success());
        set_mode(&program, 0o755);
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid",
                &uid.to_string(),
                "--regid",
                &uid.to_string(),
                "--clear-groups",
            ])
            .arg(program);
        command.args([
            "--exact",
            "works_on_a_folder_of_ours",
            "--ignored",
            "--nocapture",
        ]);
        let output = command
            .env(FOLDER, folder.path())
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let refused = text.contains("could not look up effective user ID");
        if uid != nobody && refused {
            eprintln!("SKIPPED: without user namespaces, PostgreSQL refuses a user without a name");
            continue;
        }
        assert!(
            output.status.success() && text.contains(&format!("worked as {uid}")),
            "{text}"
        );
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
