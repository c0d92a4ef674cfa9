//! Folders: which are refused and why, and what a crash leaves in one.

use super::*;

#[tokio::test]
async fn another_server_in_the_same_process_is_refused_too() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = start(folder.path()).await;
    let message = refusal(options(folder.path())).await;
    assert!(
        message.contains(&format!("(process {})", std::process::id())),
        "{message}"
    );
    postgres.stop().await;
}

#[tokio::test]
async fn files_of_a_crash_do_not_stop_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path()).await.stop().await;
    // As after a power cut, with the process id now being somebody else's: ours.
    let left = folder.path().join("data/cluster/postmaster.pid");
    std::fs::write(
        &left,
        format!(
            "{}\n/nowhere\n1\n5432\n\n\n1 1\nready\n",
            std::process::id()
        ),
    )
    .unwrap();
    std::fs::write(
        folder.path().join("data/socket/.s.PGSQL.5432.lock"),
        format!("{}\n", std::process::id()),
    )
    .unwrap();
    std::fs::create_dir(folder.path().join("data/cluster.new")).unwrap();
    start(folder.path()).await.stop().await;
}

#[tokio::test]
async fn a_folder_of_another_major_version_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path()).await.stop().await;
    let version = folder.path().join("data/cluster/PG_VERSION");
    let ours = std::fs::read_to_string(&version).unwrap();
    std::fs::write(&version, "12\n").unwrap();
    let message = refusal(options(folder.path())).await;
    assert!(
        message.contains("made by PostgreSQL 12")
            && message.contains(&format!("are PostgreSQL {}", ours.trim())),
        "{message}"
    );
    assert!(message.contains("pg_dump"), "{message}");
    std::fs::write(&version, ours).unwrap();
    start(folder.path()).await.stop().await;
}

#[tokio::test]
async fn folders_that_cannot_hold_a_cluster_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("data/cluster")).unwrap();
    std::fs::write(folder.path().join("data/cluster/letter.txt"), "dear").unwrap();
    let message = refusal(options(folder.path())).await;
    assert!(message.contains("holds no PostgreSQL data"), "{message}");
    assert!(folder.path().join("data/cluster/letter.txt").exists());

    std::fs::write(folder.path().join("file"), "").unwrap();
    let message = refusal(EmbeddedOptions::new(folder.path().join("file/data"))).await;
    assert!(message.contains("cannot be used"), "{message}");
}

#[tokio::test]
async fn a_start_that_fails_says_what_postgres_said() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path()).await;
    let settings = vec![("shared_buffers".to_owned(), "no size".to_owned())];
    let message = refusal(EmbeddedOptions {
        settings,
        ..options(folder.path())
    })
    .await;
    assert!(
        message.contains("did not start") && message.contains("shared_buffers"),
        "{message}"
    );
}

#[tokio::test]
async fn programs_that_are_not_where_the_setting_says_are_missed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let programs = Some(folder.path().join("programs"));
    let message = refusal(EmbeddedOptions {
        programs,
        ..options(folder.path())
    })
    .await;
    assert!(
        message.contains(&folder.path().join("programs").display().to_string()),
        "{message}"
    );
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_gets_a_short_one() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(120));
    let postgres = start(&deep).await;
    assert_eq!(
        number(&connect(&postgres).await, "SELECT 1::bigint").await,
        1
    );
    let sockets = match &postgres.connection_config().get_hosts()[0] {
        tokio_postgres::config::Host::Unix(path) => path.clone(),
        other => panic!("no socket but {other:?}"),
    };
    assert!(!sockets.starts_with(folder.path()));
    postgres.stop().await;
    std::fs::remove_dir_all(sockets).unwrap();
}
