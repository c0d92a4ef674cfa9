//! Clients without cursors: npm's `subscriptions-transport-ws` 0.9 in a session goes on from where it was, whatever has ended its
//! connection, on whichever server.

use std::collections::BTreeMap;
use std::time::Duration;

use gom_test_support::eventually;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::timeout;

use crate::renewal::{Npm, name, order};
use crate::wire::{LEGACY, Wire, cookies};
use gom_test_support::app::TestApp;
use gom_test_support::place::{KEY, Place, Stores};
use gom_test_support::process::Server;
use gom_test_support::proxy::{Cut, Proxy};
use gom_test_support::two_shops::{CODE, SELLER, seller, shops};

const NEW_ORDERS: &str =
    "subscription { order(where: { mutation_in: [CREATED] }) { node { name } } }";

/// A server of the place's as a process of its own.
async fn server(place: &Place, app: &TestApp) -> Server {
    let environment = vec![
        ("DATABASE_URL", place.database.url()),
        (
            "PRISMA_SECRET",
            app.settings
                .service
                .secret
                .as_ref()
                .unwrap()
                .expose()
                .to_owned(),
        ),
        ("APP_KEY", KEY.to_owned()),
        ("GOM__SERVER__WORKERS", "1".to_owned()),
    ];
    Server::ready(&environment, &[]).await
}

/// Writes orders, in one line.
struct Writer<'a> {
    app: &'a TestApp,
    written: Vec<String>,
}

impl Writer<'_> {
    async fn write(&mut self, kind: &str) {
        let name = format!("{kind} {}", self.written.len());
        order(self.app, SELLER, CODE, &name).await;
        self.written.push(name);
    }
}

/// Writes until one has come: from then on the client misses nothing. What has come.
async fn begin(client: &mut Npm, writer: &mut Writer<'_>) -> Vec<String> {
    for _ in 0..200 {
        writer.write("beginning").await;
        if let Ok(first) = timeout(Duration::from_millis(300), client.order()).await {
            return vec![first];
        }
    }
    panic!("the subscription does not begin");
}

/// All orders, to the one that was written last; whatever else it tells of is left out.
async fn all(client: &mut Npm, writer: &Writer<'_>) -> Vec<String> {
    let mut received = Vec::new();
    while received.last() != writer.written.last() {
        let said = client.next().await;
        if said.get("event").is_some() {
            received.push(name(&said["event"]));
        } else {
            assert!(
                said.get("attempt").or(said.get("connected")).is_some(),
                "{said}"
            );
        }
    }
    received
}

/// Nothing is missing, nothing out of its order the first time, and nothing twice but what `may` come twice.
fn check(received: &[String], writer: &Writer<'_>, may: impl Fn(&str) -> bool, what: &str) {
    let mut counts: BTreeMap<&String, u32> = BTreeMap::new();
    let mut firsts = Vec::new();
    for name in received {
        let count = counts.entry(name).or_default();
        *count += 1;
        if *count == 1 {
            firsts.push(name);
        }
    }
    let after = writer
        .written
        .iter()
        .skip_while(|name| Some(*name) != firsts.first().copied());
    assert_eq!(firsts, after.collect::<Vec<_>>(), "{what}: all, in order");
    let twice: Vec<_> = counts
        .iter()
        .filter(|(name, count)| **count > 1 && !may(name))
        .collect();
    assert!(twice.is_empty(), "{what}: {twice:?}");
}

/// Waits until everything that has come is known to have come, for so many clients.
async fn noted(place: &Place, clients: i64) {
    let client = place.database.connect().await;
    let level = "SELECT count(*) FROM gom.resume_position r, gom.feed f WHERE r.left_at IS NULL AND r.claimed_at IS NULL
                 AND NOT r.disturbed AND r.epoch = f.epoch AND r.position = f.position";
    let stamp = "SELECT gom.stamp_changes()";
    client.execute(stamp, &[]).await.unwrap();
    eventually("the positions are noted", async || {
        client.query_one(level, &[]).await.unwrap().get::<_, i64>(0) == clients
    })
    .await;
}

/// Waits until no row counts any more whose place was taken.
async fn settled(place: &Place) {
    known(place, "claimed_at > now() - interval '3 seconds'", 0).await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    Terminated,
    Cut,
    CutUnnoticed,
}

