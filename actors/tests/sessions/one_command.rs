//! One command to the store fails, and then all is well again. Whichever it was and however it failed, nobody is logged out, no
//! refresh token is spent twice, and what was refused can be done at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use gom_actors::database::{Database, DatabaseOptions};
use gom_actors::secret::SecretText;
use gom_actors::sessions::{
    RefreshFailure, Refresher, Renewed, SessionError, SessionId, SessionOptions,
    SessionStoreChoice, Sessions,
};
use tokio::time::Instant;

use crate::proxy::{Failure, Plan, Proxy};
use crate::{Kind, Place, connected, everywhere, login};

everywhere!(
    no_command_that_fails_spends_a_token_twice_or_logs_anybody_out,
    no_other_command_that_fails_loses_a_session,
);

/// What each call is promised is 550 ms; the rest is the time in which a busy machine does not run us.
const PROMISE: Duration = Duration::from_secs(3);
const FAILURES: [Failure; 4] = [
    Failure::Refused,
    Failure::Lost,
    Failure::AnswerLost,
    Failure::Silent,
];
/// As many at once as the tests' PostgreSQL has connections for.
const AT_ONCE: usize = 6;

/// Exchanges each refresh token once. A reused token counts as stolen and revokes its whole family, as with Auth0's rotation.
#[derive(Clone)]
pub struct StrictIssuer(Arc<Mutex<Family>>);

struct Family {
    current: String,
    exchanged: usize,
    revoked: bool,
}

impl StrictIssuer {
    pub fn new() -> StrictIssuer {
        let current = "first-refresh-token".to_owned();
        StrictIssuer(Arc::new(Mutex::new(Family {
            current,
            exchanged: 0,
            revoked: false,
        })))
    }

    /// How many tokens it has exchanged, none of them twice.
    pub fn exchanged(&self) -> usize {
        let family = self.0.lock().unwrap();
        assert!(!family.revoked, "a refresh token was spent twice");
        family.exchanged
    }
}

impl Refresher for StrictIssuer {
    fn refresh(
        self: Box<Self>,
        token: String,
    ) -> BoxFuture<'static, Result<Renewed, RefreshFailure>> {
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut family = self.0.lock().unwrap();
            family.revoked |= token != family.current;
            if family.revoked {
                return Err(RefreshFailure::Rejected);
            }
            family.exchanged += 1;
            family.current = format!("{token}+");
            let number = family.exchanged;
            Ok(Renewed {
                head: format!("head-{number}"),
                signature: format!("signature-{number}"),
                refresh_token: Some(SecretText::new(family.current.clone())),
            })
        }
        .boxed()
    }
}

/// A node whose way to the store has failures, and the store's other one.
struct Shaky {
    sessions: Sessions,
    proxy: Proxy,
    /// Nobody else's.
    _database: Option<Database>,
}

impl Shaky {
    async fn of(place: &Place) -> Shaky {
        let mut options: SessionOptions = place.options.clone();
        let (proxy, database) = match (&place.redis, &place.postgres) {
            (Some(redis), _) => {
                let proxy = Proxy::of_redis(redis).await;
                let mut through = redis.options();
                through.port = proxy.port;
                options.store = SessionStoreChoice::Redis(through);
                (proxy, None)
            }
            (None, Some(postgres)) => {
                let (proxy, config) = Proxy::of_postgres(postgres).await;
                (
                    proxy,
                    Some(Database::start(DatabaseOptions::new(config)).unwrap()),
                )
            }
            (None, None) => unreachable!(),
        };
        let started =
            Sessions::start(options, database.as_ref().unwrap_or(&place.database)).unwrap();
        Shaky {
            sessions: connected(started).await,
            proxy,
            _database: database,
        }
    }
}

/// A failure of a command: which, how, and how often.
type Case = (usize, Failure, usize);

/// All failures of so many commands. What is sent may be fewer: at least so many failures of each kind must have come.
async fn of_all_failures(commands: usize, least: usize, test: impl AsyncFn(Case) -> bool) {
    let cases = FAILURES.iter().flat_map(|failure| {
        [1, 3]
            .into_iter()
            .flat_map(move |times| (0..commands).map(move |after| (after, *failure, times)))
    });
    let met: Vec<Option<Failure>> = futures::stream::iter(cases)
        .map(async |case| test(case).await.then_some(case.1))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut counts = BTreeMap::new();
    met.iter()
        .flatten()
        .for_each(|failure| *counts.entry(format!("{failure:?}")).or_insert(0) += 1);
    println!("failures met: {counts:?}");
    assert!(
        counts.len() == FAILURES.len() && counts.values().all(|count| *count >= least),
        "{counts:?}"
    );
}

fn plan((after, failure, times): Case, about: &[&str]) -> Plan {
    Plan {
        about: about.iter().map(|name| (*name).to_owned()).collect(),
        after,
        failure,
        times,
    }
}

