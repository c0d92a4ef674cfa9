//! Rows that leave and rows that come in because another one has changed, through the hub: each once, in order, and the same for
//! those who come back in the middle of it.

use std::cell::RefCell;
use std::rc::Rc;

use gom_actors::live::{Delivered, Interest, LiveError, LocalLive, Sink, SubscriptionHandle};
use gom_engine::events::Cursor;
use gom_test_support::eventually;
use serde_json::{Value, json};

use crate::world::{World, options, subscribe, user};

const ORDERS: &str = "subscription($where: OrderSubscriptionWhereInput) { order(where: $where) \
    { mutation node { id } previousValues { id } updatedFields } }";

/// What came, as `MUTATION id` and `left id id`.
#[derive(Default)]
struct Inbox {
    lines: RefCell<Vec<(String, Cursor)>>,
    ended: RefCell<Option<LiveError>>,
}

impl Sink for Inbox {
    fn event(&self, event: &Delivered) {
        let mut lines = self.lines.borrow_mut();
        assert!(
            lines.last().is_none_or(|(_, last)| *last < event.cursor),
            "in order, and once"
        );
        let text = std::str::from_utf8(&event.payload).unwrap();
        let end = text.rfind('}').map_or(0, |at| at + 1);
        let (payload, left) = text.split_at(end);
        let mut line = String::new();
        if !payload.is_empty() {
            let payload: Value = serde_json::from_str(payload).unwrap();
            let node = [&payload["node"], &payload["previousValues"]];
            let node = node.into_iter().find(|node| node.is_object()).unwrap();
            line = format!(
                "{} {}",
                payload["mutation"].as_str().unwrap(),
                node["id"].as_str().unwrap()
            );
        }
        if !left.is_empty() {
            line.push_str("left");
            line.push_str(&left.replace('-', " "));
        }
        lines.push((line, event.cursor));
    }

    fn ended(&self, reason: LiveError) {
        *self.ended.borrow_mut() = Some(reason);
    }
}

impl Inbox {
    fn lines(&self) -> Vec<String> {
        self.lines
            .borrow()
            .iter()
            .map(|(line, _)| line.clone())
            .collect()
    }

    async fn has(&self, expected: &[&str]) {
        eventually("the messages", async || {
            self.lines().len() >= expected.len()
        })
        .await;
        assert_eq!(self.lines(), expected);
    }
}

fn from(
    local: &LocalLive,
    interest: &Interest,
    cursor: Option<Cursor>,
) -> (Rc<Inbox>, SubscriptionHandle) {
    let inbox = Rc::new(Inbox::default());
    let sink = Rc::clone(&inbox) as Rc<dyn Sink>;
    let ticket = local.subscribe(user("ana"), interest.clone(), cursor, sink);
    (inbox, ticket)
}

/// The position from which a subscription begins.
async fn beginning(world: &World, local: &LocalLive) -> Cursor {
    let (inbox, _ticket) = subscribe(local, &user("ana"), world.orders()).await;
    inbox.begins.get().unwrap()
}

#[actix::test]
async fn rows_that_a_change_of_another_row_moves_are_reported_one_by_one() {
    let world = World::create().await;
    for n in 1..=3 {
        world.order(n, Some("s")).await;
    }
    let live = world.live(options());
    let local = live.local();
    let filter = json!({ "node": { "shop": { "name": "Tacos" } } });
    let interest = world.interest_with_leaves(ORDERS, &filter);
    let begins = beginning(&world, &local).await;
    let (first, _ticket) = from(&local, &interest, Some(begins));
    let mut expected = Vec::new();
    // Each is read before the next: rows are shown as they are then.
    for (sql, lines) in [
        ("insert into \"Shop\" values ('t', 'Tortas')", &[][..]),
        (
            "update \"Shop\" set name = 'Closed' where id = 's'",
            &["left o1 o2 o3"],
        ),
        (
            "update \"Shop\" set name = 'Tacos' where id = 's'",
            &["UPDATED o1", "UPDATED o2", "UPDATED o3"],
        ),
        (
            "update \"Order\" set shop = 't' where id = 'o2'",
            &["left o2"],
        ),
        ("delete from \"Order\" where id = 'o3'", &["DELETED o3"]),
        (
            "begin; update \"Shop\" set name = 'Tacos' where id = 't';
             update \"Shop\" set name = 'Closed' where id = 's';
             update \"Order\" set n = 9 where id = 'o1'; commit",
            &["UPDATED o2", "left o1"],
        ),
    ] {
        world.client.batch_execute(sql).await.unwrap();
        expected.extend(lines);
        first.has(&expected).await;
    }
    // Anyone who comes back with any of the cursors gets the rest, and nothing twice. (Events of rows that have left or are
    // gone meanwhile are not shown again.)
    let had = first.lines.borrow().clone();
    for (place, (_, cursor)) in had.iter().enumerate() {
        let (again, _ticket) = from(&local, &interest, Some(*cursor));
        let gone = |line: &&str| !["UPDATED o1", "UPDATED o3"].contains(line);
        let rest: Vec<&str> = expected[place + 1..].iter().copied().filter(gone).collect();
        again.has(&rest).await;
        let cursors: Vec<Cursor> = had.iter().map(|(_, cursor)| *cursor).collect();
        let again: Vec<Cursor> = again.lines.borrow().iter().map(|(_, c)| *c).collect();
        assert!(
            again.iter().all(|cursor| cursors.contains(cursor)),
            "the same for everybody"
        );
    }
}