#[actix_web::test]
async fn a_client_of_npm_without_cursors_misses_nothing_whatever_ends_its_connection() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    for end in [End::Killed, End::Terminated, End::Cut, End::CutUnnoticed] {
        // Nothing is left of another one's.
        let jar = cookies(&seller(&app).await);
        let (first, second) = (server(&place, &app).await, server(&place, &app).await);
        let proxy = Proxy::to(first.port).await;
        let mut writer = Writer {
            app: &app,
            written: Vec::new(),
        };
        let mut client = Npm::start(&app.at(proxy.address.clone()), &jar, NEW_ORDERS).await;
        client.connected().await;
        let mut received = begin(&mut client, &mut writer).await;
        for _ in 0..10 {
            writer.write("early").await;
        }
        received.extend(all(&mut client, &writer).await);
        noted(&place, 1).await;

        for _ in 0..5 {
            writer.write("last moment").await;
        }
        proxy.lead_to(0);
        match end {
            End::Killed => first.tell(Signal::KILL),
            End::Terminated => first.tell(Signal::TERM),
            End::Cut => proxy.cut(Cut::Both),
            End::CutUnnoticed => proxy.cut(Cut::ClientOnly),
        }
        // It has noticed: it comes back in vain.
        loop {
            let said = client.next().await;
            if said == json!({ "attempt": true }) {
                break;
            }
            received.extend(said.get("event").map(name));
        }
        for _ in 0..10 {
            writer.write("away").await;
        }
        proxy.lead_to(second.port);
        writer.write("away").await;
        received.extend(all(&mut client, &writer).await);
        for _ in 0..3 {
            writer.write("late").await;
        }
        received.extend(all(&mut client, &writer).await);
        check(
            &received,
            &writer,
            |name| name.starts_with("last moment"),
            &format!("{end:?}"),
        );
    }
}

#[actix_web::test]
async fn two_tabs_of_a_session_miss_nothing_and_repeated_kills_do_not_go_back_further() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let jar = cookies(&seller(&app).await);
    let mut server_now = server(&place, &app).await;
    let proxy = Proxy::to(server_now.port).await;
    let mut writer = Writer {
        app: &app,
        written: Vec::new(),
    };
    let mut tabs = Vec::new();
    for _ in 0..2 {
        let mut tab = Npm::start(&app.at(proxy.address.clone()), &jar, NEW_ORDERS).await;
        tab.connected().await;
        let received = begin(&mut tab, &mut writer).await;
        tabs.push((tab, received));
    }
    let mut moments = Vec::new();
    for round in 0..3 {
        writer.write(&format!("early {round}")).await;
        for (tab, received) in &mut tabs {
            received.extend(all(tab, &writer).await);
        }
        noted(&place, 2).await;
        settled(&place).await;
        // Of a server that is killed before its positions are written, the last moment may come twice.
        let moment = format!("last moment {round}");
        writer.write(&moment).await;
        let next = server(&place, &app).await;
        proxy.lead_to(next.port);
        server_now.tell(Signal::KILL);
        server_now = next;
        writer.write("away").await;
        moments.push(moment);
    }
    writer.write("late").await;
    for (at, (tab, received)) in tabs.iter_mut().enumerate() {
        received.extend(all(tab, &writer).await);
        let may = |name: &str| {
            moments
                .iter()
                .any(|moment| name.starts_with(moment.as_str()))
        };
        check(received, &writer, may, &format!("tab {at}"));
    }
}

/// A page's socket, subscribed.
async fn page(app: &TestApp, jar: &str) -> Wire {
    let mut wire = Wire::open(app, LEGACY, &[("cookie", jar)]).await.unwrap();
    wire.send(json!({ "type": "connection_init", "payload": {} }))
        .await;
    assert_eq!(wire.text().await["type"], "connection_ack");
    start(&mut wire, "1").await;
    wire
}

async fn start(wire: &mut Wire, id: &str) {
    wire.send(json!({ "id": id, "type": "start", "payload": { "query": NEW_ORDERS } }))
        .await;
}

