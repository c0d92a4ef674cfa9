//! A filter written on its own, outside of any document: by the policy, or by a rule of the
//! application. It is in the API's own language, checked against the schema when it is read; its
//! variables get their types from where they stand, and their values whenever the filter is used.

use async_graphql::parser::types::Selection;
use async_graphql_value::Value as Literal;
use serde_json::{Map, Value as Json};

use super::document;
use super::limits::RequestLimits;
use super::literal::{Declared, Literals};
use super::operation::{Template, Value};
use super::variables::{self, Variables};
use crate::datamodel::ModelId;
use crate::schema::{InputId, Schema, TypeRef};

/// A checked filter over the rows of one model.
#[derive(Debug, Clone)]
pub struct WrittenFilter {
    /// The model whose rows it selects.
    pub model: ModelId,
    /// As it was written.
    pub text: String,
    template: Template,
    variables: Vec<(String, TypeRef)>,
}

/// A variable has no value, or one of another type. The filter must not be used without that
/// condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnboundVariableError(pub String);

impl WrittenFilter {
    /// Reads a filter such as `{ assignedTo: { extUid: $sub } }`.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(schema: &Schema, model: ModelId, text: &str) -> Result<Self, String> {
        let literal = parse(text)?;
        let mut names = Vec::new();
        let input = schema.models[model.0].where_input;
        collect_variables(schema, &TypeRef::Input(input), &literal, &mut names)?;
        let declared = |(name, ty): &(String, TypeRef)| Declared {
            name: name.clone(),
            ty: ty.clone(),
            has_default: false,
            used_as_required: false,
        };
        let mut literals = Literals {
            schema,
            variables: names.iter().map(declared).collect(),
        };
        let template = literals
            .template(&TypeRef::Input(input), &literal)
            .map_err(|reason| reason.to_string())?;
        Ok(WrittenFilter {
            model,
            text: text.trim().to_owned(),
            template,
            variables: names,
        })
    }

    /// The names of the values that it needs.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// The filter with the values in place.
    ///
    /// # Errors
    /// If one of its variables has no value: what is absent never makes a filter wider.
    pub fn bind(
        &self,
        schema: &Schema,
        values: &Map<String, Json>,
    ) -> Result<Value, UnboundVariableError> {
        let value = |(name, ty): &(String, TypeRef)| match values.get(name) {
            None | Some(Json::Null) => Err(UnboundVariableError(format!(
                "there is no value for ${name}"
            ))),
            Some(value) => match variables::coerce(schema, ty, value) {
                Ok(value) => Ok(Some(value)),
                Err(reason) => Err(UnboundVariableError(format!(
                    "the value for ${name} does not fit: {reason}"
                ))),
            },
        };
        let bound = Variables::of(self.variables.iter().map(value).collect::<Result<_, _>>()?);
        match self.template.resolve(&bound) {
            Some(value) => Ok(value.into_owned()),
            None => Err(UnboundVariableError("the filter has no value".to_owned())),
        }
    }
}

/// The one literal that the text holds.
fn parse(text: &str) -> Result<Literal, String> {
    let query = format!("{{ rows(where: {text}\n) }}");
    let limits = RequestLimits {
        query_bytes: Some(64 * 1024),
        ..RequestLimits::UNLIMITED
    };
    let (parsed, _) = document::parse(&query, &limits).map_err(|error| error.message)?;
    let operation = document::select(&parsed, None).map_err(|error| error.message)?;
    let stray = || "this is not one filter in braces, such as { name: \"…\" }".to_owned();
    let [item] = operation.node.selection_set.node.items.as_slice() else {
        return Err(stray());
    };
    let Selection::Field(field) = &item.node else {
        return Err(stray());
    };
    match field.node.arguments.as_slice() {
        [(name, value)]
            if name.node == "where"
                && field.node.name.node == "rows"
                && field.node.alias.is_none()
                && field.node.directives.is_empty()
                && field.node.selection_set.node.items.is_empty()
                && matches!(value.node, Literal::Object(_)) =>
        {
            Ok(value.node.clone())
        }
        _ => Err(stray()),
    }
}

