//! Subscribers for whom nothing has happened for longer than changes are kept.

use std::rc::Rc;

use gom_actors::live::{LiveError, Sink};
use gom_test_support::eventually;
use serde_json::json;

use crate::world::{Inbox, World, come_back, options, subscribe, user};

const ORDERS: &str =
    "subscription($where: OrderSubscriptionWhereInput) { order(where: $where) { node { n } } }";

#[actix::test]
async fn a_quiet_subscriber_goes_on_from_where_the_hub_has_served_it_whatever_was_trimmed() {
    let world = World::create().await;
    let live = world.live(options());
    let local = live.local();
    let of_nobody = || world.interest(ORDERS, &json!({ "node": { "n": 99 } }));
    let (quiet, ticket) = subscribe(&local, &user("quiet"), of_nobody()).await;
    let (other, _other) = subscribe(&local, &user("other"), world.orders()).await;
    for n in 1..=5 {
        world.order(n, None).await;
        live.wake();
        eventually("the other hears of it", async || other.got().contains(&n)).await;
    }
    // Up to the last but one.
    let trim = "update gom.feed set oldest = position - 1";
    world.client.batch_execute(trim).await.unwrap();
    let noted = quiet.begins.get().unwrap();
    let (late, _late) = come_back(&local, &user("quiet"), of_nobody(), noted);
    eventually("its first position is forgotten", async || late.is_over()).await;
    assert_eq!(*late.ended.borrow(), Some(LiveError::Resync));

    let position = ticket
        .position(quiet.begins.get())
        .await
        .expect("where it stands");
    assert!(position > noted && !quiet.is_over());
    drop(ticket);
    let (quiet, _ticket) = come_back(&local, &user("quiet"), of_nobody(), position);
    world.order(99, None).await;
    live.wake();
    eventually("its event", async || {
        !quiet.got().is_empty() || quiet.is_over()
    })
    .await;
    assert_eq!((quiet.got(), quiet.is_over()), (vec![99], false));
}

#[actix::test]
async fn a_new_subscriber_receives_its_first_position() {
    let world = World::create().await;
    let live = world.live(options());
    let local = live.local();
    let (_first, _of_first) = subscribe(&local, &user("first"), world.orders()).await;
    let inbox = Rc::new(Inbox::default());
    let sink = Rc::clone(&inbox) as Rc<dyn Sink>;
    let ticket = local.subscribe(user("second"), world.orders(), None, sink);
    assert_eq!(inbox.begins.get(), None, "the hub has not come to it");
    let position = ticket.position(None).await;
    assert!(
        position.is_some() && position == inbox.begins.get(),
        "{position:?}"
    );
}
