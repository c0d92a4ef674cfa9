//! What becomes of those who wait when something dies.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gom_actors::live::{Live, LiveError, LocalLive, SubscriptionHandle};
use gom_engine::events::EventMessage;
use gom_test_support::eventually;
use tokio::time::sleep;

use crate::world::{Inbox, World, come_back, encode, options, subscribe, user};

/// A subscriber and what it has received.
type Waiting = (Rc<Inbox>, SubscriptionHandle);

thread_local! {
    /// Done by the hub, in the middle of its work, right before it panics.
    static LAST_WISH: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Panics this often at an event that has the number 666 somewhere.
fn poisoned(world: &World, times: &Arc<AtomicUsize>) -> Live {
    let times = Arc::clone(times);
    let encoded = move |subscription: &_, message: &EventMessage, cursor| {
        let spend = |left: usize| left.checked_sub(1);
        let payload = message.payload.as_deref().unwrap_or_default();
        if payload.contains("666")
            && times
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend)
                .is_ok()
        {
            let wish = LAST_WISH.with(|wish| wish.borrow_mut().take());
            if let Some(wish) = wish {
                wish();
            }
            panic!("poisoned by the test");
        }
        encode(subscription, message, cursor)
    };
    Live::start(
        options(),
        &world.database(),
        world.planner.clone(),
        Arc::new(encoded),
    )
    .unwrap()
}

#[actix::test]
async fn subscriptions_waiting_in_the_mailbox_of_a_hub_that_panics_end() {
    let world = World::create().await;
    let times = Arc::new(AtomicUsize::new(1));
    let live = poisoned(&world, &times);
    let (here, there) = (live.local(), live.local());
    let (known, _ticket) = subscribe(&here, &user("a"), world.orders()).await;
    // Of a worker that has not registered with the hub: its first message waits while the hub delivers.
    let waiting: Rc<RefCell<Option<Waiting>>> = Rc::default();
    let (posted, of_there, interest, from) = (
        Rc::clone(&waiting),
        there.clone(),
        world.orders(),
        known.begins.get().unwrap(),
    );
    let wish = move || {
        *posted.borrow_mut() = Some(come_back(&of_there, &user("b"), interest, from));
    };
    LAST_WISH.with(|last| *last.borrow_mut() = Some(Box::new(wish)));
    world.order(666, None).await;
    live.wake();
    let ended = |inbox: &Inbox| matches!(*inbox.ended.borrow(), Some(LiveError::Unavailable(_)));
    eventually("the end of the one that it knew", async || ended(&known)).await;
    eventually("the end of the one that waited", async || {
        waiting
            .borrow()
            .as_ref()
            .is_some_and(|(inbox, _)| ended(inbox))
    })
    .await;
    // They come back, and miss nothing.
    let mut back = None;
    eventually("the event", async || {
        let from = known.begins.get().unwrap();
        let (inbox, _) =
            back.get_or_insert_with(|| come_back(&there, &user("b"), world.orders(), from));
        let (got, is_over) = (inbox.got(), inbox.is_over());
        if is_over {
            back = None;
        }
        got == [666]
    })
    .await;
}

#[actix::test]
async fn a_panic_while_one_catches_up_ends_that_one_and_nobody_else() {
    let world = World::create().await;
    let times = Arc::new(AtomicUsize::new(0));
    let live = poisoned(&world, &times);
    let local = live.local();
    let (other, _ticket) = subscribe(&local, &user("a"), world.orders()).await;
    world.order(666, None).await;
    live.wake();
    eventually("the event", async || other.got() == [666]).await;
    times.store(1, Ordering::SeqCst);
    let (unlucky, _ticket) = come_back(
        &local,
        &user("b"),
        world.orders(),
        other.begins.get().unwrap(),
    );
    eventually("its end", async || {
        matches!(*unlucky.ended.borrow(), Some(LiveError::Unavailable(_)))
    })
    .await;
    world.order(1, None).await;
    live.wake();
    eventually("the next", async || other.got() == [666, 1]).await;
    assert!(!other.is_over());
    eventually("nobody on the way", async || live.arriving() == 0).await;
}