/// Each variable with the type that it must have where it stands, required. What does not fit the
/// schema is left for the check that follows.
fn collect_variables(
    schema: &Schema,
    ty: &TypeRef,
    literal: &Literal,
    found: &mut Vec<(String, TypeRef)>,
) -> Result<(), String> {
    match (ty, literal) {
        (_, Literal::Variable(name)) => {
            let ty = match ty {
                TypeRef::NonNull(_) => ty.clone(),
                nullable => nullable.clone().required(),
            };
            match found.iter().find(|(known, _)| known == name.as_str()) {
                Some((_, known)) if *known != ty => Err(format!(
                    "${name} stands for a value of type '{}' here and of type '{}' elsewhere",
                    schema.type_text(&ty),
                    schema.type_text(known)
                )),
                Some(_) => Ok(()),
                None => {
                    found.push((name.to_string(), ty));
                    Ok(())
                }
            }
        }
        (TypeRef::NonNull(inner), literal) => collect_variables(schema, inner, literal, found),
        (TypeRef::List(item), Literal::List(items)) => items
            .iter()
            .try_for_each(|literal| collect_variables(schema, item, literal, found)),
        (TypeRef::List(item), single) => collect_variables(schema, item, single, found),
        (TypeRef::Input(id), Literal::Object(fields)) => {
            let ty = schema.input(InputId(id.0));
            for (name, literal) in fields {
                if let Some(field) = ty.fields.get(name.as_str()) {
                    collect_variables(schema, &field.ty, literal, found)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::datamodel;
    use crate::schema::{SchemaOptions, generate};

    const SHOP: &str = "type User { id: ID! @id extUid: String @unique orders: [Order!] }
                        type Order { id: ID! @id name: String! owner: User! @relation(link: INLINE) }";

    fn schema() -> Schema {
        generate(
            &datamodel::parse("test", SHOP).unwrap(),
            SchemaOptions { execute_raw: false },
        )
    }

    fn order(text: &str) -> Result<WrittenFilter, String> {
        WrittenFilter::parse(&schema(), ModelId(1), text)
    }

    fn values(json: Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn variables_get_their_types_from_where_they_stand() {
        let filter = order("{ owner: { extUid: $sub }, id_in: $ids }").unwrap();
        assert_eq!(filter.variables().collect::<Vec<_>>(), ["sub", "ids"]);
        assert!(
            filter
                .bind(&schema(), &values(json!({ "sub": "a", "ids": ["x"] })))
                .is_ok()
        );
        let wrong = filter
            .bind(&schema(), &values(json!({ "sub": ["a"], "ids": [] })))
            .unwrap_err();
        assert!(wrong.0.contains("$sub"), "{wrong}");
    }

    #[test]
    fn a_value_that_is_absent_is_an_error_and_never_a_wider_filter() {
        let filter = order("{ owner: { extUid: $sub } }").unwrap();
        for absent in [json!({}), json!({ "sub": null })] {
            assert_eq!(
                filter.bind(&schema(), &values(absent)),
                Err(UnboundVariableError(
                    "there is no value for $sub".to_owned()
                ))
            );
        }
    }

    #[test]
    fn a_filter_that_does_not_fit_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "filter"),
            ("{ nome: \"x\" }", "'nome'"),
            ("{ name: 5 }", "String value expected"),
            ("{ name: \"x\" }) { id } orders(where: {}", "one filter"),
            ("$all", "one filter"),
            ("{ owner: { extUid: $sub }, id: $sub }", "$sub"),
        ] {
            let error = order(text).unwrap_err();
            assert!(error.contains(reason) || text.is_empty(), "{text}: {error}");
        }
    }
}
