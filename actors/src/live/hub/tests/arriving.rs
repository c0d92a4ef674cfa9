//! Members on their way to the hub, while it goes on or stands in the middle of a transaction.

use std::cell::OnceCell;

use gom_test_support::eventually;

use super::super::super::catch_up::Way;
use super::*;

/// While it is given an event, the hub goes on.
struct Late {
    core: Rc<Core>,
    to: OnceCell<(u64, Place)>,
    got: Cell<usize>,
}

impl Sink for Late {
    fn event(&self, _: &Delivered) {
        self.got.set(self.got.get() + 1);
        if let Some((epoch, place)) = self.to.get() {
            self.core.move_to(*epoch, *place);
        }
    }

    fn ended(&self, reason: LiveError) {
        panic!("{reason}");
    }
}

#[actix::test]
async fn who_was_slow_to_read_goes_on_alone_where_the_hub_has_gone_on_far_meanwhile() {
    const MORE: usize = 1_200;
    let world = World::new().await;
    let before = world.stamped().await;
    world.run(r#"insert into "Fan" values ('a')"#).await;
    let first = world.stamped().await;
    let loops = format!(
        r#"do $$ begin for i in 1..{MORE} loop insert into "Fan" values (i::text); commit; end loop; end $$"#
    );
    world.run(&loops).await;
    let last = world.stamped().await;
    let core = world.core();
    core.move_to(first.epoch, Place::after(first.position));
    let to = OnceCell::from((last.epoch, Place::after(last.position)));
    let sink = Rc::new(Late {
        core: Rc::clone(core),
        to,
        got: Cell::new(0),
    });
    let arriving = world.member(0, Rc::clone(&sink) as Rc<dyn Sink>);
    let from = Cursor::after(before.epoch, before.position);
    // It would read the rest for it, while all others wait; this one has it that there is none.
    let mut way = world.alone(arriving, from);
    way.go(Way::Again).await.unwrap();
    assert_eq!(sink.got.get(), 1 + MORE);
}

#[actix::test]
async fn who_subscribes_in_the_middle_of_a_large_transaction_misses_nothing_of_it() {
    let world = World::new().await;
    let before = world.stamped().await;
    world
        .run(r#"insert into "Fan" select i::text from generate_series(1, 5500) i"#)
        .await;
    let logged = world.stamped().await;
    let core = world.core();
    // The database went away when half of it was delivered.
    let page = core
        .decider
        .log
        .read(core.place.get(), logged.position)
        .await
        .unwrap();
    core.move_to(logged.epoch, page.next);
    let sink = Rc::new(Shut::default());
    sink.open();
    let Arriving {
        member,
        owner,
        interest,
        presence,
    } = world.member(0, Rc::clone(&sink) as Rc<dyn Sink>);
    let outlet = core.workers.borrow()[&0].clone();
    let subscribe = Subscribe {
        member,
        outlet,
        owner,
        interest,
        from: None,
        presence,
    };
    Rc::clone(core)
        .subscribe(subscribe, world.other.get().unwrap())
        .await;
    eventually("all that it reads by itself", async || {
        sink.parts.borrow().len() >= 5_000
    })
    .await;
    let noted = sink.noted.get().unwrap();
    assert_eq!(noted, before.head().cursor(before.epoch));
    assert_eq!(
        *sink.parts.borrow(),
        (0..5_000).collect::<Vec<_>>(),
        "up to where the hub is"
    );
}

#[actix::test]
async fn half_way_through_a_transaction_a_live_query_joins_at_once_and_a_subscription_reads_it_first()
 {
    let world = World::new().await;
    world
        .run(r#"insert into "Fan" select i::text from generate_series(1, 5500) i"#)
        .await;
    let logged = world.stamped().await;
    let (core, hub) = (world.core(), world.other.get().unwrap());
    let page = core
        .decider
        .log
        .read(core.place.get(), logged.position)
        .await
        .unwrap();
    assert!(!page.next.is_whole(), "it has more than a page");
    core.move_to(logged.epoch, page.next);
    for (worker, interest, reads) in [
        (1, Interest::Touch([].into()), false),
        (2, world.interest.clone(), true),
    ] {
        let Arriving {
            member,
            owner,
            presence,
            ..
        } = world.member(worker, Rc::new(Shut::default()));
        let outlet = world.outlets.borrow().last().unwrap().get().unwrap();
        let subscribe = Subscribe {
            member,
            outlet,
            owner,
            interest,
            from: None,
            presence,
        };
        Rc::clone(core).subscribe(subscribe, hub.clone()).await;
        assert_eq!(core.is_arriving(member), reads);
    }
}
