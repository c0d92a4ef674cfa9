//! Connections are cut and the server is killed at random moments, and between commit and answer; the client repeats until it is
//! answered.
//!
//! `GOM_IDEMPOTENCY_ROUNDS` says how many keys (150), `GOM_IDEMPOTENCY_SECONDS` after which time no other round begins, and
//! `GOM_SEED` with which dice: many rounds are made in parts, each with a seed of its own.

use std::pin::pin;
use std::time::{Duration, Instant};

use gom_test_support::dice::Dice;
use gom_test_support::process::{Environment, Server, environment, migrate};
use gom_test_support::proxy::{Cut, Proxy};
use gom_test_support::{TestDatabase, eventually};
use serde_json::{Value, json};
use tokio::time::sleep;

const ROUNDS: usize = 150;
/// In one round of so many, the server dies between commit and answer.
const CRASH_ONE_OF: usize = 15;
/// Of so many disturbances, one kills the server.
const KILL_ONE_OF: usize = 25;
/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two servers on one database, behind a proxy that leads to either.
struct World {
    environment: Environment,
    servers: [Option<Server>; 2],
    proxy: Proxy,
    token: String,
}

impl World {
    async fn open(database: &TestDatabase) -> World {
        let mut environment = environment(&database.url());
        environment.push(("GOM__LIMITS__SERVICE__DEADLINE", "20000".to_owned()));
        environment.push(("GOM__LOG__LEVEL", "error".to_owned()));
        migrate(&environment);
        let one = Server::ready(&environment, &[]).await;
        let two = Server::ready(&environment, &[]).await;
        World {
            proxy: Proxy::to(one.port).await,
            token: one.token().to_owned(),
            environment,
            servers: [Some(one), Some(two)],
        }
    }

    /// Kills a server, starts one in its place that may die at a place, and leads there.
    async fn restart(&mut self, which: usize, crash_at: Option<String>) {
        self.servers[which] = None;
        let mut environment = self.environment.clone();
        environment.extend(crash_at.map(|place| ("GOM_CRASH_AT", place)));
        let server = Server::ready(&environment, &[]).await;
        self.proxy.lead_to(server.port);
        self.servers[which] = Some(server);
    }

    /// Leads new connections to one of the servers, which is started if it is dead.
    async fn lead_to(&mut self, which: usize) {
        let alive = match &self.servers[which] {
            Some(server) if server.readiness().await.0 != 0 => Some(server.port),
            _ => None,
        };
        match alive {
            Some(port) => self.proxy.lead_to(port),
            None => self.restart(which, None).await,
        }
    }

    /// The answer's bytes; nothing if there is none.
    fn send(&self, key: &str, by_header: bool) -> impl Future<Output = Option<String>> + use<> {
        let query = format!(
            "mutation {{ a: createUser(data: {{ business: \"{key}\" }}) {{ uid createdAt }} \
             b: createUser(data: {{ business: \"{key}\", customers: {{ create: [{{ name1: \"{key}\" }}] }} }}) {{ uid customers {{ uid }} }} }}"
        );
        let mut body = json!({ "query": query });
        // With a connection of its own, which may be cut.
        let mut request = reqwest::Client::new()
            .post(format!("{}/graphql", self.proxy.address))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .timeout(PATIENCE);
        if by_header {
            request = request.header("idempotency-key", key);
        } else {
            body["extensions"] = json!({ "idempotencyKey": key });
        }
        async move {
            let response = request.body(body.to_string()).send().await.ok()?;
            let text = response.text().await.ok()?;
            let whole: Value = serde_json::from_str(&text).ok()?;
            // What could not be done in time is repeated as well.
            whole["errors"].is_null().then_some(text)
        }
    }

    /// An attempt that may not get its answer.
    async fn disturb(&mut self, dice: &mut Dice, round: usize) {
        let moment = Duration::from_micros(dice.below(12_000) as u64);
        let mut sending = pin!(self.send(&key(round), dice.chance(50)));
        tokio::select! {
            _ = &mut sending => {}
            () = sleep(moment) => {
                match dice.below(KILL_ONE_OF) {
                    0 => self.servers = [None, None],
                    1 => self.proxy.cut(Cut::Both),
                    _ => self.proxy.cut(Cut::ClientOnly),
                }
                sending.await;
            }
        }
    }
}

fn key(round: usize) -> String {
    format!("round-{round}")
}

#[actix_web::test]
async fn every_key_is_written_once_whenever_connections_are_cut_and_servers_killed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = number("GOM_IDEMPOTENCY_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("GOM_SEED").unwrap_or_else(|| std::process::id() as usize);
    let seconds = number("GOM_IDEMPOTENCY_SECONDS").map(|seconds| seconds as u64);
    println!("GOM_SEED={seed}");
    let mut dice = Dice::new(seed as u64);
    let database = TestDatabase::create().await;
    let mut world = World::open(&database).await;
    let (began, mut crashes, mut done) = (Instant::now(), 0, 0);
    for round in 0..rounds {
        if seconds.is_some_and(|seconds| began.elapsed().as_secs() >= seconds) {
            break;
        }
        done += 1;
        let which = dice.below(2);
        if round % CRASH_ONE_OF == CRASH_ONE_OF - 1 {
            // Between commit and answer: of the first field, or of the second.
            let place = format!("written:{}", dice.between(1, 2));
            world.restart(which, Some(place)).await;
            crashes += 1;
            let answer = world.send(&key(round), true).await;
            assert_eq!(answer, None, "the server dies before it answers");
        }
        for _ in 0..dice.below(3) {
            world.lead_to(dice.below(2)).await;
            world.disturb(&mut dice, round).await;
        }
        let mut answer = None;
        eventually("an answer", async || {
            // Both may be on their way at once, to one server or to both.
            world.lead_to(1).await;
            world.lead_to(0).await;
            let one = world.send(&key(round), true);
            let two = async {
                world
                    .proxy
                    .lead_to(world.servers[1].as_ref().map_or(0, |server| server.port));
                world.send(&key(round), false).await
            };
            let (one, two) = futures::join!(one, two);
            if let (Some(one), Some(two)) = (&one, &two) {
                assert_eq!(one, two, "round {round}");
            }
            answer = one.or(two);
            answer.is_some()
        })
        .await;
        world.lead_to(which).await;
        let again = world.send(&key(round), dice.chance(50)).await;
        assert_eq!(again, answer, "round {round}");
    }
    println!(
        "  {done} rounds, {crashes} servers died between commit and answer, in {:?}",
        began.elapsed()
    );
    assert!(crashes >= done / CRASH_ONE_OF);
    let tables = database.connect().await;
    let sql = "select business, count(*) from \"default$default\".\"User\" group by business having count(*) <> 2";
    let wrong = tables.query(sql, &[]).await.unwrap();
    assert!(wrong.is_empty(), "two for each key: {wrong:?}");
    for sql in [
        "select count(distinct business) from \"default$default\".\"User\"",
        "select count(*) from \"default$default\".\"Bp\"",
        "select count(*) from gom.idempotency_key",
    ] {
        let found = crate::count(&tables, sql).await;
        assert_eq!(usize::try_from(found).unwrap(), done, "{sql}");
    }
}