/// Refused in time as unavailable, or done.
fn done<T>(answer: Result<T, SessionError>, began: Instant, shown: &str) -> Option<T> {
    assert!(
        began.elapsed() < PROMISE,
        "{shown}: after {:?}",
        began.elapsed()
    );
    match answer {
        Ok(value) => Some(value),
        Err(SessionError::Unavailable { .. }) => None,
        Err(error) => panic!("{shown}: {error}"),
    }
}

async fn no_command_that_fails_spends_a_token_twice_or_logs_anybody_out(kind: Kind) {
    let place = Place::with(kind, |options| {
        options.refresh_patience = Duration::from_secs(1)
    })
    .await;
    // Two looks with the lock between them, one more when the issuer has answered, the new session, and a script that is unknown.
    of_all_failures(6, 8, async |case| {
        let shown = format!("{case:?}");
        let (shaky, issuer) = (Shaky::of(&place).await, StrictIssuer::new());
        let id = place
            .sessions
            .open(login(&format!("subject {shown}")), None)
            .await
            .unwrap();
        shaky.proxy.fail(plan(case, &[id.as_str()]));
        let began = Instant::now();
        let first = shaky
            .sessions
            .refresh(&id, "first-signature", Box::new(issuer.clone()))
            .await;
        done(first, began, &shown);
        let met = shaky.proxy.mend() < case.2;

        // Another node of which the browser asks the same.
        let deadline = Instant::now() + Duration::from_secs(20);
        let refreshed = loop {
            let began = Instant::now();
            let again = place
                .sessions
                .refresh(&id, "first-signature", Box::new(issuer.clone()))
                .await;
            if let Some(refreshed) = done(again, began, &shown) {
                break refreshed;
            }
            assert!(Instant::now() < deadline, "{shown}: it stays locked");
        };
        assert_eq!(
            (refreshed.head.as_str(), issuer.exchanged()),
            ("head-1", 1),
            "{shown}"
        );
        // What it has now is good for more.
        let next = place
            .sessions
            .refresh(&id, "signature-1", Box::new(issuer.clone()))
            .await;
        assert_eq!(
            next.unwrap_or_else(|error| panic!("{shown}: {error}")).head,
            "head-2"
        );
        assert_eq!(issuer.exchanged(), 2, "{shown}");
        assert!(
            place.sessions.resume(&id).await.unwrap().is_some(),
            "{shown}: logged out"
        );
        met
    })
    .await;
}

async fn no_other_command_that_fails_loses_a_session(kind: Kind) {
    let place = Place::of(kind).await;
    of_all_failures(2, 2, async |case| {
        let shown = format!("{case:?}");
        let subject = format!("subject {shown}");
        let shaky = Shaky::of(&place).await;
        let (sessions, proxy) = (&shaky.sessions, &shaky.proxy);
        let id: SessionId = place.sessions.open(login(&subject), None).await.unwrap();
        let mut met = false;
        let mut fails = |armed: bool| {
            if armed {
                proxy.fail(plan(case, &[id.as_str(), &subject]));
            } else {
                met |= proxy.mend() < case.2;
            }
            Instant::now()
        };

        let began = fails(true);
        if let Some(found) = done(sessions.resume(&id).await, began, &shown) {
            assert!(found.is_some(), "{shown}: logged out");
        }
        fails(false);
        let began = fails(true);
        if let Some(living) = done(
            sessions.living(std::slice::from_ref(&id)).await,
            began,
            &shown,
        ) {
            assert_eq!(living, [true], "{shown}");
        }
        fails(false);
        let began = fails(true);
        if let Some(listed) = done(sessions.list(&subject).await, began, &shown) {
            assert_eq!(listed.len(), 1, "{shown}");
        }
        fails(false);
        let began = fails(true);
        let second = done(sessions.open(login(&subject), None).await, began, &shown);
        fails(false);
        if let Some(second) = &second {
            assert!(
                place.sessions.resume(second).await.unwrap().is_some(),
                "{shown}: it was opened"
            );
        }
        assert!(
            place.sessions.resume(&id).await.unwrap().is_some(),
            "{shown}: another session is not concerned"
        );

        let began = fails(true);
        let closed = done(sessions.close(&id).await, began, &shown);
        fails(false);
        if closed.is_none() {
            place.sessions.close(&id).await.unwrap();
        }
        assert_eq!(
            place.sessions.resume(&id).await.unwrap(),
            None,
            "{shown}: it was closed"
        );
        let began = fails(true);
        let closed = done(sessions.close_all(&subject).await, began, &shown);
        fails(false);
        if closed.is_none() {
            place.sessions.close_all(&subject).await.unwrap();
        }
        assert!(
            place.sessions.list(&subject).await.unwrap().is_empty(),
            "{shown}: all were closed"
        );
        met
    })
    .await;
}
