//! Many subscribers that come back at once, most of them with equal subscriptions.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use gom_actors::live::{
    Delivered, Interest, LiveError, LiveOptions, LocalLive, Room, Sink, SubscriptionHandle,
};
use gom_engine::events::Cursor;
use gom_telemetry::metrics::{Lookup, PREPARED_STATEMENTS};
use gom_test_support::eventually;
use serde_json::json;

use crate::world::{Inbox, World, come_back, connect, options, subscribe, user};

const GROUPS: i32 = 10;

/// All orders; another subscription for each number.
fn orders(world: &World, number: i32) -> Interest {
    world.interest(
        "subscription($where: OrderSubscriptionWhereInput) { order(where: $where) { node { n } } }",
        &json!({ "node": { "n_not": -1 - number } }),
    )
}

fn statements() -> u64 {
    let all = [Lookup::Hit, Lookup::Miss];
    all.map(|found| PREPARED_STATEMENTS.value(found))
        .iter()
        .sum()
}

/// One whose client does not read.
#[derive(Default)]
struct Shut {
    ended: RefCell<Option<LiveError>>,
}

impl Sink for Shut {
    fn event(&self, _: &Delivered) {
        panic!("there is no room");
    }

    fn ended(&self, reason: LiveError) {
        *self.ended.borrow_mut() = Some(reason);
    }

    fn room(&self) -> Option<Room> {
        Some(Box::pin(std::future::pending()))
    }
}

fn shut(local: &LocalLive, interest: Interest, from: Cursor) -> (Rc<Shut>, SubscriptionHandle) {
    let sink = Rc::new(Shut::default());
    let of_hub = Rc::clone(&sink) as Rc<dyn Sink>;
    let ticket = local.subscribe(user("shut"), interest, Some(from), of_hub);
    (sink, ticket)
}

#[actix::test]
async fn three_hundred_that_come_back_with_ten_subscriptions_cost_the_statements_of_ten() {
    let world = World::create().await;
    let live = world.live(LiveOptions {
        poll: Duration::from_secs(3_600),
        ..options()
    });
    let local = live.local();
    let (first, _ticket) = subscribe(&local, &user("first"), world.orders()).await;
    let beginning = first.begins.get().unwrap();
    for n in 0..50 {
        world.order(n, None).await;
    }
    live.wake();
    eventually("all orders", async || first.got().len() == 50).await;
    let cursors = first.cursors.borrow().clone();

    let before = statements();
    let came: Vec<_> = (0..300)
        .map(|n| {
            // Some have missed all, others less; several of each user.
            let missed_from = usize::try_from(n % 7).unwrap();
            let from = match missed_from {
                0 => beginning,
                from => cursors[from * 6],
            };
            let owner = user(&(n % 90).to_string());
            let (inbox, ticket) = come_back(&local, &owner, orders(&world, n % GROUPS), from);
            (inbox, from, ticket)
        })
        .collect();
    eventually("all to have joined", async || {
        live.members() == 301 && live.arriving() == 0
    })
    .await;
    let took = statements() - before;
    println!("{took} statements");
    let groups = u64::try_from(GROUPS).unwrap();
    assert!(took <= 4 * groups + 20, "{took} statements");

    world.order(50, None).await;
    live.wake();
    eventually("the next order", async || {
        came.iter()
            .all(|(inbox, ..)| inbox.got().last() == Some(&50))
    })
    .await;
    for (inbox, from, _) in &came {
        let missed = cursors.iter().filter(|cursor| *cursor > from).count();
        let expected: Vec<i32> = (50 - i32::try_from(missed).unwrap()..=50).collect();
        assert_eq!(inbox.got(), expected, "each once, in order");
        assert!(!inbox.is_over());
    }
}

#[actix::test]
async fn one_that_does_not_read_holds_up_none_of_those_with_whom_it_has_come() {
    let world = World::create().await;
    let live = world.live(options());
    let local = live.local();
    let (first, _ticket) = subscribe(&local, &user("first"), world.orders()).await;
    let beginning = first.begins.get().unwrap();
    world.order(1, None).await;
    live.wake();
    eventually("the order", async || first.got().len() == 1).await;
    let (shut, _shut) = shut(&local, world.orders(), beginning);
    let others: Vec<_> = (0..20)
        .map(|n| come_back(&local, &user(&n.to_string()), world.orders(), beginning))
        .collect();
    eventually("the others to have joined", async || {
        live.members() == 22 && live.arriving() == 1
    })
    .await;
    world.order(2, None).await;
    live.wake();
    eventually("the next order", async || {
        others.iter().all(|(inbox, _)| inbox.got() == [1, 2])
    })
    .await;
    assert!(shut.ended.borrow().is_none(), "nor is it sent away");
}

