//! The selection of a validated operation: fragments expanded, equal keys merged, arguments
//! resolved, conditions gathered. It relies on validation for nothing that would make a plan wrong.

use async_graphql::Positioned;
use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, Selection as Item, SelectionSet,
};
use async_graphql_value::Value as Literal;
use indexmap::IndexMap;

use super::document::position;
use super::literal::{Literals, required_boolean};
use super::names::Names;
use super::operation::{
    Inclusion, InclusionCondition, OperationKind, Selected, SelectedField, Selection, Template,
    Value,
};
use super::shape::{conflict, same_shape};
use crate::error::{ApiError, ErrorKind};
use crate::schema::{InputField, InputMeaning, ObjectId, OutputField, TypeRef};

pub(super) struct Collector<'a, 'd> {
    pub names: &'a Names,
    pub document: &'d ExecutableDocument,
    pub literals: Literals<'a>,
    /// Whether there is a field that the schema answers.
    pub introspects: bool,
}

/// One place at which a key is selected.
struct Occurrence<'d> {
    field: &'d Positioned<Field>,
    /// All must hold; those of the parent's own inclusion are left out.
    conditions: Vec<InclusionCondition>,
}

/// A selection set that belongs to a parent, and the conditions under which it does.
type SelectionPart<'d> = (&'d SelectionSet, Vec<InclusionCondition>);

