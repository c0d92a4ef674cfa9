//! The parts that no store is needed for.

use std::time::{Duration, SystemTime};

use actix::{Handler, Message};

use super::manager::{SessionManager, whole_milliseconds};
use super::{SessionError, SessionId, SessionOptions, SessionStoreChoice, Sessions};
use crate::database::{Database, DatabaseOptions};
use crate::redis::RedisOptions;
use gom_runtime::supervision::Context;

#[derive(Message)]
#[rtype(result = "()")]
struct Break;

impl Handler<Break> for SessionManager {
    type Result = ();

    fn handle(&mut self, _: Break, _: &mut Context<Self>) {
        panic!("broken on purpose");
    }
}

/// Sessions whose store cannot be reached.
fn unreachable(change: impl FnOnce(&mut SessionOptions)) -> Sessions {
    let config = "host=127.0.0.1 port=1 user=nobody".parse().unwrap();
    let database = Database::start(DatabaseOptions::new(config)).unwrap();
    let (hour, redis) = (Duration::from_secs(3600), RedisOptions::new("127.0.0.1", 1));
    let mut options = SessionOptions::new(hour, hour, SessionStoreChoice::Redis(redis));
    change(&mut options);
    Sessions::start(options, &database).unwrap()
}

#[actix::test]
async fn a_manager_that_panicked_is_restarted_and_serves_requests_meanwhile() {
    let sessions = unreachable(|_| {});
    for broken in 1..4 {
        let address = sessions.manager.wait().await.unwrap();
        assert!(
            address.send(Break).await.is_err(),
            "the message that it handled is lost"
        );
        let Err(SessionError::Unavailable { reason }) = sessions.close(&SessionId::new()).await
        else {
            panic!("there is no store")
        };
        assert!(reason.starts_with("Redis: "), "{reason}");
        assert_eq!(sessions.restarts().panicked, broken);
    }
}

#[actix::test]
async fn more_than_may_be_in_flight_are_refused() {
    let sessions = unreachable(|options| options.max_in_flight = 2);
    let id = SessionId::new();
    let answers = futures::future::join_all((0..5).map(|_| sessions.resume(&id))).await;
    let overloaded = answers
        .iter()
        .filter(|answer| **answer == Err(SessionError::Overloaded))
        .count();
    assert_eq!(overloaded, 3);
    // Their permits are back.
    assert!(matches!(
        sessions.resume(&id).await,
        Err(SessionError::Unavailable { .. })
    ));
}

#[test]
fn times_are_kept_in_whole_milliseconds() {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_234_567_891);
    assert_eq!(
        whole_milliseconds(time),
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_234)
    );
}
