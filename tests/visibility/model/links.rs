//! Links that a write makes and cuts, and deletions, which cut all that a row has.

use gom_engine::datamodel::{RelationRef, RelationStorage, Side};

use super::{OrStop, RowKey, Serial, Stop};

impl Serial<'_> {
    /// Ties two rows; whatever else stands where there is room for one goes.
    pub(super) fn tie(&mut self, relation: RelationRef, parent: &RowKey, child: &RowKey) -> OrStop {
        let definition = self.world.model.relation(relation.relation).clone();
        let (own, back) = (
            definition.end(relation.side).clone(),
            definition.end(relation.side.other()).clone(),
        );
        if own.required && back.required {
            return Err(Stop::Fails("neither can do without the other"));
        }
        let leads_back = RelationRef {
            relation: relation.relation,
            side: relation.side.other(),
            target: parent.0,
        };
        if !back.list {
            for other in self
                .children(child, leads_back)
                .into_iter()
                .filter(|other| other != parent)
            {
                if own.required {
                    return Err(Stop::Fails("it has a parent that needs it"));
                }
                self.name(child)?;
                self.unlink(relation, &other, child)?;
            }
        }
        if !own.list {
            for other in self
                .children(parent, relation)
                .into_iter()
                .filter(|other| other != child)
            {
                if back.required {
                    return Err(Stop::Fails("there is a child that needs it"));
                }
                self.unlink(relation, parent, &other)?;
            }
        }
        self.write_link(relation, parent, child)?;
        let link = self.link(relation, parent, child);
        let links = &mut self.world.links[relation.relation.0];
        if !links.contains(&link) {
            links.push(link);
        }
        self.sight = None;
        Ok(())
    }

    pub(super) fn cut(&mut self, relation: RelationRef, parent: &RowKey, child: &RowKey) -> OrStop {
        let end = self
            .world
            .model
            .relation(relation.relation)
            .end(relation.side.other());
        if end.required {
            return Err(Stop::Fails("the child needs a parent"));
        }
        self.unlink(relation, parent, child)
    }

    fn unlink(&mut self, relation: RelationRef, parent: &RowKey, child: &RowKey) -> OrStop {
        self.write_link(relation, parent, child)?;
        if !self.is_inline(relation)
            && ![parent, child]
                .iter()
                .any(|row| self.new.contains(*row) || self.is_own(row))
        {
            return Err(Stop::Open("a link of others in a table"));
        }
        let link = self.link(relation, parent, child);
        self.world.links[relation.relation.0].retain(|other| *other != link);
        self.sight = None;
        Ok(())
    }

    fn is_inline(&self, relation: RelationRef) -> bool {
        matches!(
            self.world.model.relation(relation.relation).storage,
            RelationStorage::Inline { .. }
        )
    }

    fn write_link(&mut self, relation: RelationRef, parent: &RowKey, child: &RowKey) -> OrStop {
        let (held_here, held_there) = match self.world.model.relation(relation.relation).storage {
            RelationStorage::Inline { side, .. } => (side == relation.side, side != relation.side),
            RelationStorage::Table { .. } => (false, false),
        };
        for (row, held) in [(parent, held_here), (child, held_there)] {
            if held {
                self.touch(row)?
            } else {
                self.name(row)?
            }
        }
        Ok(())
    }

    fn link(&self, relation: RelationRef, parent: &RowKey, child: &RowKey) -> (usize, usize) {
        let (parent, child) = (self.at(parent).unwrap(), self.at(child).unwrap());
        if relation.side == Side::A {
            (parent, child)
        } else {
            (child, parent)
        }
    }

    // ── Deletions ──

    pub(super) fn delete(&mut self, rows: &[RowKey]) -> OrStop {
        if rows.iter().any(|row| self.enclosing.contains(row)) {
            return Err(Stop::Fails("the write stands in its data"));
        }
        for row in rows {
            for (number, side, partner) in self.links_of(row) {
                let relation = self.world.model.relations[number].clone();
                if relation.a.cascade || relation.b.cascade {
                    return Err(Stop::Open("a cascade"));
                }
                let end = relation.end(side.other());
                if end.required && !end.list && !rows.contains(&partner) {
                    return Err(Stop::Fails("a row needs it"));
                }
                let held_there = matches!(&relation.storage, RelationStorage::Inline { side: at, .. } if *at != side);
                if rows.contains(&partner) {
                    continue;
                }
                if held_there {
                    self.touch(&partner)?
                } else {
                    self.name(&partner)?
                }
            }
        }
        for row in rows {
            let at = self.at(row).unwrap();
            self.world.rows[row.0.0].remove(at);
            for (relation, links) in self.world.model.relations.iter().zip(&mut self.world.links) {
                let (here_a, here_b) = (relation.a.model == row.0, relation.b.model == row.0);
                links.retain(|(a, b)| !(here_a && *a == at || here_b && *b == at));
                for (a, b) in links {
                    *a -= usize::from(here_a && *a > at);
                    *b -= usize::from(here_b && *b > at);
                }
            }
            self.sight = None;
        }
        Ok(())
    }

    /// Relation, the end at which the row stands, and its partner there.
    pub(super) fn links_of(&self, row: &RowKey) -> Vec<(usize, Side, RowKey)> {
        let at = self.at(row).unwrap();
        let mut found = Vec::new();
        for (number, relation) in self.world.model.relations.iter().enumerate() {
            for (a, b) in &self.world.links[number] {
                if relation.a.model == row.0 && *a == at {
                    found.push((number, Side::A, self.key(relation.b.model, *b)));
                }
                if relation.b.model == row.0 && *b == at {
                    found.push((number, Side::B, self.key(relation.a.model, *a)));
                }
            }
        }
        found
    }
}