#[actix::test]
async fn a_panic_while_several_catch_up_together_ends_each_of_them() {
    let world = World::create().await;
    let times = Arc::new(AtomicUsize::new(0));
    let live = poisoned(&world, &times);
    let local = live.local();
    let (other, _ticket) = subscribe(&local, &user("a"), world.orders()).await;
    world.order(666, None).await;
    live.wake();
    eventually("the event", async || other.got() == [666]).await;
    // However often they read it, and however many of them together.
    times.store(usize::MAX, Ordering::SeqCst);
    let from = other.begins.get().unwrap();
    let unlucky: Vec<Waiting> = (0..5)
        .map(|n| come_back(&local, &user(&n.to_string()), world.orders(), from))
        .collect();
    let ended = |inbox: &Inbox| matches!(*inbox.ended.borrow(), Some(LiveError::Unavailable(_)));
    eventually("the end of each", async || {
        unlucky.iter().all(|(inbox, _)| ended(inbox))
    })
    .await;
    assert!(unlucky.iter().all(|(inbox, _)| inbox.got().is_empty()));
    eventually("nobody on the way", async || live.arriving() == 0).await;
    times.store(0, Ordering::SeqCst);
    let (back, _ticket) = come_back(&local, &user("0"), world.orders(), from);
    eventually("the event", async || back.got() == [666]).await;
    assert!(!other.is_over());
}

#[actix::test]
async fn a_panic_in_the_slow_lane_ends_that_subscription_and_the_lane_goes_on() {
    let world = World::create().await;
    world
        .client
        .batch_execute("insert into \"Shop\" values ('poison', 'Tacos 666')")
        .await
        .unwrap();
    // Longer than the hub waits, so that only the slow lane comes to read it.
    world.make_shops_slow(Duration::from_millis(300)).await;
    let times = Arc::new(AtomicUsize::new(1));
    let live = poisoned(&world, &times);
    let local = live.local();
    let (unlucky, _ticket) = subscribe(&local, &user("a"), world.orders_with_shops(0)).await;
    let (costly, _ticket) = subscribe(&local, &user("b"), world.orders_with_shops(1)).await;
    let (other, _ticket) = subscribe(&local, &user("c"), world.orders()).await;
    world.order(0, Some("poison")).await;
    live.wake();
    let ended = |inbox: &Inbox| matches!(*inbox.ended.borrow(), Some(LiveError::Unavailable(_)));
    eventually("the end of one of the two", async || {
        ended(&unlucky) || ended(&costly)
    })
    .await;
    let alive = if ended(&unlucky) { &costly } else { &unlucky };
    eventually("the other's event", async || alive.got() == [0]).await;
    world.order(1, Some("s")).await;
    live.wake();
    eventually("the next", async || alive.got() == [0, 1]).await;
    assert_eq!(other.got(), [0, 1]);
    assert!(!alive.is_over() && !other.is_over());
}

#[actix::test]
async fn members_are_counted_correctly_after_the_hub_was_restarted() {
    let world = World::create().await;
    let times = Arc::new(AtomicUsize::new(1));
    let live = poisoned(&world, &times);
    let local = live.local();
    let (known, _ticket) = subscribe(&local, &user("a"), world.orders()).await;
    let from = known.begins.get().unwrap();
    // Tasks of the hub that dies end after it: their members were its own.
    let local_too: LocalLive = local.clone();
    let (interest, more) = (world.orders(), Rc::new(RefCell::new(Vec::new())));
    let kept = Rc::clone(&more);
    let wish = move || {
        for _ in 0..3 {
            kept.borrow_mut()
                .push(come_back(&local_too, &user("b"), interest.clone(), from));
        }
    };
    let arriving: Vec<_> = (0..20)
        .map(|_| come_back(&local, &user("c"), world.orders(), from))
        .collect();
    LAST_WISH.with(|last| *last.borrow_mut() = Some(Box::new(wish)));
    world.order(666, None).await;
    live.wake();
    eventually("the end", async || {
        known.is_over() || arriving.iter().any(|(inbox, _)| inbox.is_over())
    })
    .await;
    drop((arriving, more));
    let mut back = Vec::new();
    for _ in 0..5 {
        back.push(subscribe(&local, &user("a"), world.orders()).await);
    }
    let there = 5 + usize::from(!known.is_over());
    eventually("exactly those who are there", async || {
        live.members() == there
    })
    .await;
    // Whatever of the one before still ends, ends by then.
    sleep(Duration::from_millis(300)).await;
    assert_eq!(live.members(), there);
    drop(back);
}