impl<'d> Collector<'_, 'd> {
    /// The fields of an operation of that kind, whose root type is `root`.
    pub(super) fn root(
        &mut self,
        root: ObjectId,
        kind: OperationKind,
        set: &'d Positioned<SelectionSet>,
    ) -> Result<Vec<SelectedField>, ApiError> {
        let fields = self.fields(root, &[(&set.node, Vec::new())])?;
        let single = matches!(
            &fields[..],
            [SelectedField {
                meaning: Selected::Field(_),
                ..
            }]
        );
        if kind == OperationKind::Subscription && !single {
            let message = "A subscription selects exactly one field of the type Subscription";
            return Err(ApiError::new(ErrorKind::ValidationFailed, message).at(position(set.pos)));
        }
        Ok(fields)
    }

    fn fields(
        &mut self,
        object: ObjectId,
        parts: &[SelectionPart<'d>],
    ) -> Result<Vec<SelectedField>, ApiError> {
        let mut keys = IndexMap::new();
        for (set, conditions) in parts {
            self.gather(object, set, conditions, &mut keys)?;
        }
        keys.into_iter()
            .map(|(key, occurrences)| self.field(object, key, occurrences))
            .collect()
    }

    /// Adds what `set` selects of `object`.
    fn gather(
        &mut self,
        object: ObjectId,
        set: &'d SelectionSet,
        conditions: &[InclusionCondition],
        keys: &mut IndexMap<&'d str, Vec<Occurrence<'d>>>,
    ) -> Result<(), ApiError> {
        for item in &set.items {
            let Some(conditions) = self.conditions(item.node.directives(), conditions)? else {
                continue;
            };
            match &item.node {
                Item::Field(field) => {
                    let key = field.node.response_key().node.as_str();
                    keys.entry(key)
                        .or_default()
                        .push(Occurrence { field, conditions });
                }
                Item::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    if condition.is_none_or(|c| self.applies(c.node.on.node.as_str(), object)) {
                        self.gather(object, &fragment.node.selection_set.node, &conditions, keys)?;
                    }
                }
                Item::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    let Some(fragment) = self.document.fragments.get(name) else {
                        return Err(invalid(format!("Unknown fragment '{name}'"), spread.pos));
                    };
                    if self.applies(fragment.node.type_condition.node.on.node.as_str(), object) {
                        self.gather(object, &fragment.node.selection_set.node, &conditions, keys)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn applies(&self, type_condition: &str, object: ObjectId) -> bool {
        let object = self.literals.schema.object(object);
        type_condition == object.name || (type_condition == "Node" && object.implements_node)
    }

    /// The enclosing conditions and those of `directives`; `None` if they never hold.
    fn conditions(
        &mut self,
        directives: &[Positioned<Directive>],
        enclosing: &[InclusionCondition],
    ) -> Result<Option<Vec<InclusionCondition>>, ApiError> {
        let mut conditions = enclosing.to_vec();
        for directive in directives {
            let wanted = match directive.node.name.node.as_str() {
                "include" => true,
                "skip" => false,
                _ => continue,
            };
            let Some(value) = directive.node.get_argument("if") else {
                let message = format!(
                    "The directive '@{}' needs the argument 'if'",
                    directive.node.name.node
                );
                return Err(invalid(message, directive.pos));
            };
            let ty = required_boolean();
            let template = self.literals.template(&ty, &value.node).map_err(|reason| {
                reason.of_argument("if", "Boolean!", &value.node, position(value.pos))
            })?;
            match template {
                Template::Variable(variable, _) => {
                    let condition = InclusionCondition {
                        variable,
                        is: wanted,
                    };
                    if conditions.contains(&InclusionCondition {
                        variable,
                        is: !wanted,
                    }) {
                        return Ok(None);
                    }
                    if !conditions.contains(&condition) {
                        conditions.push(condition);
                    }
                }
                Template::Constant(Value::Boolean(given)) if given == wanted => {}
                _ => return Ok(None),
            }
        }
        Ok(Some(conditions))
    }

    /// What all occurrences of a key come to.
    fn field(
        &mut self,
        object: ObjectId,
        key: &'d str,
        occurrences: Vec<Occurrence<'d>>,
    ) -> Result<SelectedField, ApiError> {
        let schema = self.literals.schema;
        let first = occurrences[0].field;
        for other in &occurrences[1..] {
            can_merge(key, first, other.field)?;
        }
        let name = first.node.name.node.as_str();
        let selected = |meaning, selection| SelectedField {
            key: key.to_owned(),
            name: name.to_owned(),
            meaning,
            inclusion: inclusion(&occurrences),
            arguments: Vec::new(),
            selection,
            position: position(first.pos),
        };
        if name == "__typename" {
            return Ok(selected(Selected::Typename, Selection::Leaf));
        }
        if object == schema.query && matches!(name, "__schema" | "__type") {
            self.introspects = true;
            return Ok(selected(Selected::Introspection, Selection::Leaf));
        }
        let Some(field) = schema.object(object).fields.get(name) else {
            let message = format!(
                "The type '{}' has no field '{name}'",
                schema.object(object).name
            );
            return Err(invalid(message, first.pos));
        };
        let mut selected = selected(Selected::Field(field.meaning), Selection::Leaf);
        selected.arguments = self.arguments(name, field, first)?;
        selected.selection = self.selection(field, key, occurrences)?;
        Ok(selected)
    }

    fn arguments(
        &mut self,
        name: &str,
        field: &OutputField,
        given: &Positioned<Field>,
    ) -> Result<Vec<(InputMeaning, Template)>, ApiError> {
        if let Some((unknown, _)) = given
            .node
            .arguments
            .iter()
            .find(|(n, _)| !field.args.contains_key(n.node.as_str()))
        {
            let message = format!("The field '{name}' has no argument '{}'", unknown.node);
            return Err(invalid(message, unknown.pos));
        }
        let mut arguments = Vec::with_capacity(given.node.arguments.len());
        for (name, argument) in &field.args {
            if let Some(value) = given.node.get_argument(name) {
                arguments.push((argument.meaning, self.argument(name, argument, value)?));
            } else if matches!(argument.ty, TypeRef::NonNull(_)) {
                let message = format!(
                    "Field '{}' argument '{name}' of type '{}' is required but not provided.",
                    given.node.name.node,
                    self.literals.schema.type_text(&argument.ty)
                );
                return Err(invalid(message, given.pos));
            }
        }
        Ok(arguments)
    }

    fn argument(
        &mut self,
        name: &str,
        argument: &InputField,
        value: &Positioned<Literal>,
    ) -> Result<Template, ApiError> {
        self.literals
            .template(&argument.ty, &value.node)
            .map_err(|reason| {
                let ty = self.literals.schema.type_text(&argument.ty);
                reason.of_argument(name, &ty, &value.node, position(value.pos))
            })
    }

    fn selection(
        &mut self,
        field: &OutputField,
        key: &str,
        occurrences: Vec<Occurrence<'d>>,
    ) -> Result<Selection, ApiError> {
        let schema = self.literals.schema;
        let first = occurrences[0].field;
        let set = &first.node.selection_set;
        let named = field.ty.named();
        if !matches!(named, TypeRef::Object(_) | TypeRef::Node) {
            return match occurrences
                .iter()
                .find(|o| !o.field.node.selection_set.node.items.is_empty())
            {
                Some(o) => Err(invalid(
                    format!("The field '{key}' has no fields to select"),
                    o.field.pos,
                )),
                None => Ok(Selection::Leaf),
            };
        }
        if set.node.items.is_empty() {
            return Err(invalid(
                format!("The field '{key}' needs a selection of its fields"),
                first.pos,
            ));
        }
        // A single occurrence's conditions are the field's own inclusion; among several they decide
        // whose children there are.
        let alone = occurrences.len() == 1;
        let parts = occurrences.into_iter().map(|occurrence| {
            let conditions = if alone {
                Vec::new()
            } else {
                occurrence.conditions
            };
            (&occurrence.field.node.selection_set.node, conditions)
        });
        let parts: Vec<SelectionPart> = parts.collect();
        if let TypeRef::Object(id) = named {
            let fields = self.fields(*id, &parts)?;
            return Ok(Selection::Object {
                type_name: schema.object(*id).name.clone(),
                fields,
            });
        }
        let mut models = Vec::new();
        for id in (0..schema.objects.len()).map(ObjectId) {
            let object = schema.object(id);
            if let Some(model) = object.model.filter(|_| object.implements_node) {
                let fields = self.fields(id, &parts)?;
                models.push((model, object.name.clone(), fields));
            }
        }
        let shapes: Vec<_> = models
            .iter()
            .map(|(_, ty, fields)| (ty.as_str(), fields.as_slice()))
            .collect();
        same_shape(schema, self.names, &shapes)?;
        Ok(Selection::Node(models))
    }
}

fn can_merge(
    key: &str,
    one: &Positioned<Field>,
    other: &Positioned<Field>,
) -> Result<(), ApiError> {
    let positions = [position(one.pos), position(other.pos)];
    let (one, other) = (&one.node, &other.node);
    if one.name.node != other.name.node {
        let reason = format!(
            "'{}' and '{}' are different fields",
            one.name.node, other.name.node
        );
        return Err(conflict(key, &reason, &positions));
    }
    let equal = one.arguments.len() == other.arguments.len()
        && one.arguments.iter().all(|(name, value)| {
            other
                .get_argument(&name.node)
                .is_some_and(|other| other.node == value.node)
        });
    if equal {
        Ok(())
    } else {
        Err(conflict(key, "they have differing arguments", &positions))
    }
}

/// Any occurrence selects the field.
fn inclusion(occurrences: &[Occurrence]) -> Inclusion {
    let mut alternatives: Vec<Vec<InclusionCondition>> = Vec::new();
    for occurrence in occurrences {
        if occurrence.conditions.is_empty() {
            return Inclusion::default();
        }
        if !alternatives.contains(&occurrence.conditions) {
            alternatives.push(occurrence.conditions.clone());
        }
    }
    Inclusion(alternatives)
}

pub(super) fn invalid(message: String, at: async_graphql::Pos) -> ApiError {
    ApiError::new(ErrorKind::ValidationFailed, message).at(position(at))
}
