//! Restarts, full mailboxes, and requests that meet them.

use std::cell::Cell;
use std::rc::Rc;

use actix::{Actor, Handler, Message};
use tokio::time::Instant;

use super::*;
use gom_telemetry::metrics::{ACTOR_MAILBOX, ACTOR_REFUSED};

struct Fragile {
    number: u64,
}

impl Actor for Fragile {
    type Context = Context<Self>;
}

// No other test of this program has one.
impl SupervisedActor for Fragile {
    const KIND: ActorKind = ActorKind::PushDispatcher;
}

#[derive(Message)]
#[rtype(result = "u64")]
struct WhichOne;

#[derive(Message)]
#[rtype(result = "()")]
struct Break;

impl Handler<WhichOne> for Fragile {
    type Result = u64;

    fn handle(&mut self, _: WhichOne, _: &mut Context<Self>) -> u64 {
        self.number
    }
}

impl Handler<Break> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Break, _: &mut Context<Self>) {
        panic!("broken on purpose");
    }
}

/// What waits for actors of a kind is counted for the whole process: one test at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn numbered() -> Supervised<Fragile> {
    let built = Rc::new(Cell::new(0));
    supervise(16, move || {
        built.set(built.get() + 1);
        Fragile {
            number: built.get(),
        }
    })
}

#[actix::test]
async fn a_panicking_actor_is_restarted_at_a_new_address() {
    let _turn = TURN.lock().await;
    let supervised = numbered();
    let first = supervised.get().expect("supervised at once");
    assert_eq!(first.send(WhichOne).await, Ok(1));

    assert!(
        first.send(Break).await.is_err(),
        "the message that it handled is lost"
    );
    assert_eq!(supervised.ask(WhichOne).await, Ok(2));
    assert!(!first.connected(), "the old address stays closed");
    assert_eq!(
        supervised.restarts(),
        Restarts {
            panicked: 1,
            stopped: 0
        }
    );
}

#[actix::test]
async fn messages_that_wait_are_counted_and_those_without_room_too() {
    let _turn = TURN.lock().await;
    let supervised = numbered();
    let address = supervised.get().unwrap();
    let (waiting, refused) = (
        || ACTOR_MAILBOX.value(Fragile::KIND),
        || ACTOR_REFUSED.value(Fragile::KIND),
    );
    let before = (waiting(), refused());
    let mut posted = 0;
    while post(&address, WhichOne).is_ok() {
        posted += 1;
    }
    assert!(posted >= 16);
    assert_eq!((waiting(), refused()), (before.0 + posted, before.1 + 1));
    assert_eq!(address.send(WhichOne).await, Ok(1));
    assert_eq!(waiting(), before.0);
    // Lost with the mailbox.
    post(&address, Break).unwrap();
    post(&address, WhichOne).unwrap();
    assert!(address.send(WhichOne).await.is_err());
    drop(address);
    while waiting() != before.0 {
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn the_actor_ends_with_its_last_handle() {
    let _turn = TURN.lock().await;
    let supervised = numbered();
    let address = supervised.get().unwrap();
    let weak = address.downgrade();
    drop((supervised, address));
    while weak.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Later(tokio::sync::oneshot::Receiver<u64>);

impl Handler<Later> for Fragile {
    type Result = Deferred<u64>;

    fn handle(&mut self, Later(number): Later, _: &mut Context<Self>) -> Deferred<u64> {
        Deferred::new(|mut reply| {
            actix::spawn(async move {
                tokio::select! {
                    Ok(number) = number => reply.send(number),
                    () = reply.closed() => {}
                }
            });
        })
    }
}

#[actix::test]
async fn a_request_waits_for_the_next_actor_and_one_that_was_lost_is_reported() {
    let _turn = TURN.lock().await;
    let supervised = numbered();
    assert_eq!(supervised.ask(Break).await, Err(AskError::Lost));
    assert_eq!(
        supervised.ask_now(WhichOne).await,
        Err(AskError::Restarting)
    );
    assert_eq!(supervised.ask(WhichOne).await, Ok(2));
}

#[actix::test]
async fn a_full_mailbox_is_an_answer_at_once_through_any_handle() {
    let _turn = TURN.lock().await;
    let supervised = numbered();
    let mut accepted = 0;
    while supervised.clone().post(WhichOne).is_ok() {
        accepted += 1;
        assert!(accepted < 100, "the mailbox has a bound");
    }
    assert_eq!(supervised.ask(WhichOne).await, Err(AskError::Full));
    tokio::task::yield_now().await;
    assert_eq!(supervised.ask(WhichOne).await, Ok(1));
}

#[actix::test]
async fn a_reply_may_come_later_and_a_deadline_does_not_wait_for_it() {
    let _turn = TURN.lock().await;
    let supervised = numbered();
    let (answer, number) = tokio::sync::oneshot::channel();
    answer.send(7).unwrap();
    assert_eq!(supervised.ask(Later(number)).await, Ok(7));

    tokio::time::pause();
    let (mut never, number) = tokio::sync::oneshot::channel();
    let deadline = Instant::now() + Duration::from_secs(5);
    let asked = supervised.ask_by(Later(number), deadline).await;
    assert_eq!(asked, Err(AskError::Timeout));
    // Timers have a resolution of a millisecond.
    assert!(Instant::now() - deadline < Duration::from_millis(5));
    // The actor's task has noticed that nobody waits any more.
    never.closed().await;
}

#[actix::test]
async fn a_request_that_was_accepted_is_handled_though_nobody_waits_for_the_reply() {
    let _turn = TURN.lock().await;
    let supervised = numbered();
    {
        let mut asking = std::pin::pin!(supervised.ask(Break));
        std::future::poll_fn(|cx| {
            assert!(asking.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    while supervised.restarts().panicked == 0 {
        tokio::task::yield_now().await;
    }
}