#[actix::test]
async fn one_whose_cursor_is_lost_is_sent_back_alone() {
    let world = World::create().await;
    let live = world.live(options());
    let local = live.local();
    let (first, _ticket) = subscribe(&local, &user("first"), world.orders()).await;
    let beginning = first.begins.get().unwrap();
    for n in 1..4 {
        world.order(n, None).await;
    }
    live.wake();
    eventually("the orders", async || first.got().len() == 3).await;
    let second = first.cursors.borrow()[1];
    let come = |from| come_back(&local, &user("a"), world.orders(), from);
    let lost = [
        Cursor {
            nonce: second.nonce ^ 1,
            ..second
        },
        Cursor {
            nonce: beginning.nonce ^ 1,
            ..beginning
        },
        Cursor {
            epoch: second.epoch + 2,
            ..second
        },
        Cursor {
            position: second.position + 1_000,
            ..second
        },
    ]
    .map(come);
    // As clients send them.
    let kept = [second, beginning].map(|cursor| come(Cursor { epoch: 0, ..cursor }));
    eventually("all to be answered", async || {
        lost.iter().all(|(inbox, _)| inbox.is_over())
            && kept[0].0.got() == [3]
            && kept[1].0.got() == [1, 2, 3]
    })
    .await;
    for (inbox, _) in &lost {
        assert_eq!(*inbox.ended.borrow(), Some(LiveError::Resync));
        assert!(inbox.got().is_empty());
    }
    assert!(kept.iter().all(|(inbox, _)| !inbox.is_over()));
}

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[actix::test]
async fn all_that_come_back_while_others_write_get_what_the_table_has() {
    let world = World::create().await;
    let live = world.live(options());
    let local = live.local();
    let (first, _ticket) = subscribe(&local, &user("first"), world.orders()).await;
    let beginning = first.begins.get().unwrap();
    let over = Rc::new(Cell::new(false));
    let mut writers = Vec::new();
    for writer in 0..3 {
        let client = connect(&world.database).await;
        let (live, over) = (live.clone(), Rc::clone(&over));
        writers.push(actix::spawn(async move {
            for n in 0.. {
                if over.get() {
                    return;
                }
                let n = writer + n * 3;
                // Now and then a transaction of more than a page.
                let rows = if n == 60 { 5_300 } else { 1 + n % 3 };
                let sql = "insert into \"Order\" (id, n) select $1::int || '-' || i, $1::int * 10000 + i \
                           from generate_series(1, $2::int) i";
                client.execute(sql, &[&n, &rows]).await.unwrap();
                live.wake();
            }
        }));
    }
    let mut dice = Dice(7);
    let mut back: Vec<(Cursor, Rc<Inbox>, SubscriptionHandle)> = Vec::new();
    for _ in 0..12 {
        let enough = first.got().len() + 20;
        eventually("some events", async || first.got().len() >= enough).await;
        let known = first.cursors.borrow().clone();
        for _ in 0..15 {
            let from = match dice.below(8) {
                0 => beginning,
                // Most have missed little; some stand in the middle of a transaction.
                1..=4 => known[known.len() - 1 - dice.below(20)],
                _ => known[dice.below(known.len())],
            };
            let owner = user(&dice.below(6).to_string());
            let interest = orders(&world, i32::try_from(dice.below(3)).unwrap());
            let (inbox, ticket) = come_back(&local, &owner, interest, from);
            back.push((from, inbox, ticket));
        }
        // Others leave on their way.
        let leaves = dice.below(back.len());
        drop(back.swap_remove(leaves));
    }
    over.set(true);
    for writer in writers {
        writer.await.unwrap();
    }
    let rows = world.client.query("select n from \"Order\"", &[]);
    let mut rows: Vec<i32> = rows.await.unwrap().iter().map(|row| row.get(0)).collect();
    rows.sort_unstable();
    live.wake();
    let is_last = |from: &Cursor, inbox: &Inbox, last: Cursor| {
        let cursors = inbox.cursors.borrow();
        *cursors.last().unwrap_or(from) == last
    };
    eventually("all events", async || {
        let all = first.got().len() == rows.len() && live.arriving() == 0;
        let last = first.cursors.borrow().last().copied();
        all && last.is_some_and(|last| {
            back.iter()
                .all(|(from, inbox, _)| is_last(from, inbox, last))
        })
    })
    .await;
    let mut got = first.got();
    let by_cursor: HashMap<Cursor, i32> = first
        .cursors
        .borrow()
        .iter()
        .copied()
        .zip(first.got())
        .collect();
    got.sort_unstable();
    assert_eq!(got, rows, "each row once");
    for (from, inbox, _) in &back {
        assert!(!inbox.is_over(), "{:?}", inbox.ended.borrow());
        let cursors = first.cursors.borrow();
        let expected: Vec<Cursor> = cursors.iter().filter(|one| *one > from).copied().collect();
        assert_eq!(*inbox.cursors.borrow(), expected, "no gap, no duplicate");
        let numbers: Vec<i32> = expected.iter().map(|cursor| by_cursor[cursor]).collect();
        assert_eq!(inbox.got(), numbers);
    }
}
