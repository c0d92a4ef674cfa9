//! Deletions: the rows that go by cascade, and the rows that forbid it.

use super::Writer;
use super::links::Parent;
use crate::datamodel::{ModelId, RelationId, Side};
use crate::error::{ApiError, ErrorKind};
use crate::plan::program::Expect;
use crate::sql::delete::{self, Cascade};
use crate::sql::{Filter, LinkAt, Param, Register, links, write};

/// Rows that lose the link in their own column, because rows at the end `side` are deleted.
struct UnlinkedRows {
    relation: RelationId,
    side: Side,
    going: Register,
    held: Option<Register>,
}

impl Writer<'_> {
    /// Deletes the rows whose ids a register holds as an array, with all that cascades, unless a
    /// row that stays needs one that goes. The rows are locked, so that no other transaction links
    /// a row to them.
    pub(super) fn delete_nodes(&mut self, model: ModelId, ids: Register) -> Result<(), ApiError> {
        let planner = self.planner;
        let physical = planner.physical();
        let (models, cascades) = self.reach(model);
        let going: Vec<(ModelId, Register)> = if cascades.is_empty() {
            vec![(model, ids)]
        } else {
            let registers: Vec<Register> = models.iter().map(|_| self.register()).collect();
            let statement =
                delete::cascade_ids(physical, model, &Param::Register(ids), &models, &cascades);
            self.run_into(statement, registers.clone(), Expect::Anything);
            models.into_iter().zip(registers).collect()
        };
        if !cascades.is_empty() {
            self.lock_cascade(model, ids, &going, &cascades);
        }
        if self.access.is_limited() {
            self.deleted = Some(model);
            let losers = self.check_unlinked(&going);
            self.check_deleted_writable(model, &going, &cascades);
            // Last: what is stamped may be what decides whose a row is.
            self.stamp_unlinked(losers);
            self.deleted = None;
        }
        self.keep_enclosing(&going);
        for (gone, ids) in &going {
            for (relation, side) in ends_of(planner.model(), *gone) {
                let partner = planner.model().relation(relation).end(side.other());
                if partner.list || !partner.required {
                    continue;
                }
                let partners = going
                    .iter()
                    .find(|(m, _)| *m == partner.model)
                    .map(|(_, r)| Param::Register(*r));
                let going = Param::Register(*ids);
                let statement =
                    delete::required_by(physical, relation, side, &going, partners.as_ref());
                self.run(
                    statement,
                    Expect::None(Box::new(self.required_violation(relation))),
                );
            }
        }
        // Partners first: a foreign key would cut each link before its row goes as well.
        for (gone, ids) in going.into_iter().rev() {
            let definition = planner.model().model(gone);
            let ids = Param::Register(ids);
            for field in definition
                .field_ids()
                .filter(|f| definition.field(*f).is_scalar_list())
            {
                let rows = Filter::IdIn(ids.clone());
                self.run(
                    write::clear_list(physical, gone, field, &rows),
                    Expect::Anything,
                );
            }
            self.run(delete::delete_rows(physical, gone, &ids), Expect::Anything);
        }
        Ok(())
    }

    /// No write deletes a row in whose data it stands: nothing could be written into that row any
    /// more, nor could the mutation answer with it.
    fn keep_enclosing(&mut self, going: &[(ModelId, Register)]) {
        let enclosing = self.enclosing.clone();
        for Parent { model, id, .. } in enclosing {
            let Some((_, ids)) = going.iter().find(|(gone, _)| *gone == model) else {
                continue;
            };
            let name = self.planner.model_name(model);
            let message = format!(
                "The write would delete the {name} in whose data it stands; nothing was written. Delete it by a mutation of its own."
            );
            let statement =
                delete::is_going(self.planner.physical(), model, &id, &Param::Register(*ids));
            self.run(
                statement,
                Expect::None(Box::new(ApiError::new(ErrorKind::Execution, message))),
            );
        }
    }

    /// All deleted rows must be writable for the viewer now that they are locked. The requested
    /// rows have been found by their rule; but what decides it may have changed, if it stands in
    /// other rows.
    fn check_deleted_writable(
        &mut self,
        root: ModelId,
        going: &[(ModelId, Register)],
        cascades: &[Cascade],
    ) {
        for (gone, ids) in going {
            let found = *gone == root && !self.leads_to(root, cascades);
            if !found || self.is_decided_elsewhere(root, self.enclosing.last()) {
                self.check_writable(*gone, &super::rows(*ids));
            }
        }
    }

    /// Whether rows of the model may go along.
    fn leads_to(&self, model: ModelId, cascades: &[Cascade]) -> bool {
        let target = |cascade: &Cascade| {
            self.planner
                .model()
                .relation(cascade.relation)
                .end(cascade.side.other())
                .model
        };
        cascades.iter().any(|cascade| target(cascade) == model)
    }

    /// Locks all that goes along. A row that came before its partner was locked would lose its link
    /// and stay, one that left before it was locked itself would go: the program is repeated, and
    /// finds them where they are.
    fn lock_cascade(
        &mut self,
        root: ModelId,
        ids: Register,
        going: &[(ModelId, Register)],
        cascades: &[Cascade],
    ) {
        let physical = self.planner.physical();
        for (gone, ids) in going {
            if self.leads_to(*gone, cascades) {
                self.run(
                    delete::lock_rows(physical, *gone, &Param::Register(*ids)),
                    Expect::Anything,
                );
            }
        }
        let changed =
            delete::cascade_differs(physical, root, &Param::Register(ids), going, cascades);
        self.run(changed, Expect::NoConflict);
    }

    /// Nothing that the viewer cannot see may lose a link, and no row that the viewer may not write
    /// the link that it holds itself. Gives those that lose the link they hold; they are locked.
    fn check_unlinked(&mut self, going: &[(ModelId, Register)]) -> Vec<UnlinkedRows> {
        let mut losers = Vec::new();
        for (gone, register) in going {
            let ids = Filter::IdIn(Param::Register(*register));
            for (relation, side) in ends_of(self.planner.model(), *gone) {
                let partner = self
                    .planner
                    .model()
                    .relation(relation)
                    .end(side.other())
                    .model;
                let physical = self.planner.physical();
                let (visible, writable) =
                    (self.access.visible(partner), self.access.writable(partner));
                if self.planner.model().relation(relation).end(side).cascade {
                    // They go along.
                    continue;
                }
                let LinkAt::Partner(_) = physical.link_at(relation, side) else {
                    self.check_partners(relation, side, &ids, &visible);
                    self.touch_partners(relation, side, &ids);
                    continue;
                };
                let held = self.lock_link_holders(relation, side, &ids);
                self.check_partners(relation, side, &ids, &writable);
                self.touch_partners(relation, side, &ids);
                losers.push(UnlinkedRows {
                    relation,
                    side,
                    going: *register,
                    held,
                });
            }
        }
        losers
    }

    /// Sets on those that lose a link what every update of the viewer's sets.
    fn stamp_unlinked(&mut self, losers: Vec<UnlinkedRows>) {
        let physical = self.planner.physical();
        for UnlinkedRows {
            relation,
            side,
            going,
            held,
        } in losers
        {
            let LinkAt::Partner(column) = physical.link_at(relation, side) else {
                continue;
            };
            let partner = physical.model.relation(relation).end(side.other()).model;
            let stamps = self.access.stamps_on_update(partner);
            if !stamps.is_empty() {
                let going = Param::Register(going);
                let statement = links::stamp_partners(physical, partner, column, &going, stamps);
                self.run(statement, Expect::Anything);
            }
            if let Some(held) = held {
                self.touch_by_stamps(partner, super::rows(held));
            }
        }
    }

    /// The models and cascades that a deletion may reach.
    fn reach(&self, root: ModelId) -> (Vec<ModelId>, Vec<Cascade>) {
        let model = self.planner.model();
        let (mut models, mut cascades) = (vec![root], Vec::new());
        let mut next = 0;
        while let Some(current) = models.get(next).copied() {
            next += 1;
            for (relation, side) in ends_of(model, current) {
                let ends = model.relation(relation);
                let cascade = Cascade { relation, side };
                if !ends.end(side).cascade || cascades.contains(&cascade) {
                    continue;
                }
                cascades.push(cascade);
                let target = ends.end(side.other()).model;
                if !models.contains(&target) {
                    models.push(target);
                }
            }
        }
        (models, cascades)
    }
}

/// The relation ends at which a model stands.
fn ends_of(
    model: &crate::datamodel::DataModel,
    id: ModelId,
) -> impl Iterator<Item = (RelationId, Side)> + use<'_> {
    model
        .relations
        .iter()
        .enumerate()
        .flat_map(move |(i, relation)| {
            [Side::A, Side::B]
                .into_iter()
                .filter(move |side| relation.end(*side).model == id)
                .map(move |side| (RelationId(i), side))
        })
}
