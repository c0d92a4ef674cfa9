//! What a hostile client keeps up for some seconds, beside one that behaves.

use std::cell::Cell;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::future::{LocalBoxFuture, join_all};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::measure::{assert_bounded, assert_served, memory, peak, victim};
use crate::shop::Shop;
use gom_test_support::browser::{Browser, Reply};

pub const SECONDS: u64 = 4;

pub struct Attack {
    pub name: &'static str,
    /// The request with this number.
    pub request: Request,
    /// Requests at once.
    pub at_once: usize,
    pub ends: Ends,
}

/// How each request ends that is neither rejected as overload nor late.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ends {
    Answered,
    /// With `LIMIT_EXCEEDED`.
    BeyondALimit,
    /// With 403, as a wrong login.
    Forbidden,
}

pub type Request = Box<dyn Fn(Browser, usize) -> LocalBoxFuture<'static, Reply> + Send>;

/// How the attacker's requests ended.
#[derive(Debug, Default, Clone, Copy)]
struct Ended {
    answered: usize,
    beyond_a_limit: usize,
    forbidden: usize,
    overload: usize,
    /// At their deadline.
    late: usize,
    otherwise: usize,
}

/// A query or mutation with the variables of the request with this number.
pub fn graphql(
    query: &'static str,
    variables: impl Fn(usize) -> Value + Send + 'static,
) -> Request {
    Box::new(move |mut browser, n| {
        let variables = variables(n);
        Box::pin(async move { browser.graphql(query, variables).await })
    })
}

/// Each attack beside a client that behaves, one after the other.
pub async fn assert_withstood(
    shop: &Shop,
    hostile: &Browser,
    attacks: impl IntoIterator<Item = Attack>,
) {
    let well_behaved = shop.seller("victim").await;
    let pid = shop.server.pid();
    victim(&well_behaved, 1).await;
    let alone = victim(&well_behaved, SECONDS).await;
    for attack in attacks {
        let Attack { name, ends, .. } = attack;
        let before = memory(pid, &shop.database).await;
        let attacking = attack.begin(hostile);
        // To its end: its deadlines are over before the next begins.
        let peak = peak(pid, &shop.database, || attacking.is_finished());
        let (attacked, peak) = futures::join!(victim(&well_behaved, SECONDS), peak);
        let ended = attacking.join().unwrap();
        println!("{name}: {ended:?}");
        assert_served(name, &alone, &attacked);
        assert_bounded(name, before, peak, 200, 200);
        ended.assert(name, ends);
    }
}

impl Ended {
    fn assert(self, name: &str, ends: Ends) {
        let Ended {
            answered,
            beyond_a_limit,
            forbidden,
            otherwise,
            ..
        } = self;
        let found = [
            (Ends::Answered, answered),
            (Ends::BeyondALimit, beyond_a_limit),
            (Ends::Forbidden, forbidden),
        ];
        for (end, count) in found {
            assert_eq!(count > 0, end == ends, "{name}: {end:?}, {self:?}");
        }
        assert_eq!(otherwise, 0, "{name}: {self:?}");
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
                    (200, "LIMIT_EXCEEDED") => count.beyond_a_limit += 1,
                    (403, "") => count.forbidden += 1,
                    // On a machine that is busy with other tests as well, the session store may be late.
                    (429 | 503, _) => count.overload += 1,
                    (_, "DEADLINE_EXCEEDED" | "OUTCOME_UNKNOWN") => count.late += 1,
                    (status, code) => {
                        println!("{status} {code}: {}", reply.body);
                        count.otherwise += 1;
                    }
                }
                ended.set(count);
                if matches!(reply.status.as_u16(), 429 | 503) {
                    // Without waiting for `Retry-After`.
                    sleep(Duration::from_millis(50)).await;
                }
            }
        };
        join_all((0..self.at_once).map(|_| one())).await;
        ended.get()
    }
}
