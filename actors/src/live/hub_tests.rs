//! What the hub does when the log is trimmed, or is another, beneath it. Here because only here it can be held between two steps.

use std::sync::Arc;

use bytes::Bytes;
use gom_engine::datamodel::parse;
use gom_engine::plan::PageLimits;
use gom_engine::request::{Limits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use gom_test_support::TestDatabase;
use tokio_postgres::Client;

use std::cell::OnceCell;

use futures::FutureExt;

use super::super::Furthest;
use super::super::behind::Lane;
use super::super::catch_up::{CatchUp, Step};
use super::super::join::{Join, Joined};
use super::super::local::{Room, Sink};
use super::super::sinks::Sinks;
use super::*;
use crate::database::DatabaseOptions;
use crate::migrations::{Deployment, apply};
use gom_runtime::supervision::{Supervised, supervise};
use gom_telemetry::health::HealthReporter;
use gom_telemetry::metrics::Moment;

#[path = "hub_tests/another_log.rs"]
mod another_log;

const SCHEMA: &str = "default$default";
const MODEL: &str = "type Fan { id: ID! @id }";

struct World {
    hub: Hub,
    /// Another one, which knows nobody.
    other: Supervised<Hub>,
    outlets: RefCell<Vec<Supervised<LocalHub>>>,
    interest: Interest,
    client: Client,
    _database: TestDatabase,
}

impl World {
    async fn new() -> World {
        let test = TestDatabase::create().await;
        let model = parse("datamodel.prisma", MODEL).unwrap();
        let mut client = test.connect().await;
        let deployment = Deployment::new(&model, MODEL, SCHEMA);
        apply(&mut client, &deployment, &|_| {}).await.unwrap();
        client
            .batch_execute(&format!("set search_path = \"{SCHEMA}\""))
            .await
            .unwrap();
        let schema = Arc::new(generate(&model, SchemaOptions::default()));
        let physical = Physical::new(model, &PhysicalOptions::in_schema(SCHEMA));
        let mut options = DatabaseOptions::new(test.config());
        options.workers = 1;
        let database = Database::start(options).unwrap();
        let options = LiveOptions {
            schema: SCHEMA.to_owned(),
            poll: Duration::from_secs(1),
            keep_for: Duration::from_secs(3_600),
            keep: 1_000,
            user_budget: Duration::from_secs(1),
            max_lag: Duration::from_secs(60),
            redis: None,
        };
        let shared = || {
            Arc::new(Shared {
                head: tokio::sync::watch::Sender::new(None),
                members: 0.into(),
                arriving: 0.into(),
                furthest: Furthest::default(),
                waking: false.into(),
                level_is_wanted: false.into(),
                announce: tokio::sync::Notify::new(),
                elsewhere: std::sync::OnceLock::new(),
                reporter: HealthReporter::new(),
                looked: Moment::default(),
                behind: Moment::default(),
            })
        };
        let encode: Arc<Encode> = Arc::new(|_, _, _| Bytes::new());
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let served = Served::new(&schema).unwrap();
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
        let text = "subscription { fan { node { id } } }";
        let prepared = requests.prepare(text, None, &Limits::UNLIMITED).unwrap();
        let variables = requests
            .coerce(&prepared.operation, &serde_json::Map::new())
            .unwrap();
        let fans = planner
            .subscription(&prepared, variables, PageLimits::default(), None)
            .unwrap();
        let make = move || Hub::new(&options, &database, &planner, &encode, shared());
        let hub = make();
        let other = supervise(16, make);
        let interest = Interest::Events(Arc::new(fans));
        let world = World {
            hub,
            other,
            outlets: RefCell::default(),
            interest,
            client,
            _database: test,
        };
        world.hub.core.known_epoch().await.unwrap();
        let (member, interest) = (Member { worker: 0, slot: 0 }, world.interest.clone());
        world
            .core()
            .groups
            .borrow_mut()
            .add(member, interest, &Owner::Service, Presence::new());
        world
    }

    fn core(&self) -> &Rc<Core> {
        &self.hub.core
    }

    /// A member of a worker, with what its events go to.
    fn member(&self, worker: u64, sink: Rc<dyn Sink>) -> Arriving {
        let (sinks, owner) = (
            Rc::new(Sinks::new(gom_runtime::waiting::Waiting::unbounded())),
            Owner::Service,
        );
        let member = Member {
            worker,
            slot: sinks.enter(sink, &owner),
        };
        let outlet = supervise(64, move || LocalHub {
            sinks: Rc::clone(&sinks),
        });
        self.core()
            .workers
            .borrow_mut()
            .insert(worker, outlet.get().unwrap());
        self.outlets.borrow_mut().push(outlet);
        self.core().arriving.borrow_mut().insert(member);
        Arriving {
            member,
            owner,
            interest: self.interest.clone(),
            presence: Presence::new(),
        }
    }

    /// Of one who has had everything up to the cursor of a change.
    fn cursor(state: LogState, part: u32) -> Cursor {
        Cursor {
            epoch: state.epoch,
            position: state.position,
            part,
        }
    }

    /// Whether the subscriber is still served; if not, it was told to read again.
    fn is_served(&self) -> bool {
        !self.core().groups.borrow().is_idle()
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Where the log stands once all is stamped.
    async fn stamped(&self) -> LogState {
        self.core().decider.log.stamp().await.unwrap();
        self.core().decider.log.state().await.unwrap()
    }
}

#[actix::test]
async fn a_last_page_that_was_trimmed_beneath_the_hub_is_a_restart() {
    let world = World::new().await;
    for i in 0..4 {
        world
            .run(&format!(r#"insert into "Fan" values ('{i}')"#))
            .await;
    }
    let told = world.stamped().await;
    world
        .run("select gom.trim_changes('1 hour', 2, 1000)")
        .await;
    world.core().advance(told).await.unwrap();
    assert!(!world.is_served(), "it has missed two of four");
    assert_eq!(world.core().place.get(), Place::after(told.position));
}

#[actix::test]
async fn a_large_transaction_that_was_trimmed_between_two_pages_is_a_restart() {
    let world = World::new().await;
    world
        .run(r#"insert into "Fan" select i::text from generate_series(1, 5500) i"#)
        .await;
    let told = world.stamped().await;
    let page = world
        .core()
        .decider
        .log
        .read(world.core().place.get(), told.position)
        .await
        .unwrap();
    assert!(!page.next.is_whole(), "it has more than a page");
    world.core().move_to(told.epoch, page.next);
    // Its very first step forgets all of it.
    world.run("select gom.trim_changes('0 s', 1000, 100)").await;
    world.core().advance(told).await.unwrap();
    assert!(!world.is_served(), "the second page is gone");
}

#[actix::test]
async fn what_was_not_forgotten_is_delivered_also_while_the_log_is_trimmed() {
    let world = World::new().await;
    world.run(r#"insert into "Fan" values ('a')"#).await;
    let first = world.stamped().await;
    world.core().advance(first).await.unwrap();
    world
        .run(r#"insert into "Fan" select i::text from generate_series(1, 5500) i"#)
        .await;
    let told = world.stamped().await;
    world
        .run("select gom.trim_changes('1 hour', 5500, 1000)")
        .await;
    world.core().advance(told).await.unwrap();
    assert!(world.is_served());
    assert_eq!(world.core().place.get(), Place::after(told.position));
    assert_eq!(world.core().counted.get(), (told.position, 5_500));
}

#[actix::test]
async fn the_parts_of_a_transaction_are_counted_anew_in_a_new_epoch() {
    let world = World::new().await;
    world.run(r#"insert into "Fan" values ('a'), ('b')"#).await;
    let state = world.stamped().await;
    world.core().advance(state).await.unwrap();
    assert_eq!(world.core().counted.get(), (state.position, 2));
    world
        .core()
        .advance(LogState {
            epoch: state.epoch + 2,
            position: 0,
            oldest: 0,
        })
        .await
        .unwrap();
    assert_eq!(
        world.core().counted.get(),
        (0, 0),
        "the next transaction may have the same position"
    );
}

#[actix::test]
async fn reading_goes_no_further_than_the_log() {
    let world = World::new().await;
    world.run(r#"insert into "Fan" values ('a')"#).await;
    let state = world.stamped().await;
    // The goal of an epoch that is over.
    let page = world
        .core()
        .decider
        .log
        .read(Place::after(0), state.position + 1_000)
        .await
        .unwrap();
    assert_eq!(page.next, Place::after(state.position));
    assert_eq!((page.state, page.pieces.len()), (state, 1));
    let page = world
        .core()
        .decider
        .log
        .read(page.next, state.position + 1_000)
        .await
        .unwrap();
    assert_eq!(
        (page.state, page.pieces.len()),
        (state, 0),
        "the state comes without rows too"
    );
}

#[actix::test]
async fn who_has_read_another_epoch_does_not_join() {
    let world = World::new().await;
    let state = world.stamped().await;
    world.core().advance(state).await.unwrap();
    let member = Member { worker: 0, slot: 1 };
    let place = Place::after(state.position);
    for (epoch, joins) in [(state.epoch + 2, false), (state.epoch, true)] {
        world.core().arriving.borrow_mut().insert(member);
        let (interest, owner, presence) = (world.interest.clone(), Owner::Service, Presence::new());
        let arriving = Arriving {
            member,
            owner,
            interest,
            presence,
        };
        let at = Progress {
            epoch,
            place,
            counted: (0, 0),
            after: None,
        };
        let joined = world.core().join(Join { arriving, at }).await;
        assert_eq!(matches!(joined, Joined::Done), joins, "{joined:?}");
    }
    assert_eq!(
        world.core().place_in(state.epoch + 2),
        None,
        "nor is the hub's place its goal"
    );
}

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
async fn what_the_thread_does_for_others_is_not_charged_to_a_statement() {
    let world = World::new().await;
    let log = &world.core().decider.trusted;
    let statement = gom_engine::plan::Statement {
        sql: "select 1".to_owned(),
        params: Vec::new(),
    };
    log.rows(&statement).await.unwrap();
    let for_others = Duration::from_millis(500);
    let encoding = async {
        std::thread::sleep(for_others);
        world.core().history.thread.add(for_others);
    };
    let ((answer, took), ()) = futures::future::join(log.timed_rows(&statement), encoding).await;
    answer.unwrap();
    assert!(took < for_others, "{took:?}");
    // It is charged with what follows.
    let slow = gom_engine::plan::Statement {
        sql: "select pg_sleep(0.2)".to_owned(),
        params: Vec::new(),
    };
    let (answer, took) = log.timed_rows(&slow).await;
    answer.unwrap();
    assert!(took >= Duration::from_millis(200), "{took:?}");
}

#[actix::test]
async fn who_has_read_half_of_a_large_transaction_gets_nothing_of_it_twice_in_the_slow_lane() {
    let world = World::new().await;
    world
        .run(r#"insert into "Fan" select i::text from generate_series(1, 5500) i"#)
        .await;
    let told = world.stamped().await;
    let arriving = world.member(0, Rc::new(Shut::default()));
    let (from, hub) = (World::cursor(told, 9), world.other.get().unwrap());
    let way = CatchUp {
        core: world.core(),
        hub: &hub,
        arriving: &arriving,
        from,
    };
    let read = way
        .read(Progress::from(from), Place::after(told.position))
        .await
        .unwrap();
    let Step::Events { events, next } = read else {
        panic!("it has events")
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
                _ => Progress::from(World::cursor(told, 4)),
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

/// Takes one event, and no more before it is opened.
#[derive(Default)]
struct Shut {
    parts: RefCell<Vec<u32>>,
    noted: Cell<Option<Cursor>>,
    opened: Cell<bool>,
    opening: Rc<tokio::sync::Notify>,
}

impl Shut {
    fn open(&self) {
        self.opened.set(true);
        self.opening.notify_waiters();
    }
}

impl Sink for Shut {
    fn noted(&self, after: Cursor) {
        self.noted.set(Some(after));
    }

    fn event(&self, event: &Delivered) {
        self.parts.borrow_mut().push(event.cursor.part);
    }

    fn ended(&self, reason: LiveError) {
        panic!("{reason}");
    }

    fn room(&self) -> Option<Room> {
        let opening = Rc::clone(&self.opening);
        let is_full = !self.opened.get() && !self.parts.borrow().is_empty();
        is_full.then(|| async move { opening.notified().await }.boxed_local())
    }
}

#[actix::test]
async fn the_slow_lane_reads_no_faster_than_the_quickest_client_of_any_worker_and_of_equal_groups()
{
    const CHANGES: u32 = 2_000;
    let world = World::new().await;
    let insert =
        format!(r#"insert into "Fan" select i::text from generate_series(1, {CHANGES}) i"#);
    world.run(&insert).await;
    let told = world.stamped().await;
    let core = world.core();
    core.move_to(told.epoch, Place::after(told.position));
    let sinks: Vec<Rc<Shut>> = (0..3).map(|_| Rc::default()).collect();
    // Two are at the same place, each on a worker of its own; one has come further.
    for (worker, (sink, from)) in (0_u64..).zip(sinks.iter().zip([9, 9, 49])) {
        let arriving = world.member(worker, Rc::clone(sink) as Rc<dyn Sink>);
        let far = Instant::now() + Duration::from_secs(3_600);
        core.go_slow(arriving, Progress::from(World::cursor(told, from)), far);
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
    let hub = world.other.get().unwrap();
    CatchUp {
        core,
        hub: &hub,
        arriving: &arriving,
        from,
    }
    .go()
    .await
    .unwrap();
    assert_eq!(sink.got.get(), 1 + MORE);
}

#[actix::test]
async fn who_subscribes_in_the_middle_of_a_large_transaction_misses_nothing_of_it() {
    let world = World::new().await;
    world
        .run(r#"insert into "Fan" select i::text from generate_series(1, 5500) i"#)
        .await;
    let told = world.stamped().await;
    let core = world.core();
    // The database went away when half of it was delivered.
    let page = core
        .decider
        .log
        .read(core.place.get(), told.position)
        .await
        .unwrap();
    core.move_to(told.epoch, page.next);
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
    let catching_up = Rc::clone(core)
        .subscribe(subscribe, world.other.get().unwrap())
        .await;
    catching_up.expect("it reads by itself").await;
    let noted = sink.noted.get().unwrap();
    assert_eq!(noted, Cursor::after(told.epoch, told.position - 1));
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
    let told = world.stamped().await;
    let (core, hub) = (world.core(), world.other.get().unwrap());
    let page = core
        .decider
        .log
        .read(core.place.get(), told.position)
        .await
        .unwrap();
    assert!(!page.next.is_whole(), "it has more than a page");
    core.move_to(told.epoch, page.next);
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
        let way = Rc::clone(core).subscribe(subscribe, hub.clone()).await;
        assert_eq!((way.is_some(), core.is_arriving(member)), (reads, reads));
    }
}