#[actix::test]
async fn a_row_that_several_changes_of_a_transaction_move_is_reported_with_the_first() {
    let world = World::create().await;
    for n in 1..=3 {
        world.order(n, Some("s")).await;
    }
    let live = world.live(options());
    let local = live.local();
    let filter = json!({ "node": { "shop": { "orders_some": { "n_gt": 1 } } } });
    let interest = world.interest_with_leaves(ORDERS, &filter);
    let begins = beginning(&world, &local).await;
    let (first, _ticket) = from(&local, &interest, Some(begins));
    for (sql, moved) in [
        (
            "begin; update \"Order\" set n = 0 where id = 'o2'; update \"Order\" set n = 0 where id = 'o3'; commit",
            &["left o1 o2", "left o3"][..],
        ),
        (
            "begin; update \"Order\" set n = 2 where id = 'o2'; update \"Order\" set n = 2 where id = 'o3'; commit",
            &["UPDATED o1", "UPDATED o2", "UPDATED o3"],
        ),
    ] {
        let had = first.lines().len();
        world.client.batch_execute(sql).await.unwrap();
        eventually("the moves", async || {
            first.lines().len() >= had + moved.len()
        })
        .await;
        assert_eq!(first.lines()[had..], *moved);
        let lines = first.lines.borrow().clone();
        for (place, (_, cursor)) in lines.iter().enumerate().skip(had) {
            let (again, _ticket) = from(&local, &interest, Some(*cursor));
            eventually("it has joined", async || live.arriving() == 0).await;
            let rest: Vec<&str> = moved[place + 1 - had..].to_vec();
            again.has(&rest).await;
        }
    }
}

#[actix::test]
async fn a_row_that_loses_the_value_by_which_it_is_found_leaves() {
    let world = World::create().await;
    let live = world.live(options());
    let local = live.local();
    let interest = world.interest_with_leaves(ORDERS, &json!({ "node": { "n": 5 } }));
    let begins = beginning(&world, &local).await;
    let (inbox, _ticket) = from(&local, &interest, Some(begins));
    world.order(4, None).await;
    world.order(5, None).await;
    inbox.has(&["CREATED o5"]).await;
    world
        .client
        .batch_execute("update \"Order\" set n = n + 1")
        .await
        .unwrap();
    eventually("both moves", async || inbox.lines().len() >= 3).await;
    let mut moves = inbox.lines().split_off(1);
    moves.sort();
    assert_eq!(moves, ["UPDATED o4", "left o5"]);
}

#[actix::test]
async fn deletions_are_leaves_where_the_subscription_admits_none() {
    let world = World::create().await;
    let live = world.live(options());
    let local = live.local();
    let filter = json!({ "mutation_in": ["CREATED"], "node": { "n_gt": 0 } });
    let interest = world.interest_with_leaves(ORDERS, &filter);
    let begins = beginning(&world, &local).await;
    let (inbox, _ticket) = from(&local, &interest, Some(begins));
    world.order(1, None).await;
    inbox.has(&["CREATED o1"]).await;
    world
        .client
        .batch_execute("update \"Order\" set n = 2; delete from \"Order\"")
        .await
        .unwrap();
    inbox.has(&["CREATED o1", "left o1"]).await;
}

#[actix::test]
async fn a_change_that_moves_too_many_rows_ends_the_subscription_with_a_resync() {
    let world = World::create().await;
    world
        .client
        .batch_execute(
            "insert into \"Order\" (id, n, shop) select 'm' || n, n, 's' from generate_series(1, 1001) n",
        )
        .await
        .unwrap();
    let live = world.live(options());
    let local = live.local();
    let filter = json!({ "node": { "shop": { "name": "Tacos" } } });
    let interest = world.interest_with_leaves(ORDERS, &filter);
    let begins = beginning(&world, &local).await;
    let (inbox, _ticket) = from(&local, &interest, Some(begins));
    world
        .client
        .batch_execute("update \"Shop\" set name = 'Closed' where id = 's'")
        .await
        .unwrap();
    eventually("the end", async || inbox.ended.borrow().is_some()).await;
    assert_eq!(*inbox.ended.borrow(), Some(LiveError::TooManyMoved));
    assert!(inbox.lines().is_empty());
}
