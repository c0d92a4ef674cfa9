//! What a hostile client keeps up for some seconds, beside one that behaves.

use std::cell::Cell;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::future::{LocalBoxFuture, join_all};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::browser::{Browser, Reply};
use crate::measure::{assert_bounded, assert_served, memory, victim};
use crate::shop::Shop;

pub const SECONDS: u64 = 4;

pub struct Attack {
    pub name: &'static str,
    /// The request with this number.
    pub request: Request,
    /// Requests at once.
    pub at_once: usize,
    pub is_refused: bool,
}

pub type Request = Box<dyn Fn(Browser, usize) -> LocalBoxFuture<'static, Reply> + Send>;

/// How the attacker's requests ended.
#[derive(Debug, Default, Clone, Copy)]
struct Ended {
    answered: usize,
    /// By a limit, or as a wrong login.
    refused: usize,
    told_to_wait: usize,
    otherwise: usize,
}

/// A query or mutation with the variables of the request with this number.
pub fn graphql(query: &'static str, variables: impl Fn(usize) -> Value + Send + 'static) -> Request {
    Box::new(move |mut browser, n| {
        let variables = variables(n);
        Box::pin(async move { browser.graphql(query, variables).await })
    })
}

/// Each attack beside a client that behaves, one after the other.
pub async fn assert_withstood(shop: &Shop, hostile: &Browser, attacks: impl IntoIterator<Item = Attack>) {
    let well_behaved = shop.seller("victim").await;
    let pid = shop.server.pid();
    victim(&well_behaved, 1).await;
    let alone = victim(&well_behaved, SECONDS).await;
    for attack in attacks {
        let Attack { name, is_refused, .. } = attack;
        let before = memory(pid, &shop.database).await;
        let attacking = attack.begin(hostile);
        let attacked = victim(&well_behaved, SECONDS).await;
        // Its deadlines are over before the next begins.
        while !attacking.is_finished() {
            sleep(Duration::from_millis(20)).await;
        }
        let ended = attacking.join().unwrap();
        let after = memory(pid, &shop.database).await;
        println!("{name}: {ended:?}");
        assert_served(name, &alone, &attacked);
        assert_bounded(name, before, after, 200, 200);
        let refused = ended.answered == 0 && ended.refused > 0;
        assert_eq!((refused, ended.answered > 0), (is_refused, !is_refused), "{name}: {ended:?}");
    }
}

impl Attack {
    /// On a thread of its own, so that the victim's client does not wait for the attacker's.
    fn begin(self, browser: &Browser) -> JoinHandle<Ended> {
        let (jar, address) = (browser.jar.clone(), browser.url(""));
        thread::spawn(move || {
            let mut browser = Browser::new(&address);
            browser.jar = jar;
            actix_web::rt::System::new().block_on(self.run(browser))
        })
    }

    async fn run(self, browser: Browser) -> Ended {
        let until = Instant::now() + Duration::from_secs(SECONDS);
        let (number, ended) = (Cell::new(0), Cell::new(Ended::default()));
        let one = async || {
            while Instant::now() < until {
                let n = number.replace(number.get() + 1);
                let reply = (self.request)(browser.clone(), n).await;
                let mut count = ended.get();
                match (reply.status.as_u16(), reply.code().1) {
                    (200, "") => count.answered += 1,
                    (200, "LIMIT_EXCEEDED") | (403, "") => count.refused += 1,
                    (429, _) => count.told_to_wait += 1,
                    _ => count.otherwise += 1,
                }
                ended.set(count);
                if reply.status == 429 {
                    // Without the patience that it was asked for.
                    sleep(Duration::from_millis(50)).await;
                }
            }
        };
        join_all((0..self.at_once).map(|_| one())).await;
        ended.get()
    }
}
