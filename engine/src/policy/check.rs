//! From a written policy to one that fits the schema: every name is looked up, every filter read.
//! All problems are reported together.

use std::collections::HashMap;
use std::fmt;

use indexmap::IndexMap;

use super::source::{OneOrMany, PolicySource, RoleSource};
use super::{FieldRule, Operations, OwnRule, Permission, Policy, Role};
use crate::datamodel::{DataModel, FieldId, FieldKind, ModelId, ScalarType};
use crate::request::WrittenFilter;
use crate::schema::{ObjectId, Schema};
use crate::sql::quoted;

/// What is wrong in a policy, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    /// Such as `roles.editor.rows.Article`.
    pub place: String,
    /// What is wrong, as a sentence.
    pub message: String,
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

struct PolicyChecker<'a> {
    model: &'a DataModel,
    schema: &'a Schema,
    problems: Vec<PolicyProblem>,
    /// Fields to which only the server gives values.
    generated: Vec<(ModelId, FieldId)>,
}

impl Policy {
    /// Checks a policy against the datamodel and its schema.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn new(
        source: &PolicySource,
        model: &DataModel,
        schema: &Schema,
    ) -> Result<Policy, Vec<PolicyProblem>> {
        let mut check = PolicyChecker {
            model,
            schema,
            problems: Vec::new(),
            generated: Vec::new(),
        };
        let policy = Policy {
            operations: Operations {
                query: check.operations("query", schema.query, &source.operations.query),
                mutation: check.operations(
                    "mutation",
                    schema.mutation,
                    &source.operations.mutation,
                ),
                subscription: check.operations(
                    "subscription",
                    schema.subscription,
                    &source.operations.subscription,
                ),
            },
            parts: check.parts(&source.parts),
            stamps_on_create: check.stamps("create", &source.stamps.create),
            stamps_on_update: check.stamps("update", &source.stamps.update),
            generated: check.generated(&source.generated),
            roles: source
                .roles
                .iter()
                .map(|(name, role)| check.role(name, role))
                .collect(),
        };
        if check.problems.is_empty() {
            Ok(policy)
        } else {
            Err(check.problems)
        }
    }
}

