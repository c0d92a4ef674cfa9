//! Nodes whose clocks are minutes apart keep the same sessions: random calls at any of them, beside what must be true.
//!
//! `PROPTEST_CASES` asks for more calls than the usual number. A failure names its seed, and `SESSIONS_SEED` begins with it.

use std::collections::BTreeMap;
use std::time::Duration;

use gom_actors::sessions::{SessionId, Sessions};
use gom_runtime::clock::ManualClock;

use crate::one_command::StrictIssuer;
use crate::{Kind, Place, connected, everywhere, login};
use gom_test_support::dice::Dice;

everywhere!(nodes_with_clocks_apart_keep_the_same_sessions,);

const CALLS: u64 = 150;
const SUBJECTS: [&str; 2] = ["auth0|ana", "auth0|bea"];
/// Of each node, before the test's own clock.
const APART: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(110),
    Duration::from_secs(220),
];
/// Between two calls: longer than clocks are apart, together with the time for which a previous half is good.
const STEP: Duration = Duration::from_secs(300);

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What a browser has of a session.
struct Browser {
    subject: &'static str,
    issuer: StrictIssuer,
    /// The half that it holds belongs to the token with this signature.
    half: String,
    exchanged: usize,
}

struct World {
    nodes: Vec<Sessions>,
    open: BTreeMap<String, Browser>,
    closed: Vec<SessionId>,
    shares: BTreeMap<&'static str, usize>,
}

impl World {
    fn any(&self, dice: &mut Dice) -> Option<(SessionId, Sessions)> {
        let ids: Vec<&String> = self.open.keys().collect();
        let id = (!ids.is_empty()).then(|| (*dice.pick(&ids)).clone())?;
        let id = SessionId::parse(&id).unwrap();
        Some((id, dice.pick(&self.nodes).clone()))
    }

    /// A request of the browser: the half that it brings is known, and if it is not the newest, it is given that.
    async fn request(&mut self, id: &SessionId, node: &Sessions) {
        let session = node.resume(id).await.unwrap().expect("the session lives");
        let browser = self.open.get_mut(id.as_str()).unwrap();
        if session.signature == browser.half {
            return;
        }
        let previous = session
            .previous
            .clone()
            .expect("the half that the browser has is known");
        assert!(
            previous.signatures().any(|half| half == browser.half),
            "{previous:?} lacks {}",
            browser.half
        );
        assert!(node.heard(id, &session).await);
        browser.half.clone_from(&session.signature);
        *self.shares.entry("a newer half given").or_default() += 1;
    }

    /// A refresh for the browser, which has the newest half then, or for a connection, which tells the browser nothing.
    async fn refresh(&mut self, id: &SessionId, node: &Sessions, for_browser: bool) {
        if for_browser {
            self.request(id, node).await;
        }
        let stale = node
            .resume(id)
            .await
            .unwrap()
            .expect("the session lives")
            .signature
            .clone();
        let browser = self.open.get_mut(id.as_str()).unwrap();
        let issuer = Box::new(browser.issuer.clone());
        let refreshed = match for_browser {
            true => node.refresh(id, &stale, issuer).await,
            false => node.refresh_for_connection(id, &stale, issuer).await,
        };
        let refreshed = refreshed.unwrap();
        browser.exchanged += 1;
        assert_eq!(browser.issuer.exchanged(), browser.exchanged);
        assert_eq!(refreshed.head, format!("head-{}", browser.exchanged));
        if for_browser {
            browser.half.clone_from(&refreshed.session.signature);
        }
        let kind = if for_browser {
            "refreshed for a browser"
        } else {
            "refreshed for a connection"
        };
        *self.shares.entry(kind).or_default() += 1;
    }

    fn close(&mut self, ids: impl IntoIterator<Item = SessionId>) {
        for id in ids {
            self.open.remove(id.as_str());
            self.closed.push(id);
        }
    }

    async fn call(&mut self, dice: &mut Dice) {
        let (node, subject) = (dice.pick(&self.nodes).clone(), *dice.pick(&SUBJECTS));
        let of_subject = |world: &World| -> Vec<SessionId> {
            let open = world
                .open
                .iter()
                .filter(|(_, browser)| browser.subject == subject);
            open.map(|(id, _)| SessionId::parse(id).unwrap()).collect()
        };
        let chosen = self.any(dice);
        match (dice.below(10), chosen) {
            (0 | 1, _) | (_, None) => {
                let id = node.open(login(subject), None).await.unwrap();
                let (issuer, half) = (StrictIssuer::new(), "first-signature".to_owned());
                self.open.insert(
                    id.as_str().to_owned(),
                    Browser {
                        subject,
                        issuer,
                        half,
                        exchanged: 0,
                    },
                );
            }
            (2 | 3, Some((id, node))) => self.refresh(&id, &node, true).await,
            (4 | 5, Some((id, node))) => self.refresh(&id, &node, false).await,
            (6 | 7, Some((id, node))) => self.request(&id, &node).await,
            (8, Some((id, node))) => {
                node.close(&id).await.unwrap();
                self.close([id]);
            }
            _ if dice.chance(30) => {
                let ids = of_subject(self);
                assert_eq!(node.close_all(subject).await.unwrap(), ids.len() as u64);
                self.close(ids);
            }
            _ => assert_eq!(
                node.list(subject).await.unwrap().len(),
                of_subject(self).len()
            ),
        }
    }

    /// All nodes say the same of all sessions.
    async fn check(&self) {
        for node in &self.nodes {
            let open = self.open.keys().map(|id| SessionId::parse(id).unwrap());
            let ids: Vec<SessionId> = open.chain(self.closed.iter().cloned()).collect();
            let living = node.living(&ids).await.unwrap();
            let expected: Vec<bool> = (0..ids.len()).map(|at| at < self.open.len()).collect();
            assert_eq!(living, expected);
        }
    }
}

async fn nodes_with_clocks_apart_keep_the_same_sessions(kind: Kind) {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed = asked("SESSIONS_SEED").unwrap_or(now.as_secs() * 1_000);
    println!("SESSIONS_SEED={seed}");
    let year = Duration::from_secs(365 * 24 * 3600);
    let place = Place::with(kind, |options| {
        (options.idle, options.absolute) = (year, year)
    })
    .await;
    let (mut nodes, mut clocks) = (Vec::new(), Vec::new());
    for apart in APART {
        let ahead = ManualClock::new(place.options.clock.now() + apart);
        let mut options = place.options.clone();
        options.clock = ahead.clock();
        nodes.push(connected(Sessions::start(options, &place.database).unwrap()).await);
        clocks.push(ahead);
    }
    let mut world = World {
        nodes,
        open: BTreeMap::new(),
        closed: Vec::new(),
        shares: BTreeMap::new(),
    };
    let dice = &mut Dice::new(seed);
    let calls = asked("PROPTEST_CASES").map_or(CALLS, |cases| cases.max(CALLS));
    for number in 0..calls {
        world.call(dice).await;
        clocks.iter().for_each(|clock| clock.advance(STEP));
        if number % 10 == 0 {
            world.check().await;
        }
    }
    world.check().await;
    println!("{:?}", world.shares);
    assert!(
        world.shares.len() == 3 && world.shares.values().all(|count| *count > 3),
        "{:?}",
        world.shares
    );
}
