//! Nested writes, carried out by kind.

use gom_engine::datamodel::RelationRef;
use serde_json::{Map, Value, json};

use super::{KINDS, OrStop, RowKey, Serial, Stop, given, items};

impl Serial<'_> {
    pub(super) fn nested(&mut self, row: &RowKey, data: &Value) -> OrStop {
        self.enclosing.push(row.clone());
        self.nested_by_kind(row, data)?;
        self.enclosing.pop();
        Ok(())
    }

    fn nested_by_kind(&mut self, row: &RowKey, data: &Value) -> OrStop {
        let empty = Map::new();
        let data = data.as_object().unwrap_or(&empty);
        for kind in KINDS {
            for (name, writes) in data {
                let field = self.world.model.model(row.0).field_named(name).unwrap();
                let Some(relation) = self.world.model.field(row.0, field).relation() else {
                    continue;
                };
                let Some(writes) = given(writes, kind) else {
                    continue;
                };
                if kind == "set" {
                    self.set(row, relation, &items(writes))?;
                    continue;
                }
                for item in items(writes) {
                    self.nested_write(kind, row, relation, item)?;
                }
            }
        }
        Ok(())
    }

    fn nested_write(
        &mut self,
        kind: &str,
        parent: &RowKey,
        relation: RelationRef,
        item: &Value,
    ) -> OrStop {
        let target = relation.target;
        let list = self
            .world
            .model
            .relation(relation.relation)
            .end(relation.side)
            .list;
        if *item == json!(false) {
            return Ok(());
        }
        let part = |name: &str| item.get(name).cloned().unwrap_or_default();
        match kind {
            "create" => {
                self.create(target, item, Some((parent, relation)))?;
            }
            "connect" => {
                let child = self.find_seen(target, item)?;
                self.tie(relation, parent, &child)?;
            }
            "update" if list => {
                let child = self.linked(parent, relation, Some(&part("where")))?;
                self.update(&child, &part("data"))?;
            }
            "update" => {
                let child = self.linked(parent, relation, None)?;
                self.update(&child, item)?;
            }
            "upsert" => {
                let unique = part("where");
                match self.linked(parent, relation, list.then_some(&unique)) {
                    Ok(child) if self.is_own(&child) => self.update(&child, &part("update"))?,
                    Ok(_) => return Err(Stop::Open("another's, so that another is made")),
                    Err(_) => {
                        self.create(target, &part("create"), Some((parent, relation)))?;
                    }
                }
            }
            "delete" => {
                let child = self.linked(parent, relation, list.then_some(item))?;
                self.touch(&child)?;
                self.delete(&[child])?;
            }
            "disconnect" => {
                let child = self.linked(parent, relation, list.then_some(item))?;
                self.cut(relation, parent, &child)?;
            }
            "updateMany" => {
                let children = self.children(parent, relation);
                let rows = self.matching(target, &part("where"), Some(&children))?;
                self.update_columns(&rows, &part("data"))?;
            }
            _ => {
                let children = self.children(parent, relation);
                let rows = self.matching(target, item, Some(&children))?;
                self.delete(&rows)?;
            }
        }
        Ok(())
    }
}
