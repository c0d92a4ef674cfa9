//! Groups against a look at every subscriber, with random subscribers and changes.

use std::collections::BTreeSet;

use gom_engine::datamodel::FieldId;
use gom_test_support::dice::Dice;

use super::*;

fn watched(dice: &mut Dice) -> Watched {
    let field = FieldId(dice.below(2));
    let path = if dice.below(2) == 0 {
        Path::column(field)
    } else {
        Path::linked(field, FieldId(0))
    };
    let lead = if dice.below(4) > 0 {
        Lead::Value(SubscriptionKey {
            path,
            value: dice.below(3).to_string(),
        })
    } else {
        Lead::All
    };
    Watched {
        model: ModelId(dice.below(2)),
        lead,
    }
}

#[test]
fn the_index_finds_exactly_whom_a_look_at_everybody_finds() {
    let mut dice = Dice::new(1);
    let mut groups = Groups::default();
    let mut everybody: HashMap<Member, Arc<[Watched]>> = HashMap::new();
    for step in 0..4_000 {
        let member = Member {
            worker: dice.below(3) as u64,
            slot: dice.below(40) as u64,
        };
        if everybody.remove(&member).is_some() {
            assert!(groups.remove(member));
        } else {
            assert!(!groups.remove(member));
            let interest: Arc<[Watched]> =
                (0..=dice.below(2)).map(|_| watched(&mut dice)).collect();
            let touch = Interest::Touch(Arc::clone(&interest));
            if dice.below(2) == 0 {
                groups.add(member, touch, &Owner::Service, Presence::new());
            } else {
                let id = groups.add_detached(member, touch, &Owner::Service, Presence::new());
                assert!(groups.of_all(ModelId(0)).iter().all(|one| *one != id));
                groups.attach(id);
            }
            if dice.below(3) == 0 {
                let id = groups.of_member[&member].0;
                groups.detach(id);
                assert!(!groups.of_model(ModelId(0)).contains(&id) && groups.get(id).is_some());
                groups.attach(id);
            }
            everybody.insert(member, interest);
        }
        // A change of some model, with a value on each path.
        let model = ModelId(dice.below(2));
        let values: HashMap<Path, String> = (0..2)
            .flat_map(|f| {
                [
                    Path::column(FieldId(f)),
                    Path::linked(FieldId(f), FieldId(0)),
                ]
            })
            .map(|path| (path, dice.below(3).to_string()))
            .collect();
        let concerned = |watched: &Watched| {
            watched.model == model
                && match &watched.lead {
                    Lead::Value(key) => values[&key.path] == key.value,
                    _ => true,
                }
        };
        let expected: BTreeSet<(u64, u64)> = everybody
            .iter()
            .filter(|(_, watched)| watched.iter().any(concerned))
            .map(|(member, _)| (member.worker, member.slot))
            .collect();
        let mut ids: BTreeSet<GroupId> = groups.of_all(model).iter().copied().collect();
        for path in groups.paths(model) {
            ids.extend(groups.of_value(model, path, &values[&path]));
        }
        assert!(ids.iter().all(|id| groups.of_model(model).contains(id)));
        let found: BTreeSet<(u64, u64)> = ids
            .iter()
            .flat_map(|id| groups.slots(*id))
            .flat_map(|(worker, slots)| {
                slots
                    .iter()
                    .map(move |slot| (worker, *slot))
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(found, expected, "step {step}");
        assert_eq!(
            groups.concerns(model),
            everybody
                .values()
                .any(|w| w.iter().any(|w| w.model == model))
        );
    }
    let ids: Vec<GroupId> = groups.groups.keys().copied().collect();
    for id in ids {
        for member in groups.dissolve(id) {
            everybody.remove(&member);
        }
    }
    assert!(
        groups.is_idle()
            && everybody.is_empty()
            && groups.index.is_empty()
            && groups.known.is_empty()
    );
    assert!(groups.groups.is_empty() && groups.members() == 0);
}

#[test]
fn a_group_is_wanted_as_long_as_one_of_its_members_is_there() {
    let mut groups = Groups::default();
    let presences = [Presence::new(), Presence::new()];
    let touch = || Interest::Touch([].into());
    let id = groups.add_detached(
        Member { worker: 0, slot: 0 },
        touch(),
        &Owner::Service,
        presences[0].clone(),
    );
    groups.enter(id, Member { worker: 1, slot: 0 }, presences[1].clone());
    assert!(groups.is_wanted(id));
    presences[0].leave();
    assert!(groups.is_wanted(id));
    presences[1].leave();
    assert!(!groups.is_wanted(id), "though nobody has taken it away yet");
    assert_eq!(groups.dissolve(id).len(), 2);
    assert!(!groups.is_wanted(id));
}

#[test]
fn paths_beyond_the_most_are_led_to_by_every_change_and_forgotten_like_others() {
    let mut groups = Groups::default();
    let member = |number: usize| Member {
        worker: 0,
        slot: number as u64,
    };
    let touch = |number: usize| {
        Interest::Touch(
            [Watched {
                model: ModelId(0),
                lead: Lead::Value(SubscriptionKey {
                    path: Path::column(FieldId(number)),
                    value: "x".into(),
                }),
            }]
            .into(),
        )
    };
    for number in 0..MAX_PATHS + 3 {
        groups.add(
            member(number),
            touch(number),
            &Owner::Service,
            Presence::new(),
        );
    }
    assert_eq!(groups.paths(ModelId(0)).len(), MAX_PATHS);
    assert_eq!(groups.of_all(ModelId(0)).len(), 3);
    for number in 0..MAX_PATHS + 3 {
        assert!(groups.remove(member(number)));
    }
    assert!(groups.index.is_empty());
}