/// Waits until the database has recorded so many subscriptions, or so many lost ones.
pub async fn known(place: &Place, condition: &str, count: i64) {
    let client = place.database.connect().await;
    let query = format!("SELECT count(*) FROM gom.resume_position WHERE {condition}");
    eventually(condition, async || {
        client
            .query_one(&query, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == count
    })
    .await;
}

/// Orders up to one, of a page.
async fn until(wire: &mut Wire, last: &str) -> Vec<String> {
    let mut received = Vec::new();
    while received.last().is_none_or(|name| name != last) {
        received.push(name(&wire.text().await["payload"]));
    }
    received
}

/// Of a subscription that has just begun, from nothing that was there: the first that comes is of now.
async fn begins_now(app: &TestApp, wire: &mut Wire, round: &str) {
    for attempt in 0..200 {
        let written = format!("{round} now {attempt}");
        order(app, SELLER, CODE, &written).await;
        if let Ok(message) = timeout(Duration::from_millis(300), wire.text()).await {
            let first = name(&message["payload"]);
            assert!(
                first.starts_with(&format!("{round} now")),
                "{round}: {first}"
            );
            if first != written {
                until(wire, &written).await;
            }
            return;
        }
    }
    panic!("{round}: the subscription does not begin");
}

#[actix_web::test]
async fn a_page_that_ends_on_purpose_begins_from_now_and_one_that_was_cut_does_not() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let jar = cookies(&seller(&app).await);
    for ending in ["close", "connection_terminate", "stop"] {
        let mut wire = page(&app, &jar).await;
        begins_now(&app, &mut wire, &format!("before {ending}")).await;
        match ending {
            "close" => wire.close(1001).await,
            "connection_terminate" => wire.send(json!({ "type": "connection_terminate" })).await,
            _ => wire.send(json!({ "id": "1", "type": "stop" })).await,
        }
        if ending == "stop" {
            known(&place, "true", 0).await;
            order(&app, SELLER, CODE, "missed").await;
            assert!(wire.is_quiet().await, "nothing comes after stop");
            start(&mut wire, "1").await;
        } else {
            wire.end().await;
            known(&place, "true", 0).await;
            order(&app, SELLER, CODE, "missed").await;
            wire = page(&app, &jar).await;
        }
        begins_now(&app, &mut wire, ending).await;
        wire.close(1000).await;
        wire.end().await;
        known(&place, "true", 0).await;
    }

    let mut wire = page(&app, &jar).await;
    begins_now(&app, &mut wire, "before the cut").await;
    drop(wire);
    known(&place, "left_at IS NOT NULL AND claimed_at IS NULL", 1).await;
    order(&app, SELLER, CODE, "while away").await;
    let mut wire = page(&app, &jar).await;
    until(&mut wire, "while away").await;
    // Another session, or other variables, has nothing of it.
    drop(wire);
    known(&place, "left_at IS NOT NULL AND claimed_at IS NULL", 1).await;
    let other = cookies(&seller(&app).await);
    let mut wire = page(&app, &other).await;
    begins_now(&app, &mut wire, "another session").await;
}

#[actix_web::test]
async fn a_page_that_is_opened_while_an_equal_one_is_away_does_not_take_what_that_one_missed() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let jar = cookies(&seller(&app).await);
    let mut first = page(&app, &jar).await;
    begins_now(&app, &mut first, "before").await;
    drop(first);
    known(&place, "left_at IS NOT NULL", 1).await;
    order(&app, SELLER, CODE, "while away").await;
    let mut other = page(&app, &jar).await;
    until(&mut other, "while away").await;
    // Within three seconds, however busy the machine is.
    let claimed = async |interval: &str| {
        let client = place.database.connect().await;
        let update = format!(
            "UPDATE gom.resume_position SET claimed_at = claimed_at + interval '{interval}'"
        );
        client.execute(&update, &[]).await.unwrap();
    };
    claimed("1 minute").await;
    let mut first = page(&app, &jar).await;
    until(&mut first, "while away").await;
    claimed("-1 minute").await;
    // Both are there, and so are their rows alone.
    order(&app, SELLER, CODE, "both").await;
    for page in [&mut other, &mut first] {
        until(page, "both").await;
    }
    settled(&place).await;
    known(&place, "left_at IS NULL", 2).await;
}

