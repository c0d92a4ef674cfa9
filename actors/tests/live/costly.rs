//! Subscriptions that take long to decide.

use std::time::Duration;

use gom_actors::live::LiveError;
use gom_actors::metrics::SLOW_GROUPS;
use gom_test_support::eventually;
use tokio::time::{Instant, sleep};

use crate::world::{World, come_back, options, subscribe, user};

async fn all_fast() {
    eventually("an empty slow lane", async || SLOW_GROUPS.value(()) == 0).await;
}

#[actix::test]
async fn one_users_costly_subscriptions_do_not_delay_another_users_events() {
    let world = World::create().await;
    world.make_shops_slow(Duration::from_millis(400)).await;
    let live = world.live(options());
    let local = live.local();
    let mut attackers = Vec::new();
    for number in 0..100 {
        attackers.push(subscribe(&local, &user("attacker"), world.orders_with_shops(number)).await);
    }
    let (victim, _ticket) = subscribe(&local, &user("victim"), world.orders()).await;
    let mut latencies = Vec::new();
    for n in 0..100 {
        world.order(n, Some("s")).await;
        let written = Instant::now();
        live.wake();
        // The attack alone would take 40 s for each.
        eventually("the victim's event", async || victim.got().last() == Some(&n)).await;
        latencies.push(victim.numbers.borrow().last().unwrap().1 - written);
    }
    let worst = (0..100).max_by_key(|n| latencies[*n]).unwrap();
    println!("the worst is the event {worst} of 100");
    latencies.sort();
    let (p50, p99) = (latencies[50], latencies[98]);
    println!("beside 100 subscriptions of 400 ms each: p50 {p50:?}, p99 {p99:?}, worst {:?}", latencies[99]);
    assert_eq!(victim.got(), (0..100).collect::<Vec<_>>());
    // 100 ms is promised; tests share a busy machine.
    let room = Duration::from_secs(2);
    assert!(p50 < Duration::from_millis(100) && latencies[99] < room, "{p50:?} {p99:?} {:?}", latencies[99]);
    assert_eq!(live.lag(), None);
    // Nobody decides for those who have gone: that would take minutes.
    let left = Instant::now();
    drop(attackers);
    all_fast().await;
    println!("the slow lane was empty {:?} after they had left", left.elapsed());
    assert!(left.elapsed() < Duration::from_secs(10));
}

#[actix::test]
async fn a_costly_subscription_gets_every_event_once_and_joins_the_others_when_it_is_quick() {
    let world = World::create().await;
    world.make_shops_slow(Duration::from_millis(100)).await;
    let live = world.live(options());
    let local = live.local();
    let (costly, _ticket) = subscribe(&local, &user("a"), world.orders_with_shops(0)).await;
    let (beginning, mut was_slow) = (costly.begins.get().unwrap(), false);
    for n in 0..20 {
        world.order(n, Some("s")).await;
        live.wake();
        sleep(Duration::from_millis(20)).await;
        was_slow |= SLOW_GROUPS.value(()) > 0;
    }
    eventually("all events", async || costly.got().len() == 20).await;
    assert!(was_slow);
    // One that comes back as the same user does not get around it, and one like it gets an equal share.
    let (again, _ticket_again) = come_back(&local, &user("a"), world.orders_with_shops(0), beginning);
    eventually("all events again", async || again.got().len() == 20).await;
    world.make_shops_slow(Duration::ZERO).await;
    all_fast().await;
    for n in 20..40 {
        world.order(n, Some("s")).await;
        live.wake();
    }
    eventually("the rest", async || costly.got().len() == 40 && again.got().len() == 40).await;
    assert_eq!(costly.got(), (0..40).collect::<Vec<_>>());
    assert_eq!(again.got(), costly.got());
    assert_eq!(*again.cursors.borrow(), *costly.cursors.borrow(), "a cursor is the same for everybody");
    assert!(!costly.is_over() && !again.is_over());
}

#[actix::test]
async fn a_subscription_that_falls_too_far_behind_is_ended_with_a_limit() {
    let world = World::create().await;
    world.make_shops_slow(Duration::from_millis(600)).await;
    let max_lag = Duration::from_secs(2);
    let live = world.live(gom_actors::live::LiveOptions { max_lag, ..options() });
    let local = live.local();
    let (costly, _ticket) = subscribe(&local, &user("a"), world.orders_with_shops(0)).await;
    let (other, _ticket) = subscribe(&local, &user("b"), world.orders()).await;
    let mut n = 0;
    eventually("its end", async || {
        world.order(n, Some("s")).await;
        live.wake();
        n += 1;
        costly.is_over()
    })
    .await;
    assert_eq!(*costly.ended.borrow(), Some(LiveError::Costly(max_lag)));
    assert!(costly.ended.borrow().as_ref().unwrap().to_string().contains("2000 ms (live.max_lag)"));
    eventually("the other's events", async || i32::try_from(other.got().len()) == Ok(n)).await;
    all_fast().await;
}
