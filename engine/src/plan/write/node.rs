//! One node's own values: columns, scalar lists, and the links that are kept in its own row.

use super::links::Parent;
use super::{Writer, row};
use crate::datamodel::{Field, FieldId, FieldKind, IdStrategy, ModelId, RelationRef, ScalarType};
use crate::error::ApiError;
use crate::plan::context::{entries, entry, items};
use crate::plan::filter::unexpected;
use crate::plan::program::Expect;
use crate::plan::rule_inputs::LinkEffect;
use crate::request::Value;
use crate::schema::InputMeaning;
use crate::sql::insert::Insert;
use crate::sql::write::{self, Node, Returning};
use crate::sql::{Filter, LinkAt, Param, Shape, array_literal};

/// Columns and what they are set to.
pub(super) type Values = Vec<(FieldId, Param)>;

/// Quotes, comma and blank of an item as an answer shows it.
const LIST_PUNCTUATION: usize = 4;

impl Writer<'_> {
    /// Creates a node and everything nested in its data; gives its id. With a parent whose link
    /// stands in the new row, the row is inserted with the link.
    pub(super) fn create_node(
        &mut self,
        model: ModelId,
        data: &Value,
        parent: Option<&Parent>,
    ) -> Result<Param, ApiError> {
        Ok(self.create_and_answer(model, data, parent, None)?.0)
    }

    /// As [`Writer::create_node`]; returns also whether the insertion itself returns the answer of
    /// that shape, which it can if nothing else is written after it.
    pub(super) fn create_and_answer(
        &mut self,
        model: ModelId,
        data: &Value,
        parent: Option<&Parent>,
        shape: Option<&Shape<'_>>,
    ) -> Result<(Param, bool), ApiError> {
        let planner = self.planner;
        let physical = planner.physical();
        let definition = planner.model().model(model);
        self.check_data(model, data)?;
        let set = if shape.is_some() {
            self.set.clone()
        } else {
            Vec::new()
        };
        let (mut values, known_id) = self.own_values(model, data, set)?;
        let mut links = Vec::new();
        let mut expected = Vec::new();
        if let Some(parent) = parent
            && let LinkAt::Partner(column) = physical.link(parent.relation)
        {
            links.push((column, parent.model, Node::Id(parent.id.clone())));
        }
        // A single create or connect along a link that this row holds is part of the insertion.
        let mut in_row = Vec::new();
        for (meaning, value) in entries(data) {
            let InputMeaning::Relation(field) = meaning else {
                continue;
            };
            let Some(relation) = definition.field(*field).relation() else {
                continue;
            };
            let LinkAt::Own(column) = physical.link(relation) else {
                continue;
            };
            let link = match (
                given(value, InputMeaning::Create),
                given(value, InputMeaning::Connect),
            ) {
                (Some(create), None) => {
                    // The child comes first, and its link is in this row: it needs no id of its
                    // parent.
                    let to_be = Parent {
                        model,
                        id: Param::Null,
                        relation,
                        new: true,
                    };
                    self.check_nested(InputMeaning::Create, &to_be)?;
                    Node::Id(self.create_node(relation.target, create, Some(&to_be))?)
                }
                (None, Some(connect)) => {
                    let unique = planner.unique(relation.target, connect, self.access)?;
                    let (_, back) = self.ends(relation);
                    let moves = !back.list;
                    self.lock_old_parents(model, relation, std::slice::from_ref(&unique));
                    let child = if moves {
                        self.lock_child(relation, &unique)
                    } else {
                        self.child_to_link(relation, &unique)
                    };
                    let change = if moves {
                        LinkEffect::Any
                    } else {
                        LinkEffect::Made
                    };
                    self.touch_child(relation, &child.filter(), change);
                    self.free_for_new_parent(model, relation, &child);
                    expected.push((links.len(), planner.missing(&unique, self.access)));
                    child
                }
                _ => continue,
            };
            links.push((column, relation.target, link));
            in_row.push(*field);
        }
        self.check_required(model, data, parent)?;
        let id = match &known_id {
            Some(id) => {
                values.insert(0, (definition.id, Param::Text(id.clone())));
                Param::Text(id.clone())
            }
            None => Param::Register(self.register()),
        };
        if !parent.is_some_and(|parent| self.follows(model, parent)) {
            self.touch(model, row(&id));
        }
        let insertion = Insert {
            model,
            values,
            links,
        };
        if let Some(shape) = shape
            && !self.access.is_limited()
            && !shape.reads_model_again(model)
            && writes_only_columns(data, &in_row)
        {
            self.insert_and_answer(&insertion, expected, shape);
            return Ok((id, true));
        }
        match id {
            Param::Register(register) => self.insert_into(&insertion, register, expected),
            _ => self.insert(insertion, expected),
        }
        self.fill_lists(model, &row(&id), data, false)?;
        self.nested(model, &id, data, true, &in_row)?;
        Ok((id, false))
    }

    /// The columns of a new row but the id, and the id if the server or the client makes it.
    fn own_values(
        &mut self,
        model: ModelId,
        data: &Value,
        set: Vec<(FieldId, String)>,
    ) -> Result<(Values, Option<String>), ApiError> {
        let definition = self.planner.model().model(model);
        let mut values = Vec::new();
        let mut id = None;
        let set_here = self.set_on_create(model, set);
        for field_id in definition.field_ids() {
            let field = definition.field(field_id);
            if !field.is_column() {
                continue;
            }
            if let Some((_, text)) = set_here.iter().find(|(set, _)| *set == field_id) {
                values.push((field_id, Param::Text(text.clone())));
                continue;
            }
            let given = entry(data, InputMeaning::Value(field_id));
            if field_id == definition.id {
                id = match given.and_then(|v| self.planner.scalar_text(v)) {
                    Some(own) => Some(own),
                    None => self.new_id(field),
                };
                if let Some(id) = &id {
                    self.check_value(definition, field, id)?;
                }
                continue;
            }
            let param = match given {
                _ if field.is_server_set() => Param::Text(self.now.clone()),
                Some(value) => match self.planner.scalar_text(value) {
                    Some(text) => {
                        self.check_value(definition, field, &text)?;
                        Param::Text(text)
                    }
                    None if field.required => {
                        return Err(ApiError::numbered(
                            3036,
                            format!(
                                "The input value null was not valid for field {} of type {}.",
                                field.name, definition.name
                            ),
                        ));
                    }
                    None => Param::Null,
                },
                None => match &field.default {
                    Some(serde_json::Value::String(text)) => Param::Text(text.clone()),
                    Some(other) => Param::Text(other.to_string()),
                    None => continue,
                },
            };
            values.push((field_id, param));
        }
        Ok((values, id))
    }

    /// Columns of a new row that the server sets, regardless of the input: first those of `set`.
    fn set_on_create(
        &mut self,
        model: ModelId,
        mut set: Vec<(FieldId, String)>,
    ) -> Vec<(FieldId, String)> {
        set.extend(self.access.stamps_on_create(model).iter().cloned());
        // Users cannot choose a field that only updates stamp either.
        set.extend(self.access.stamps_on_update(model).iter().cloned());
        for (field, characters) in self.access.generated(model) {
            set.push((*field, self.source.code(*characters)));
        }
        set
    }

    fn new_id(&mut self, field: &Field) -> Option<String> {
        match (field.id_strategy, field.kind) {
            (Some(IdStrategy::Sequence), _) | (_, FieldKind::Scalar(ScalarType::Int)) => None,
            (_, FieldKind::Scalar(ScalarType::Uuid)) => Some(self.source.uuid()),
            _ => Some(self.source.cuid()),
        }
    }

    /// 3032: a required to-one relation is neither created nor connected, nor given by the parent.
    fn check_required(
        &self,
        model: ModelId,
        data: &Value,
        parent: Option<&Parent>,
    ) -> Result<(), ApiError> {
        let definition = self.planner.model().model(model);
        for field_id in definition.field_ids() {
            let field = definition.field(field_id);
            let Some(relation) = field.relation() else {
                continue;
            };
            if field.list || !field.required || parent.is_some_and(|p| p.leads_back_by(relation)) {
                continue;
            }
            let nested = entry(data, InputMeaning::Relation(field_id));
            let writes = nested.is_some_and(|v| {
                given(v, InputMeaning::Create).is_some()
                    || given(v, InputMeaning::Connect).is_some()
            });
            if !writes {
                return Err(ApiError::numbered(
                    3032,
                    format!(
                        "The field '{}' on type '{}' is required. Performing this mutation would violate that constraint",
                        field.name, definition.name
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The columns that an update sets, `updatedAt` with them if there is any (or any list).
    pub(super) fn changed_values(&self, model: ModelId, data: &Value) -> Result<Values, ApiError> {
        let definition = self.planner.model().model(model);
        self.check_data(model, data)?;
        let (on_create, on_update) = (
            self.access.stamps_on_create(model),
            self.access.stamps_on_update(model),
        );
        let generated = self.access.generated(model);
        let stamped = |field| {
            on_create
                .iter()
                .chain(on_update)
                .any(|(stamped, _)| *stamped == field)
                || generated.iter().any(|(generated, _)| *generated == field)
        };
        let mut values = Vec::new();
        let mut touched = false;
        for (meaning, value) in entries(data) {
            let field_id = match meaning {
                // Only the server sets stamps and generated codes.
                InputMeaning::Value(field) if stamped(*field) => continue,
                InputMeaning::Value(field) => *field,
                InputMeaning::ListValue(_) => {
                    touched |= *value != Value::Null;
                    continue;
                }
                _ => continue,
            };
            let field = definition.field(field_id);
            let param = match self.planner.scalar_text(value) {
                Some(text) => {
                    self.check_value(definition, field, &text)?;
                    Param::Text(text)
                }
                None if field.required => {
                    return Err(ApiError::numbered(
                        3020,
                        format!(
                            "You are trying to set a required field to null. If you are using GraphQL arguments, make sure that you specify a value for all arguments. Fieldname if known: {}",
                            field.name
                        ),
                    ));
                }
                None => Param::Null,
            };
            touched = true;
            values.push((field_id, param));
        }
        if touched {
            let updated_at = definition
                .field_ids()
                .filter(|f| definition.field(*f).updated_at);
            values.extend(updated_at.map(|f| (f, Param::Text(self.now.clone()))));
            values.extend(
                on_update
                    .iter()
                    .map(|(field, text)| (*field, Param::Text(text.clone()))),
            );
        }
        Ok(values)
    }

    /// Sets the scalar lists that the data names, of one row or of several.
    pub(super) fn fill_lists(
        &mut self,
        model: ModelId,
        nodes: &Filter,
        data: &Value,
        replaces: bool,
    ) -> Result<(), ApiError> {
        let planner = self.planner;
        for (meaning, value) in entries(data) {
            let InputMeaning::ListValue(field) = meaning else {
                continue;
            };
            let Some(set) = entry(value, InputMeaning::Set) else {
                continue;
            };
            let texts: Vec<String> = items(Some(set))
                .iter()
                .map(|v| {
                    planner
                        .scalar_text(v)
                        .ok_or_else(|| unexpected("list item"))
                })
                .collect::<Result<_, _>>()?;
            let definition = planner.model().model(model);
            let bytes = texts.iter().map(|text| text.len() + LIST_PUNCTUATION).sum();
            self.check_bytes(definition, definition.field(*field), bytes)?;
            if replaces {
                self.run(
                    write::clear_list(planner.physical(), model, *field, nodes),
                    Expect::Anything,
                );
            }
            if !texts.is_empty() {
                let values = array_literal(texts.iter().map(String::as_str));
                self.run(
                    write::fill_list(planner.physical(), model, *field, nodes, values),
                    Expect::Anything,
                );
            }
        }
        Ok(())
    }

    /// Updates one node and everything nested in the data. The row exists.
    pub(super) fn update_node(
        &mut self,
        model: ModelId,
        id: &Param,
        data: &Value,
    ) -> Result<(), ApiError> {
        let values = self.changed_values(model, data)?;
        self.update_node_with(model, id, data, &values)
    }

    /// As [`Writer::update_node`], with the values of its columns.
    pub(super) fn update_node_with(
        &mut self,
        model: ModelId,
        id: &Param,
        data: &Value,
        values: &Values,
    ) -> Result<(), ApiError> {
        let physical = self.planner.physical();
        if !values.is_empty() {
            let statement = write::update(physical, model, &row(id), None, values, Returning::Id);
            self.run(statement, Expect::Anything);
            self.touch_by(model, values, &row(id));
        } else {
            if entries(data)
                .iter()
                .any(|(meaning, _)| matches!(meaning, InputMeaning::ListValue(_)))
            {
                // Two transactions that set a list of the row at the same time would use the same
                // positions.
                self.run(write::lock(physical, model, &row(id)), Expect::Anything);
            }
            self.log_update(model, id);
        }
        self.update_rest(model, id, data)
    }

    /// Records in the change log that a node was updated of which no column is written, so that its
    /// subscribers receive an event.
    pub(super) fn log_update(&mut self, model: ModelId, id: &Param) {
        let physical = self.planner.physical();
        if physical.has_log() {
            self.run(write::log_update(physical, model, id), Expect::Anything);
        }
    }

    /// What an update does besides columns: lists and nested writes.
    pub(super) fn update_rest(
        &mut self,
        model: ModelId,
        id: &Param,
        data: &Value,
    ) -> Result<(), ApiError> {
        self.fill_lists(model, &row(id), data, true)?;
        self.nested(model, id, data, false, &[])
    }

    /// Before a node is connected to a parent that is being created, along a link in the parent's
    /// row.
    fn free_for_new_parent(&mut self, parent_model: ModelId, relation: RelationRef, child: &Node) {
        self.free_child(parent_model, relation, child, None);
    }
}

/// Whether the data has no lists and relations but those fields.
pub(super) fn writes_only_columns(data: &Value, but: &[FieldId]) -> bool {
    entries(data).iter().all(|(meaning, _)| match meaning {
        InputMeaning::Relation(field) => but.contains(field),
        InputMeaning::ListValue(_) => false,
        _ => true,
    })
}

/// A nested value that was given and is not null; of a list with one item, the item.
pub(super) fn given(value: &Value, meaning: InputMeaning) -> Option<&Value> {
    match entry(value, meaning) {
        Some(Value::Null) | None => None,
        Some(Value::List(list)) => list.first(),
        some => some,
    }
}
