//! Subscribers that come back while others write.

use std::cell::Cell;
use std::rc::Rc;

use gom_actors::live::Owner;
use gom_test_support::eventually;
use tokio::time::Instant;

use crate::world::{World, come_back, connect, options, subscribe, user};

const WRITERS: i32 = 8;

#[actix::test]
async fn forty_subscribers_with_a_cursor_join_while_eight_write_without_a_pause() {
    let world = World::create().await;
    let live = world.live(options());
    let local = live.local();
    let (first, _ticket) = subscribe(&local, &Owner::Service, world.orders()).await;
    let beginning = first.begins.get().unwrap();
    let (mut writers, over) = (Vec::new(), Rc::new(Cell::new(false)));
    for writer in 0..WRITERS {
        let (client, live, over) = (
            connect(&world.database).await,
            live.clone(),
            Rc::clone(&over),
        );
        writers.push(actix::spawn(async move {
            for n in 0.. {
                if over.get() {
                    return;
                }
                let n = writer + n * WRITERS;
                let sql = "insert into \"Order\" (id, n) values ($1, $2)";
                client.execute(sql, &[&format!("o{n}"), &n]).await.unwrap();
                live.wake();
            }
        }));
    }
    eventually("some events", async || first.got().len() > 500).await;
    let came = Instant::now();
    let back: Vec<_> = (0..40)
        // Most are one user's; the others do not wait for them.
        .map(|n| {
            (
                if n < 30 {
                    user("many")
                } else {
                    user(&n.to_string())
                },
                n,
            )
        })
        .map(|(owner, _)| come_back(&local, &owner, world.orders(), beginning))
        .collect();
    eventually("all to have joined", async || {
        live.members() == 41 && live.arriving() == 0
    })
    .await;
    println!(
        "40 subscribers joined within {:?}; {} events",
        came.elapsed(),
        first.got().len()
    );
    let joined = first.cursors.borrow().last().copied().unwrap();
    eventually("events since", async || {
        back.iter().all(|(inbox, _)| {
            inbox
                .cursors
                .borrow()
                .last()
                .is_some_and(|last| *last > joined)
        })
    })
    .await;
    over.set(true);
    for writer in writers {
        writer.await.unwrap();
    }
    let all: i64 = world
        .client
        .query_one("select count(*) from \"Order\"", &[])
        .await
        .unwrap()
        .get(0);
    live.wake();
    let has_all = |got: usize| i64::try_from(got) == Ok(all);
    eventually("all events", async || {
        has_all(first.got().len()) && back.iter().all(|(inbox, _)| has_all(inbox.got().len()))
    })
    .await;
    for (inbox, _) in &back {
        assert_eq!(
            *inbox.cursors.borrow(),
            *first.cursors.borrow(),
            "no gap, no duplicate"
        );
        assert!(!inbox.is_over());
    }
}
