//! The nonces of stamps, by which a cursor is known to be of a log or not.

use tokio_postgres::Client;

use super::{count, deployed, stamp};

async fn nonce_of(client: &Client, position: i64) -> Option<i64> {
    let query = "select gom.nonce_of($1)";
    client.query_one(query, &[&position]).await.unwrap().get(0)
}

async fn prove(client: &Client, position: i64, nonce: i64) -> Option<i64> {
    let query = "select gom.prove_stamp($1, $2)";
    let row = client.query_one(query, &[&position, &nonce]).await;
    row.unwrap().get(0)
}

async fn insert(client: &Client, name: &str) {
    let insert = format!(r#"insert into "Fan" values ('{name}')"#);
    client.batch_execute(&insert).await.unwrap();
}

#[tokio::test]
async fn each_stamp_has_a_nonce_of_its_own_and_the_oldest_position_keeps_its() {
    let (_database, client) = deployed().await;
    let beginning = nonce_of(&client, 0).await;
    assert!(beginning.is_some(), "a client may begin before any change");
    for name in ["a", "b", "c", "d"] {
        insert(&client, name).await;
    }
    assert_eq!(stamp(&client).await, 4, "in one call");
    let mut nonces = Vec::new();
    for position in 0..=4 {
        nonces.push(nonce_of(&client, position).await.unwrap());
    }
    assert_eq!(Some(nonces[0]), beginning);
    let mut different = nonces.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 5);
    // An epoch is a positive number, and 0 means that a nonce is not known.
    assert!(nonces.iter().all(|nonce| *nonce < 0), "{nonces:?}");

    client
        .batch_execute("select gom.trim_changes('1 hour', 2, 1)")
        .await
        .unwrap();
    client
        .batch_execute("select gom.trim_changes('1 hour', 2, 1)")
        .await
        .unwrap();
    assert_eq!(count(&client, "select oldest from gom.feed").await, 2);
    assert_eq!(nonce_of(&client, 1).await, None, "it is not kept");
    for (position, nonce) in [(2, nonces[2]), (3, nonces[3]), (4, nonces[4])] {
        assert_eq!(nonce_of(&client, position).await, Some(nonce), "{position}");
        assert_eq!(prove(&client, position, nonce).await, Some(nonce));
        assert_eq!(prove(&client, position, nonce ^ 1).await, None);
    }
    assert_eq!(nonce_of(&client, 5).await, None, "it is not given");
}

#[tokio::test]
async fn no_cursor_goes_on_in_a_new_epoch() {
    let (_database, client) = deployed().await;
    insert(&client, "a").await;
    stamp(&client).await;
    let before = nonce_of(&client, 1).await.unwrap();
    // As a migration does.
    client
        .batch_execute("update gom.feed set epoch = gom.new_epoch(), oldest = position")
        .await
        .unwrap();
    assert_eq!(prove(&client, 1, before).await, None);
    let after = nonce_of(&client, 1).await.unwrap();
    assert_ne!(before, after);
    client
        .batch_execute("select gom.trim_changes('1 hour', 0, 10)")
        .await
        .unwrap();
    assert_eq!(nonce_of(&client, 1).await, Some(after), "it is the head's");
}

#[tokio::test]
async fn another_database_with_the_same_stamps_goes_on_and_looks_at_its_gaps_again() {
    let (_database, client) = deployed().await;
    insert(&client, "a").await;
    stamp(&client).await;
    let (epoch, nonce) = (
        count(&client, "select epoch from gom.feed").await,
        nonce_of(&client, 1).await,
    );
    // What a dump holds: gaps, and numbers of another cluster.
    client
        .batch_execute(
            "update gom.feed set identity = 'elsewhere', gap_database = 'elsewhere', gap_from = '{9}', gap_to = '{9}',
             gap_until = '{1}'",
        )
        .await
        .unwrap();
    client.batch_execute("select gom.open_log()").await.unwrap();
    assert_eq!(
        count(&client, "select gap_until[1] from gom.feed").await,
        i64::MAX
    );
    client
        .batch_execute("update gom.feed set gap_until = '{1}'; select gom.open_log()")
        .await
        .unwrap();
    assert_eq!(
        count(&client, "select gap_until[1] from gom.feed").await,
        1,
        "once"
    );
    assert_eq!(count(&client, "select epoch from gom.feed").await, epoch);
    assert_eq!(nonce_of(&client, 1).await, nonce);
}

#[tokio::test]
async fn a_cursor_without_a_nonce_is_taken_as_long_as_the_database_is_the_same() {
    let (_database, client) = deployed().await;
    insert(&client, "a").await;
    stamp(&client).await;
    let nonce = nonce_of(&client, 1).await;
    assert_eq!(prove(&client, 1, 0).await, nonce);
    assert_eq!(prove(&client, 2, 0).await, None, "of the future");
    client
        .batch_execute("update gom.feed set identity = 'the one that was promoted from'")
        .await
        .unwrap();
    client.batch_execute("select gom.open_log()").await.unwrap();
    assert_eq!(prove(&client, 1, 0).await, None);
    assert_eq!(prove(&client, 1, nonce.unwrap()).await, nonce);
}

