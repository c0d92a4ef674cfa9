//! The slow lane: what it charges, what equal groups share, and how fast it reads.

use tokio::time::Instant;

use super::super::super::behind::{Behind, Lane};
use super::super::super::catch_up::Step;
use super::*;

#[actix::test]
async fn what_costs_too_much_is_penalized_once_also_if_it_comes_to_the_slow_lane_late() {
    let world = World::new().await;
    let state = world.stamped().await;
    let (core, now) = (world.core(), Instant::now());
    let costly = |name: &str| {
        let owner = Owner::User(name.into());
        // Decided three seconds ago, beside many others.
        let until = core.budgets.penalize(&owner, now - Duration::from_secs(3));
        assert!(until < now);
        (owner, until)
    };
    let (owner, until) = costly("a");
    let (member, interest) = (Member { worker: 0, slot: 1 }, world.interest.clone());
    let id = core
        .groups
        .borrow_mut()
        .add_detached(member, interest, &owner, Presence::new());
    core.detach(id, state.epoch, until);
    assert!(core.groups.borrow().get(id).is_some(), "it is still there");
    assert_eq!(
        core.budgets.penalized_until(&owner, Instant::now()),
        None,
        "of the hub"
    );
    let (owner, until) = costly("b");
    let member = Member { worker: 0, slot: 2 };
    core.arriving.borrow_mut().insert(member);
    let (interest, presence) = (world.interest.clone(), Presence::new());
    let at = Progress {
        epoch: state.epoch,
        place: core.place.get(),
        counted: (0, 0),
        after: None,
    };
    core.go_slow(
        Arriving {
            member,
            owner: owner.clone(),
            interest,
            presence,
        },
        at,
        until,
    );
    assert_eq!(
        core.budgets.penalized_until(&owner, Instant::now()),
        None,
        "of who arrives"
    );
}

#[actix::test]
async fn who_has_read_half_of_a_large_transaction_gets_nothing_of_it_twice_in_the_slow_lane() {
    let world = World::new().await;
    world
        .run(r#"insert into "Fan" select i::text from generate_series(1, 5500) i"#)
        .await;
    let logged = world.stamped().await;
    let arriving = world.member(0, Rc::new(Shut::default()));
    let from = World::cursor(logged, 9);
    let way = world.alone(arriving, from);
    let read = way
        .read(Progress::from(from), Place::after(logged.position))
        .await
        .unwrap();
    let Step::Events {
        events,
        next,
        counted,
        last,
        ..
    } = read
    else {
        panic!("it has events")
    };
    let next = Progress {
        place: next,
        counted,
        after: last,
        ..Progress::from(from)
    };
    assert_eq!(
        (events.len(), next.place.is_whole()),
        (4_990, false),
        "the rest of a page"
    );
    // One of the same user's, a little further behind: they share a place.
    let place = |at| {
        Behind::new(
            if at == 0 { 0 } else { 1 },
            world.interest.clone(),
            match at {
                0 => next,
                _ => Progress::from(World::cursor(logged, 4)),
            },
            Instant::now(),
        )
    };
    let mut lane = Lane::default();
    lane.put(place(0));
    lane.put(place(1));
    assert_eq!(lane.len(), 1);
    let parts: HashMap<_, _> = lane.take().unwrap().parts(events).into_iter().collect();
    assert_eq!(
        (parts[&0].len(), parts[&1].len()),
        (0, 4_990),
        "the one in front has had them"
    );
}

#[actix::test]
async fn the_slow_lane_reads_no_faster_than_the_quickest_client_of_any_worker_and_of_equal_groups()
{
    const CHANGES: u32 = 2_000;
    let world = World::new().await;
    let insert =
        format!(r#"insert into "Fan" select i::text from generate_series(1, {CHANGES}) i"#);
    world.run(&insert).await;
    let logged = world.stamped().await;
    let core = world.core();
    core.move_to(logged.epoch, Place::after(logged.position));
    let sinks: Vec<Rc<Shut>> = (0..3).map(|_| Rc::default()).collect();
    // Two are at the same place, each on a worker of its own; one has come further.
    for (worker, (sink, from)) in (0_u64..).zip(sinks.iter().zip([9, 9, 49])) {
        let arriving = world.member(worker, Rc::clone(sink) as Rc<dyn Sink>);
        let far = Instant::now() + Duration::from_secs(3_600);
        core.go_slow(arriving, Progress::from(World::cursor(logged, from)), far);
    }
    let hub = world.other.get().unwrap().downgrade();
    let rounds = async || {
        for _ in 0..40 {
            core.slow.round(core, &hub).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let got = || {
        sinks
            .iter()
            .map(|sink| sink.parts.borrow().clone())
            .collect::<Vec<_>>()
    };
    let one_each = [[10], [10], [50]];
    gom_test_support::eventually("the first event of each", async || {
        rounds().await;
        got() == one_each
    })
    .await;
    rounds().await;
    assert_eq!(got(), one_each, "nobody has read it");
    sinks[1].open();
    let all = |from: u32| (from..CHANGES).collect::<Vec<_>>();
    gom_test_support::eventually("all of its events", async || {
        rounds().await;
        *sinks[1].parts.borrow() == all(10)
    })
    .await;
    assert_eq!(
        sinks[0].parts.borrow().len(),
        1,
        "another does not wait for this one"
    );
    sinks.iter().for_each(|sink| sink.open());
    gom_test_support::eventually("those of the others", async || {
        *sinks[0].parts.borrow() == all(10) && *sinks[2].parts.borrow() == all(50)
    })
    .await;
}
