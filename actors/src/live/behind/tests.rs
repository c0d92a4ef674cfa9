//! Places in the slow lane: what they share, when they are one, and how they pause.

use bytes::Bytes;
use gom_engine::datamodel::parse;
use gom_engine::plan::{PageLimits, Planner};
use gom_engine::request::{RequestLimits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};

use super::super::groups::{Member, Presence};
use super::*;
use gom_runtime::owner::Owner;

struct World {
    groups: RefCell<Groups>,
    interests: [Interest; 2],
}

impl World {
    fn new() -> World {
        let model = parse("datamodel.prisma", "type Fan { id: ID! @id name: String }").unwrap();
        let schema = Arc::new(generate(&model, SchemaOptions::default()));
        let physical = Physical::new(model, &PhysicalOptions::in_schema("s"));
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let served = Served::new(&schema).unwrap();
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
        let interests = ["id", "name"].map(|field| {
            let text = format!("subscription {{ fan {{ node {{ {field} }} }} }}");
            let prepared = requests
                .prepare(&text, None, &RequestLimits::UNLIMITED)
                .unwrap();
            let variables = requests
                .coerce(&prepared.operation, &serde_json::Map::new())
                .unwrap();
            let fans = planner
                .subscription(&prepared, variables, PageLimits::default(), None)
                .unwrap();
            Interest::Events(Arc::new(fans))
        });
        World {
            groups: RefCell::default(),
            interests,
        }
    }

    /// A group with one member that has had everything up to a position.
    fn behind(&self, interest: usize, slot: u64, position: u64) -> (Behind, Presence) {
        let (interest, presence) = (self.interests[interest].clone(), Presence::new());
        let (member, owner) = (Member { worker: 0, slot }, Owner::User("a".into()));
        let id = self.groups.borrow_mut().add_detached(
            member,
            interest.clone(),
            &owner,
            presence.clone(),
        );
        let at = Progress {
            epoch: 1,
            place: Place::after(position),
            counted: (0, 0),
            after: None,
        };
        (Behind::new(id, interest, at, Instant::now()), presence)
    }
}

fn events(positions: std::ops::RangeInclusive<u64>) -> Vec<Delivered> {
    let cursor = |position| Cursor::after_change(1, position, 0);
    positions
        .map(|at| Delivered {
            payload: Bytes::new(),
            cursor: cursor(at),
        })
        .collect()
}

#[test]
fn equal_groups_are_read_for_from_where_one_is_furthest_behind_and_get_each_event_once() {
    let (world, mut lane) = (World::new(), Lane::default());
    let places = [10, 4, 7].map(|position| world.behind(0, position, position));
    let ids = [&places[0], &places[1], &places[2]].map(|(behind, _)| behind.id);
    places.into_iter().for_each(|(behind, _)| lane.put(behind));
    let (other, _) = world.behind(1, 11, 4);
    lane.put(other);
    assert_eq!(lane.len(), 2, "another subscription has a place of its own");
    let mut shared = lane.take().unwrap();
    assert!(shared.settle(&world.groups));
    assert_eq!((shared.id, shared.at.place), (ids[1], Place::after(4)));
    let counts = |parts: Vec<(GroupId, Vec<Delivered>)>| {
        ids.map(|id| {
            parts
                .iter()
                .find(|(one, _)| *one == id)
                .map(|(_, events)| events.len())
        })
    };
    assert_eq!(
        counts(shared.parts(events(5..=12))),
        [Some(2), Some(8), Some(5)]
    );
    shared.at.place = Place::after(7);
    assert!(shared.settle(&world.groups) && !shared.is_together());
    assert_eq!(
        counts(shared.parts(events(8..=12))),
        [Some(2), Some(5), None],
        "two are one"
    );
    shared.at.place = Place::after(12);
    assert!(shared.settle(&world.groups) && shared.is_together());
    assert_eq!(world.groups.borrow().members_of(shared.id).count(), 3);
}

#[test]
fn when_the_last_one_leaves_its_place_is_the_next_one_s() {
    let (world, mut lane) = (World::new(), Lane::default());
    let (front, of_front) = world.behind(0, 1, 10);
    let (back, of_back) = world.behind(0, 2, 4);
    let id = front.id;
    lane.put(front);
    lane.put(back);
    let mut shared = lane.take().unwrap();
    of_back.leave();
    assert!(shared.settle(&world.groups));
    assert_eq!(
        (shared.id, shared.at.after),
        (id, Some(Cursor::after(1, 10))),
        "it gets nothing twice"
    );
    of_front.leave();
    assert!(!shared.settle(&world.groups), "nobody is left");
}

#[test]
fn a_group_that_has_caught_up_does_not_go_back_and_is_shared_with_when_others_have_too() {
    let (world, mut lane) = (World::new(), Lane::default());
    let (mut level, _) = world.behind(0, 1, 10);
    level.has_caught_up = true;
    let (afar, _) = world.behind(0, 2, 4);
    lane.put(level);
    lane.put(afar);
    assert_eq!(lane.len(), 2);
    let (level, mut afar) = (lane.take().unwrap(), lane.take().unwrap());
    assert_eq!(
        (level.at.place, afar.at.place),
        (Place::after(10), Place::after(4))
    );
    lane.put(level);
    (afar.at.place, afar.has_caught_up) = (Place::after(12), true);
    lane.put(afar);
    assert_eq!(lane.len(), 1);
}

#[test]
fn places_of_two_logs_at_one_position_are_not_shared() {
    let (world, mut lane) = (World::new(), Lane::default());
    for (slot, nonce) in [(1, 7), (2, 8), (3, 7)] {
        let (mut behind, _) = world.behind(0, slot, 10);
        behind.at.place = behind.at.place.with(nonce);
        lane.put(behind);
    }
    // Each proves its own: the one that is lost is ended by itself, and not kept waiting for the other.
    assert_eq!(lane.len(), 2);
}

#[test]
fn a_change_that_cannot_be_decided_is_retried_after_longer_and_longer_pauses() {
    let world = World::new();
    let (mut behind, _) = world.behind(0, 1, 1);
    let now = Instant::now();
    for expected in [1, 2, 4, 8, 16, 16] {
        behind.postpone(Duration::from_secs(1), now);
        assert_eq!(
            behind.stuck.unwrap().again - now,
            Duration::from_secs(expected)
        );
    }
}