/// Each loss is of a server that was killed a moment ago, so that its rows still seem to be of a living one.
#[actix_web::test]
async fn losses_that_follow_each_other_do_not_go_back_further_and_further() {
    let place = Place::new(Stores::Postgres).await;
    let _app = shops(&place, &[]).await;
    let client = place.database.connect().await;
    client
        .execute("UPDATE gom.feed SET position = 100", &[])
        .await
        .unwrap();
    let resume =
        "SELECT from_position FROM gom.resume_subscription($1, '\\x01', '\\x02', $1, 300000, 1000)";
    let begin =
        async |id: i64| -> Option<i64> { client.query_one(resume, &[&id]).await.unwrap().get(0) };
    let receive = async |id: i64, position: i64| {
        let update = "UPDATE gom.resume_position SET position = $2 WHERE id = $1";
        assert_eq!(client.execute(update, &[&id, &position]).await.unwrap(), 1);
    };
    let later = async || {
        let earlier =
            "UPDATE gom.resume_position SET claimed_at = claimed_at - interval '1500 milliseconds'";
        client.execute(earlier, &[]).await.unwrap();
    };
    assert_eq!(begin(1).await, None);
    let mut starts = Vec::new();
    for id in 2..7 {
        receive(id - 1, 100 + 10 * id).await;
        starts.push(begin(id).await.unwrap());
        later().await;
    }
    // The first place counts for three seconds, which are two returns here.
    assert_eq!(starts, [120, 120, 130, 140, 150]);
    // Fifteen of a kind, all gone: each return finds a place of its own, and none is taken from one that is still to come.
    client
        .execute("DELETE FROM gom.resume_position", &[])
        .await
        .unwrap();
    for id in 100..115_i64 {
        let insert =
            "INSERT INTO gom.resume_position (id, key, session, node, epoch, position, part)
             SELECT $1, '\\x01', '\\x02', 9, epoch, 150, 4294967295 FROM gom.feed";
        client.execute(insert, &[&id]).await.unwrap();
    }
    client
        .execute(
            "INSERT INTO gom.resume_node VALUES (9, now() - interval '10 seconds')",
            &[],
        )
        .await
        .unwrap();
    for id in 200..215_i64 {
        assert_eq!(begin(id).await, Some(150), "return {id}");
        receive(id, 190).await;
        later().await;
        later().await;
    }
}

#[actix_web::test]
async fn a_trimmed_position_begins_from_now_without_an_error() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[]).await;
    let jar = cookies(&seller(&app).await);
    let database = place.database.connect().await;
    for (what, change) in [
        ("trimmed", "UPDATE gom.feed SET oldest = position"),
        (
            "another history",
            "UPDATE gom.resume_position SET epoch = 1",
        ),
        (
            "too old",
            "UPDATE gom.resume_position SET left_at = left_at - interval '301 seconds'",
        ),
    ] {
        let mut wire = page(&app, &jar).await;
        begins_now(&app, &mut wire, &format!("before {what}")).await;
        drop(wire);
        known(&place, "left_at IS NOT NULL AND claimed_at IS NULL", 1).await;
        order(&app, SELLER, CODE, "missed").await;
        database
            .execute("SELECT gom.stamp_changes()", &[])
            .await
            .unwrap();
        database.execute(change, &[]).await.unwrap();
        let mut wire = page(&app, &jar).await;
        begins_now(&app, &mut wire, what).await;
        wire.close(1000).await;
        wire.end().await;
        known(&place, "left_at IS NULL", 0).await;
        database
            .execute("DELETE FROM gom.resume_position", &[])
            .await
            .unwrap();
    }
}

#[actix_web::test]
async fn with_remember_for_zero_nothing_is_remembered() {
    let place = Place::new(Stores::Postgres).await;
    let app = shops(&place, &[("live.remember_for", "0")]).await;
    let jar = cookies(&seller(&app).await);
    let mut wire = page(&app, &jar).await;
    begins_now(&app, &mut wire, "before").await;
    drop(wire);
    order(&app, SELLER, CODE, "missed").await;
    let mut wire = page(&app, &jar).await;
    begins_now(&app, &mut wire, "after").await;
    known(&place, "true", 0).await;
}
