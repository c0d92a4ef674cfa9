//! Small requests whose filters are large: relations within relations, and many of them.

use std::cell::Cell;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::browser::Browser;
use crate::measure::{assert_bounded, assert_served, memory, victim};
use crate::shop::Shop;

const SECONDS: u64 = 4;

struct Attack {
    name: &'static str,
    filter: fn(usize) -> Value,
    /// Of the attacker's requests, at once.
    at_once: usize,
    is_refused: bool,
}

/// How the attacker's requests ended.
#[derive(Debug, Default, Clone, Copy)]
struct Ended {
    answered: usize,
    beyond_a_limit: usize,
    told_to_wait: usize,
    otherwise: usize,
}

/// `0.9 KB` of this, four at a time, once took another user's p99 from 73 ms to 6.4 s.
fn nested(_: usize) -> Value {
    let mut filter = json!({ "name_not": "x" });
    for _ in 0..10 {
        filter = json!({ "items_every": { "order": { "items_none": { "order": filter } } } });
    }
    filter
}

/// 18 KB of this once took 728 MB in one process of PostgreSQL.
fn tree(_: usize) -> Value {
    fn items(depth: usize) -> Value {
        let branch = |n: usize| match depth {
            0 => json!({ "code": n.to_string() }),
            _ => json!({ "order": { "items_some": items(depth - 1) } }),
        };
        json!({ "OR": (0..4).map(branch).collect::<Vec<_>>() })
    }
    json!({ "items_some": items(3) })
}

/// About the dearest that a seller may ask, each time another statement, so that nothing is known of it beforehand.
fn dear(n: usize) -> Value {
    const ENDS: [&str; 8] =
        ["", "_not", "_contains", "_not_contains", "_gt", "_lt", "_starts_with", "_ends_with"];
    let leaf = |place: usize| {
        let end = ENDS[(n >> (3 * (place % 5))) % 8];
        json!({ "order": { format!("name{end}"): format!("x{place}") } })
    };
    let leaves: Vec<Value> = (0..11).map(leaf).collect();
    json!({ "items_every": { "order": { "items_none": { "OR": leaves } } } })
}

impl Attack {
    /// On a thread of its own, so that the victim's client does not wait for the attacker's.
    fn begin(&self, browser: &Browser) -> std::thread::JoinHandle<Ended> {
        let (jar, address, filter, at_once) =
            (browser.jar.clone(), browser.url(""), self.filter, self.at_once);
        std::thread::spawn(move || {
            let mut browser = Browser::new(&address);
            browser.jar = jar;
            actix_web::rt::System::new().block_on(attack(browser, filter, at_once))
        })
    }
}

async fn attack(browser: Browser, filter: fn(usize) -> Value, at_once: usize) -> Ended {
    const QUERY: &str = "query($where: OrderWhereInput) { orders(where: $where) { uid } }";
    let until = Instant::now() + Duration::from_secs(SECONDS);
    let (number, ended) = (Cell::new(0), Cell::new(Ended::default()));
    let one = async |mut browser: Browser| {
        while Instant::now() < until {
            let n = number.replace(number.get() + 1);
            let reply = browser.graphql(QUERY, json!({ "where": filter(n) })).await;
            let mut count = ended.get();
            match reply.code() {
                (200, "") => count.answered += 1,
                (200, "LIMIT_EXCEEDED") => count.beyond_a_limit += 1,
                (429, "TOO_MANY_REQUESTS") => count.told_to_wait += 1,
                _ => count.otherwise += 1,
            }
            ended.set(count);
            if reply.status == 429 {
                // Without the patience that it was asked for.
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    join_all((0..at_once).map(|_| one(browser.clone()))).await;
    ended.get()
}

#[actix_web::test]
async fn large_filters_neither_delay_others_nor_take_memory() {
    let shop = Shop::open(&[]).await;
    let (well_behaved, hostile) = (shop.seller("victim").await, shop.seller("attacker").await);
    let pid = shop.server.pid();
    victim(&well_behaved, 1).await;
    let alone = victim(&well_behaved, SECONDS).await;
    for attack in [
        Attack { name: "relations within relations", filter: nested, at_once: 4, is_refused: true },
        Attack { name: "a tree of relations", filter: tree, at_once: 4, is_refused: true },
        // Many more than get a turn.
        Attack { name: "the dearest that may be asked", filter: dear, at_once: 50, is_refused: false },
    ] {
        let before = memory(pid, &shop.database).await;
        let attacking = attack.begin(&hostile);
        let attacked = victim(&well_behaved, SECONDS).await;
        // Its deadlines are over before the next begins.
        while !attacking.is_finished() {
            sleep(Duration::from_millis(20)).await;
        }
        let ended = attacking.join().unwrap();
        let after = memory(pid, &shop.database).await;
        println!("{}: {ended:?}", attack.name);
        assert_served(attack.name, &alone, &attacked);
        assert_bounded(attack.name, before, after, 200, 200);
        let refused = ended.answered == 0 && ended.beyond_a_limit > 0;
        assert_eq!((refused, ended.answered > 0), (attack.is_refused, !attack.is_refused), "{ended:?}");
    }
}