#[tokio::test]
async fn a_server_of_an_earlier_version_finds_a_promotion_beside_new_ones_and_ends_all_cursors() {
    let (_database, client) = deployed().await;
    insert(&client, "a").await;
    stamp(&client).await;
    let nonce = nonce_of(&client, 1).await.unwrap();
    client
        .batch_execute("update gom.feed set identity = 'before', gap_database = 'before'")
        .await
        .unwrap();
    let epoch = count(&client, "select epoch from gom.feed").await;
    // The new server looks first.
    client.batch_execute("select gom.open_log()").await.unwrap();
    assert_eq!(prove(&client, 1, nonce).await, Some(nonce));
    let opened = count(&client, "select epoch from gom.open_feed()").await;
    assert_ne!(opened, epoch);
    assert_eq!(prove(&client, 1, nonce).await, None);
    insert(&client, "b").await;
    assert_eq!(stamp(&client).await, 2);
    assert!(nonce_of(&client, 2).await.is_some(), "it writes nonces");
}

#[tokio::test]
async fn a_function_of_an_earlier_version_writes_nonces_too() {
    let (_database, client) = deployed().await;
    let insert = "insert into gom.stamp (position, transaction, first_sequence, last_sequence, changes, total)
        select p, 1, p, p, 1, p from generate_series(1, 3) p";
    client.batch_execute(insert).await.unwrap();
    let different = "select count(distinct nonce) from gom.stamp";
    assert_eq!(count(&client, different).await, 3);
}

/// Of a client without cursors.
#[tokio::test]
async fn a_stored_position_counts_if_the_log_has_its_stamp() {
    let (_database, client) = deployed().await;
    let resume = async |id: i64| -> (Option<i64>, i64) {
        let resume = "select from_position, at_nonce from gom.resume_subscription_at($1, '\\x01', '\\x02', 7, 300000, 100)";
        let row = client.query_one(resume, &[&id]).await.unwrap();
        (row.get(0), row.get(1))
    };
    let keep = async |id: i64, position: i64, nonce: Option<i64>| {
        let epoch = count(&client, "select epoch from gom.feed").await;
        let nonce = nonce.map_or(String::new(), |nonce| format!(r#", "nonce": {nonce}"#));
        let batch = format!(
            r#"{{"keep": [{{"id": {id}, "key": "01", "session": "02", "epoch": {epoch}, "position": {position},
               "part": 4294967295{nonce}}}], "back": [], "lost": [{id}], "ended": []}}"#
        );
        client
            .batch_execute(&format!("select gom.keep_resume_positions(7, '{batch}')"))
            .await
            .unwrap();
    };
    let forget = async || {
        let forget = "delete from gom.resume_position";
        client.batch_execute(forget).await.unwrap();
    };
    insert(&client, "a").await;
    insert(&client, "b").await;
    stamp(&client).await;
    let head = nonce_of(&client, 2).await.unwrap();
    assert_eq!(resume(1).await, (None, head), "from now on");
    let first = nonce_of(&client, 1).await.unwrap();
    keep(1, 1, Some(first)).await;
    assert_eq!(resume(2).await, (Some(1), first));
    forget().await;

    // Received before the log lost it, and written after that: its server finds that out, and reports it.
    resume(3).await;
    keep(3, 1, Some(first ^ 1)).await;
    assert_eq!(resume(4).await, (Some(1), first ^ 1));
    forget().await;

    // Of two that have lost it, each is found out.
    for id in [11, 12] {
        resume(id).await;
    }
    let lost = format!(
        "update gom.resume_position set position = 1, nonce = {}, left_at = now(), claimed_at = null, disturbed = false",
        first ^ 1
    );
    client.batch_execute(&lost).await.unwrap();
    for id in [13, 14] {
        assert_eq!(resume(id).await, (Some(1), first ^ 1));
    }
    forget().await;

    // Received in part: its server knows the nonce of what follows.
    for (next, is_known) in [(head, true), (head ^ 1, false)] {
        resume(9).await;
        let epoch = count(&client, "select epoch from gom.feed").await;
        let batch = format!(
            r#"{{"keep": [{{"id": 9, "key": "01", "session": "02", "epoch": {epoch}, "position": 1, "part": 4294967295,
               "nonce": 0, "next": {next}}}], "back": [], "lost": [9], "ended": []}}"#
        );
        client
            .batch_execute(&format!("select gom.keep_resume_positions(7, '{batch}')"))
            .await
            .unwrap();
        let (from, nonce) = resume(10).await;
        assert_eq!((from, nonce == first), (Some(1), is_known));
        assert_ne!(nonce, 0, "no cursor of an earlier version");
        forget().await;
    }

    // Of a server of an earlier version.
    resume(5).await;
    keep(5, 1, None).await;
    assert_eq!(resume(6).await, (Some(1), 0));
    forget().await;
    resume(7).await;
    keep(7, 1, None).await;
    client
        .batch_execute("update gom.feed set identity = 'the one that was promoted from'")
        .await
        .unwrap();
    assert_eq!(resume(8).await, (Some(1), 0), "which is proved no more");
}