impl PolicyChecker<'_> {
    fn problem(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.problems.push(PolicyProblem {
            place: place.into(),
            message: message.into(),
        });
    }

    fn by_model<T: Clone>(&self, value: T) -> Vec<T> {
        vec![value; self.model.models.len()]
    }

    fn model_at(&mut self, place: &str, name: &str) -> Option<ModelId> {
        let found = self.model.model_named(name);
        if found.is_none() {
            let known: Vec<&str> = self.model.models.iter().map(|m| m.name.as_str()).collect();
            self.problem(
                place,
                format!(
                    "the datamodel has no type '{name}'; its types are {}",
                    known.join(", ")
                ),
            );
        }
        found
    }

    fn field_at(&mut self, place: &str, model: ModelId, name: &str) -> Option<FieldId> {
        let definition = self.model.model(model);
        let found = definition.field_named(name);
        if found.is_none() {
            let known: Vec<&str> = definition.fields.iter().map(|f| f.name.as_str()).collect();
            let message = format!(
                "'{}' has no field '{name}'; its fields are {}",
                definition.name,
                known.join(", ")
            );
            self.problem(place, message);
        }
        found
    }

    fn operations(
        &mut self,
        kind: &str,
        root: ObjectId,
        operations: &IndexMap<String, OneOrMany>,
    ) -> HashMap<String, Vec<Permission>> {
        let mut checked = HashMap::new();
        for (name, permissions) in operations {
            let place = format!("operations.{kind}.{name}");
            if !self.schema.object(root).fields.contains_key(name.as_str()) {
                self.problem(
                    &place,
                    "the API has no top-level field of this name (`gom schema` prints it)",
                );
            }
            let mut needed = Vec::new();
            for text in permissions.items() {
                match Permission::parse(text) {
                    Some(permission) => needed.push(permission),
                    None => {
                        self.problem(
                            &place,
                            format!("'{text}' is no permission; write one as action:subject"),
                        );
                    }
                }
            }
            if permissions.items().is_empty() {
                self.problem(
                    &place,
                    "no permission is named; leave the operation out to deny it",
                );
            }
            checked.insert(name.clone(), needed);
        }
        checked
    }

    fn parts(&mut self, parts: &IndexMap<String, Vec<String>>) -> Vec<Vec<ModelId>> {
        let mut checked = self.by_model(Vec::new());
        for (part, wholes) in parts {
            let place = format!("parts.{part}");
            let Some(model) = self.model_at(&place, part) else {
                continue;
            };
            for whole in wholes {
                if let Some(whole) = self.model_at(&place, whole) {
                    checked[model.0].push(whole);
                }
            }
        }
        checked
    }

    fn stamps(
        &mut self,
        kind: &str,
        stamps: &IndexMap<String, String>,
    ) -> Vec<Vec<(FieldId, String)>> {
        let mut checked = self.by_model(Vec::new());
        for (name, claim) in stamps {
            let place = format!("stamps.{kind}.{name}");
            let Some(claim) = claim.strip_prefix('$') else {
                self.problem(
                    &place,
                    format!("'{claim}' is no claim; write one as \"$sub\""),
                );
                continue;
            };
            let mut found = false;
            for id in self.model.model_ids() {
                let definition = self.model.model(id);
                let Some(field) = definition.field_named(name) else {
                    continue;
                };
                let text = matches!(
                    definition.field(field).kind,
                    FieldKind::Scalar(ScalarType::String | ScalarType::Id)
                );
                if text && definition.field(field).is_column() && field != definition.id {
                    checked[id.0].push((field, claim.to_owned()));
                    found = true;
                } else {
                    let message = format!("'{}.{name}' is no column of text", definition.name);
                    self.problem(&place, message);
                    found = true;
                }
            }
            if !found {
                self.problem(&place, "no type of the datamodel has this field");
            }
        }
        checked
    }

    fn generated(&mut self, generated: &IndexMap<String, usize>) -> Vec<Vec<(FieldId, usize)>> {
        let mut checked = self.by_model(Vec::new());
        for (path, characters) in generated {
            let place = format!("generated.\"{path}\"");
            let Some((model, field)) = path.split_once('.') else {
                self.problem(&place, "write it as \"Type.field\"");
                continue;
            };
            let Some(model) = self.model_at(&place, model) else {
                continue;
            };
            let Some(field) = self.field_at(&place, model, field) else {
                continue;
            };
            let definition = self.model.field(model, field);
            let text = matches!(
                definition.kind,
                FieldKind::Scalar(ScalarType::String | ScalarType::Id)
            );
            if !text || !definition.is_column() || !(6..=25).contains(characters) {
                self.problem(&place, "give a column of text, and 6 to 25 characters");
                continue;
            }
            checked[model.0].push((field, *characters));
            self.generated.push((model, field));
        }
        checked
    }

    fn role(&mut self, name: &str, source: &RoleSource) -> Role {
        let place = format!("roles.{name}");
        for text in &source.permissions {
            if Permission::parse(text).is_none() {
                let message = format!("'{text}' is no permission; write one as action:subject");
                self.problem(format!("{place}.permissions"), message);
            }
        }
        let mut fields = self.by_model(None);
        for (model, names) in &source.fields {
            let place = format!("{place}.fields.{model}");
            let Some(model) = self.model_at(&place, model) else {
                continue;
            };
            let mut visible = vec![false; self.model.model(model).fields.len()];
            for name in names {
                if let Some(field) = self.field_at(&place, model, name) {
                    visible[field.0] = true;
                }
            }
            fields[model.0] = Some(visible);
        }
        let rows = self.filters(&format!("{place}.rows"), &source.rows);
        let writes = self.filters(&format!("{place}.writes"), &source.writes);
        for (id, written) in self.model.model_ids().zip(&writes) {
            if written.is_some() && rows[id.0].is_none() {
                let name = &self.model.model(id).name;
                self.problem(
                    format!("{place}.writes.{name}"),
                    format!(
                        "rows that cannot be seen cannot be written: give {place}.rows.{name} too"
                    ),
                );
            }
        }
        let views = self.views(&place, source);
        Role {
            name: name.to_owned(),
            permissions: source.permissions.clone(),
            rows,
            writes,
            fields,
            views,
        }
    }

    /// How the role reads fields that it does not read from their columns.
    fn views(
        &mut self,
        place: &str,
        source: &RoleSource,
    ) -> HashMap<(ModelId, FieldId), FieldRule> {
        let mut views: HashMap<(ModelId, FieldId), FieldRule> = HashMap::new();
        for (path, text) in &source.shown {
            let place = format!("{place}.shown.\"{path}\"");
            let Some((model, field)) = self.viewed_field(&place, path) else {
                continue;
            };
            match WrittenFilter::parse(self.schema, model, text) {
                Ok(filter) => views.entry((model, field)).or_default().shown = Some(filter),
                Err(reason) => self.problem(&place, reason),
            }
        }
        for (path, own) in &source.own_values {
            let place = format!("{place}.own_values.\"{path}\"");
            let Some((model, field)) = self.viewed_field(&place, path) else {
                continue;
            };
            let kind = &self.model.field(model, field).kind;
            if !matches!(kind, FieldKind::Scalar(ScalarType::String | ScalarType::Id)) {
                self.problem(&place, "give a column of text");
                continue;
            }
            let names = [&own.table, &own.value, &own.node, &own.owner];
            let plain = |name: &str| {
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            };
            if names.iter().any(|name| name.is_empty() || !plain(name)) {
                self.problem(
                    &place,
                    "names of tables and columns are small letters and '_'",
                );
                continue;
            }
            let Some(of) = self.model_at(&place, &own.of) else {
                continue;
            };
            match WrittenFilter::parse(self.schema, of, &own.is) {
                Ok(owners) => {
                    let [table, value, node, owner] = names.map(|name| quoted(name));
                    let own = OwnRule {
                        table,
                        value,
                        node,
                        owner,
                        owners,
                    };
                    views.entry((model, field)).or_default().own = Some(own);
                }
                Err(reason) => self.problem(&place, reason),
            }
        }
        views
    }

    /// A field that may be null in rows that do not show it.
    fn viewed_field(&mut self, place: &str, path: &str) -> Option<(ModelId, FieldId)> {
        let Some((model, field)) = path.split_once('.') else {
            self.problem(place, "write it as \"Type.field\"");
            return None;
        };
        let model = self.model_at(place, model)?;
        let field = self.field_at(place, model, field)?;
        let definition = self.model.field(model, field);
        if !definition.is_column() || definition.required {
            self.problem(
                place,
                "give a column that may be null: it is, in rows that do not show it",
            );
            return None;
        }
        if definition.unique && !self.generated.contains(&(model, field)) {
            let message = "a unique field that users write tells by error 3010 which values there are: give it to [generated] as well";
            self.problem(place, message);
            return None;
        }
        Some((model, field))
    }

    fn filters(
        &mut self,
        place: &str,
        filters: &IndexMap<String, String>,
    ) -> Vec<Option<WrittenFilter>> {
        let mut checked = self.by_model(None);
        for (name, text) in filters {
            let place = format!("{place}.{name}");
            let Some(model) = self.model_at(&place, name) else {
                continue;
            };
            match WrittenFilter::parse(self.schema, model, text) {
                Ok(filter) => checked[model.0] = Some(filter),
                Err(reason) => self.problem(&place, reason),
            }
        }
        checked
    }
}

#[cfg(test)]
mod tests;
