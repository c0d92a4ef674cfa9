//! Writes nested in a node's data. Their order is fixed by kind, over all relation fields together.

use super::links::Parent;
use super::node::given;
use super::{Writer, row, rows};
use crate::datamodel::{FieldId, ModelId};
use crate::error::ApiError;
use crate::plan::context::{display_value, entries, entry, items};
use crate::plan::filter::Unique;
use crate::plan::program::{Expect, register_mark};
use crate::request::Value;
use crate::schema::InputMeaning;
use crate::sql::write::{self, Lock, Returning};
use crate::sql::{Filter, Param, Register};

const KINDS: [InputMeaning; 9] = [
    InputMeaning::Create,
    InputMeaning::Update,
    InputMeaning::Upsert,
    InputMeaning::Delete,
    InputMeaning::Connect,
    InputMeaning::Set,
    InputMeaning::Disconnect,
    InputMeaning::UpdateMany,
    InputMeaning::DeleteMany,
];

impl Writer<'_> {
    /// Carries out what stands under the relation fields of the data, `done` ones left out.
    pub(super) fn nested(
        &mut self,
        model: ModelId,
        id: &Param,
        data: &Value,
        new: bool,
        done: &[FieldId],
    ) -> Result<(), ApiError> {
        let definition = self.planner.model().model(model);
        let mut fields = Vec::new();
        for (meaning, value) in entries(data) {
            if let InputMeaning::Relation(field) = meaning
                && let Some(relation) = definition.field(*field).relation()
                && !done.contains(field)
            {
                fields.push((
                    Parent {
                        model,
                        id: id.clone(),
                        relation,
                        new,
                    },
                    value,
                ));
            }
        }
        if fields.is_empty() {
            return Ok(());
        }
        if !new && self.is_decided_elsewhere(model, self.enclosing.last()) {
            // While the writes below wait for their rows, others may take this one away by what
            // decides whose it is.
            self.touch(model, row(id));
        }
        for kind in KINDS {
            for (parent, value) in &mut fields {
                // The child created beside it is a new parent's first, and must make room like any
                // other.
                if kind == InputMeaning::Connect && given(value, InputMeaning::Create).is_some() {
                    parent.new = false;
                }
                if let Some(given) = entry(value, kind) {
                    self.enclosing.push(parent.clone());
                    self.nested_writes(kind, parent, given)?;
                    self.enclosing.pop();
                }
            }
        }
        Ok(())
    }

    /// All writes of one kind under one relation field.
    fn nested_writes(
        &mut self,
        kind: InputMeaning,
        parent: &Parent,
        given: &Value,
    ) -> Result<(), ApiError> {
        // An empty list is a wish for `set` only.
        if kind == InputMeaning::Set && *given != Value::Null {
            self.check_nested(kind, parent)?;
            return self.set(parent, given);
        }
        let given = items(Some(given));
        if kind == InputMeaning::Connect {
            self.lock_before_connect(parent, given)?;
        }
        given
            .iter()
            .try_for_each(|item| self.nested_write(kind, parent, item))
    }

    fn nested_write(
        &mut self,
        kind: InputMeaning,
        parent: &Parent,
        item: &Value,
    ) -> Result<(), ApiError> {
        // `delete: false` and `disconnect: false` have no effect.
        if matches!(item, Value::Null | Value::Boolean(false)) {
            return Ok(());
        }
        let target = parent.relation.target;
        self.check_nested(kind, parent)?;
        match kind {
            InputMeaning::Create => {
                self.make_room_for_new_child(parent);
                let child = self.create_node(target, item, Some(parent))?;
                self.link_new_child(parent, child);
            }
            InputMeaning::Connect => {
                let child = self.planner.unique(target, item, self.access)?;
                self.connect(parent, &child);
            }
            InputMeaning::Update => self.nested_update(parent, item)?,
            InputMeaning::Upsert => self.nested_upsert(parent, item)?,
            InputMeaning::Delete => {
                let writable = self.access.writable(target);
                let (_, ids) = self.linked_child(parent, item, &writable, Lock::Update)?;
                self.delete_nodes(target, ids)?;
            }
            InputMeaning::Disconnect => self.disconnect(parent, item)?,
            InputMeaning::UpdateMany => {
                let filter =
                    self.planner
                        .filter(target, entry(item, InputMeaning::Where), self.access)?;
                let filter = filter.and(self.access.writable(target));
                self.update_many(
                    target,
                    &filter,
                    Some(parent),
                    entry(item, InputMeaning::Data),
                )?;
            }
            InputMeaning::DeleteMany => {
                let filter = self.planner.filter(target, Some(item), self.access)?;
                let filter = filter.and(self.access.writable(target));
                let ids = self.find_many(target, &filter, Some(parent), Lock::Update);
                let then = self.branch(|w| w.delete_nodes(target, ids))?;
                self.choose(ids, then, None);
            }
            _ => {}
        }
        Ok(())
    }

    /// Locks what the children of a `connect` are taken from.
    fn lock_before_connect(&mut self, parent: &Parent, given: &[Value]) -> Result<(), ApiError> {
        if given.is_empty() || !self.locks_old_parents(parent.model, parent.relation) {
            return Ok(());
        }
        self.check_nested(InputMeaning::Connect, parent)?;
        let named = given.iter().filter(|item| **item != Value::Null);
        let children = named.map(|item| {
            self.planner
                .unique(parent.relation.target, item, self.access)
        });
        let children: Vec<Unique> = children.collect::<Result<_, _>>()?;
        self.lock_old_parents(parent.model, parent.relation, &children);
        Ok(())
    }

    fn set(&mut self, parent: &Parent, value: &Value) -> Result<(), ApiError> {
        let target = parent.relation.target;
        let children: Vec<Unique> = items(Some(value))
            .iter()
            .map(|v| self.planner.unique(target, v, self.access))
            .collect::<Result<_, _>>()?;
        self.replace_links(parent, &children);
        Ok(())
    }

    fn nested_update(&mut self, parent: &Parent, item: &Value) -> Result<(), ApiError> {
        let target = parent.relation.target;
        let (own, _) = self.ends(parent.relation);
        if !own.list {
            let writable = self.access.writable(target);
            let error = self.not_connected(parent, false, None);
            let child = self.only_child(parent, &writable, error, self.lock());
            return self.update_node(target, &Param::Register(child.0), item);
        }
        let given = entry(item, InputMeaning::Where).unwrap_or(&Value::Null);
        let unique = self.planner.unique(target, given, self.access)?;
        let error = self.not_connected(parent, false, Some(&unique));
        let (child, _) = self.child_by(
            parent,
            &unique,
            &self.access.writable(target),
            error,
            self.lock(),
        );
        let data = entry(item, InputMeaning::Data).unwrap_or(&Value::Null);
        self.update_node(target, &child, data)
    }

    fn nested_upsert(&mut self, parent: &Parent, item: &Value) -> Result<(), ApiError> {
        let target = parent.relation.target;
        let (own, _) = self.ends(parent.relation);
        let filter = if own.list {
            let given = entry(item, InputMeaning::Where).unwrap_or(&Value::Null);
            self.planner.unique(target, given, self.access)?.filter()
        } else {
            Filter::TRUE
        };
        let filter = filter.and(self.access.writable(target));
        let child = self.register();
        let (physical, lock) = (self.planner.physical(), self.lock());
        let find =
            |filter: &_| write::find_partner(physical, target, filter, parent.linked(), lock);
        let elsewhere = self.is_decided_elsewhere(target, Some(parent));
        self.find_one(elsewhere, &filter, find, vec![child], Expect::Anything);
        let update = entry(item, InputMeaning::Update).unwrap_or(&Value::Null);
        let create = entry(item, InputMeaning::Create).unwrap_or(&Value::Null);
        let then = self.branch(|w| w.update_node(target, &Param::Register(child), update))?;
        let otherwise = self.branch(|w| w.nested_write(InputMeaning::Create, parent, create))?;
        self.choose(child, then, Some(otherwise));
        Ok(())
    }

    fn disconnect(&mut self, parent: &Parent, item: &Value) -> Result<(), ApiError> {
        let (among, lock) = (
            self.linkable(parent.relation),
            self.lock_to_link(parent.relation),
        );
        let (child, _) = self.linked_child(parent, item, &among, lock)?;
        let (_, back) = self.ends(parent.relation);
        if !back.list && back.required {
            self.fail(self.required_violation(parent.relation.relation));
            return Ok(());
        }
        self.cut_pair(parent, child);
        Ok(())
    }

    /// The child that a delete or disconnect means: by `where` in a list, or the only one (`true`).
    /// Gives its id, and the register with the same as an array. Children that do not satisfy the
    /// filter are out of reach.
    fn linked_child(
        &mut self,
        parent: &Parent,
        item: &Value,
        among: &Filter,
        lock: Lock,
    ) -> Result<(Param, Register), ApiError> {
        let (own, _) = self.ends(parent.relation);
        if own.list {
            let unique = self
                .planner
                .unique(parent.relation.target, item, self.access)?;
            let error = self.not_connected(parent, true, Some(&unique));
            Ok(self.child_by(parent, &unique, among, error, lock))
        } else {
            let error = self.not_connected(parent, true, None);
            let (id, ids) = self.only_child(parent, among, error, lock);
            Ok((Param::Register(id), ids))
        }
    }

    fn only_child(
        &mut self,
        parent: &Parent,
        among: &Filter,
        not_connected: ApiError,
        lock: Lock,
    ) -> (Register, Register) {
        let (id, ids) = (self.register(), self.register());
        let (physical, target) = (self.planner.physical(), parent.relation.target);
        let find =
            |filter: &_| write::find_partner(physical, target, filter, parent.linked(), lock);
        let elsewhere = self.reads_twice(parent, among);
        self.find_one(
            elsewhere,
            among,
            find,
            vec![id, ids],
            Expect::Some(Box::new(not_connected)),
        );
        (id, ids)
    }

    fn child_by(
        &mut self,
        parent: &Parent,
        unique: &Unique,
        among: &Filter,
        not_connected: ApiError,
        lock: Lock,
    ) -> (Param, Register) {
        let (id, ids) = (self.register(), self.register());
        let filter = unique.filter().and(among.clone());
        let (physical, model) = (self.planner.physical(), unique.model);
        let find =
            |filter: &_| write::find_with_link(physical, model, filter, parent.linked(), lock);
        let missing = self.planner.missing(unique, self.access);
        let expect = Expect::Filled(vec![(0, missing), (2, not_connected)]);
        let elsewhere = self.reads_twice(parent, among);
        self.find_one(elsewhere, &filter, find, vec![id, ids], expect);
        (self.named_id(unique).unwrap_or(Param::Register(id)), ids)
    }

    /// Whether other rows than the child and its parent decide which children are among those.
    fn reads_twice(&self, parent: &Parent, among: &Filter) -> bool {
        let target = parent.relation.target;
        self.planner.is_decided_elsewhere(target, among)
            && !self.is_decided_by_locked(target, parent)
    }

    /// 3041
    fn not_connected(
        &self,
        parent: &Parent,
        names_parent: bool,
        child: Option<&Unique>,
    ) -> ApiError {
        let planner = self.planner;
        let relation = &planner.model().relation(parent.relation.relation).name;
        let with =
            |field: &str, value: &str| format!(" with the value '{value}' for the field '{field}'");
        // The parent may have been named by another value than its id.
        let shows_id = self
            .access
            .names(parent.model, planner.model().model(parent.model).id);
        let of_parent = if names_parent && shows_id {
            let id = planner.model().model(parent.model).id_field();
            let value = match &parent.id {
                Param::Text(text) => display_value(id, text),
                Param::Register(register) => register_mark(*register),
                Param::Null => String::new(),
            };
            with(&id.name, &value)
        } else {
            String::new()
        };
        let (of_child, node, path) = match child {
            Some(unique) => {
                let field = planner.model().field(unique.model, unique.field);
                let of_child = with(&field.name, &display_value(field, &unique.text));
                // With both ids, the message does not mention the path.
                if names_parent {
                    (of_child, "node", "")
                } else {
                    (of_child, "Node", PATH)
                }
            }
            None => (
                String::new(),
                if names_parent { "node" } else { "Node" },
                PATH,
            ),
        };
        ApiError::numbered(
            3041,
            format!(
                "The relation {relation} has no node for the model {}{of_parent} connected to a {node} for the model {}{of_child}{path}",
                planner.model_name(parent.model),
                planner.model_name(parent.relation.target),
            ),
        )
    }

    /// Changes all rows that satisfy the filter; gives the register with how many there were, for a
    /// top-level mutation.
    pub(super) fn update_many(
        &mut self,
        model: ModelId,
        filter: &Filter,
        parent: Option<&Parent>,
        data: Option<&Value>,
    ) -> Result<Register, ApiError> {
        let physical = self.planner.physical();
        let linked = parent.map(Parent::linked);
        let empty = Value::Null;
        let data = data.unwrap_or(&empty);
        let values = self.changed_values(model, data)?;
        let sets_lists = entries(data)
            .iter()
            .any(|(m, _)| matches!(m, InputMeaning::ListValue(_)));
        let matters = self.matters(model, &values);
        let elsewhere = self.is_decided_elsewhere(model, parent);
        if !sets_lists && !values.is_empty() && !matters && !elsewhere {
            let count = self.register();
            let statement = write::counted(write::update(
                physical,
                model,
                filter,
                linked,
                &values,
                Returning::Id,
            ));
            self.run_into(statement, vec![count], Expect::Anything);
            return Ok(count);
        }
        // The rows are fixed first: after the columns have changed they might not match any more.
        // Lists of one row that two set at the same time would meet in their positions.
        let lock = if values.is_empty() {
            Lock::Update
        } else {
            self.lock()
        };
        let (ids, count) = self.find_and_count(model, filter, parent, lock);
        if matters {
            self.touch(model, rows(ids));
        }
        let then = self.branch(|w| {
            if !values.is_empty() {
                w.run(
                    write::update(physical, model, &rows(ids), None, &values, Returning::Id),
                    Expect::Anything,
                );
            }
            w.fill_lists(model, &rows(ids), data, true)
        })?;
        self.choose(ids, then, None);
        Ok(count)
    }
}

const PATH: &str = " on your mutation path.";
