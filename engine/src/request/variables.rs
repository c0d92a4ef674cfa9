//! The variables' values of one request, coerced to the types that the operation declares.
//! Validation does not see values, so that this is their only check.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::literal::{expected, missing, undefined};
use super::operation::{
    Inclusion, InclusionCondition, Operation, Template, Value, VariableDefinition, VariableId,
};
use super::reason::ValueError;
use super::scalar::{self, GivenLeaf, ValueOrigin};
use crate::datamodel::ScalarType;
use crate::error::{ApiError, ErrorKind};
use crate::schema::{InputId, Scalar, Schema, TypeRef};

/// Coerced values, one for each variable of the operation that has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Variables {
    values: Vec<Option<Value>>,
}

impl Variables {
    /// Checks the values given for `operation`. Values that it does not declare are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::BadUserInput`] for the first variable, in the order of declaration, whose value
    /// is missing or has another type.
    pub fn coerce(
        schema: &Schema,
        operation: &Operation,
        given: &Map<String, Json>,
    ) -> Result<Variables, ApiError> {
        let values = operation
            .variables
            .iter()
            .map(|variable| value_of(schema, variable, given));
        Ok(Variables {
            values: values.collect::<Result<_, _>>()?,
        })
    }

    /// Values that are coerced already, one for each variable.
    pub(super) fn of(values: Vec<Option<Value>>) -> Variables {
        Variables { values }
    }

    /// The value given, or the default; `None` if there is neither.
    pub fn get(&self, id: VariableId) -> Option<&Value> {
        self.values.get(id.0)?.as_ref()
    }
}

fn value_of(
    schema: &Schema,
    variable: &VariableDefinition,
    given: &Map<String, Json>,
) -> Result<Option<Value>, ApiError> {
    let ty = || schema.type_text(&variable.ty);
    let name = &variable.name;
    match given.get(name) {
        None => match &variable.default {
            Some(default) => Ok(Some(default.clone())),
            None if matches!(variable.ty, TypeRef::NonNull(_)) => {
                let ty = ty();
                let message = format!(
                    "Variable '${name}' expected value of type '{ty}' but value is undefined."
                );
                Err(ApiError::new(ErrorKind::BadUserInput, message))
            }
            None => Ok(None),
        },
        Some(Json::Null) if variable.used_as_required => {
            let reason = expected(schema, &variable.ty);
            Err(reason.of_variable(name, &format!("{}!", ty()), &Json::Null))
        }
        Some(value) => match coerce(schema, &variable.ty, value) {
            Ok(value) => Ok(Some(value)),
            Err(reason) => Err(reason.of_variable(name, &ty(), value)),
        },
    }
}

pub(super) fn coerce(schema: &Schema, ty: &TypeRef, value: &Json) -> Result<Value, ValueError> {
    match (ty, value) {
        (TypeRef::NonNull(inner), Json::Null) => Err(expected(schema, inner)),
        (TypeRef::NonNull(inner), value) => coerce(schema, inner, value),
        (_, Json::Null) => Ok(Value::Null),
        (TypeRef::List(item), Json::Array(values)) => {
            let items = values.iter().enumerate().map(|(index, value)| {
                coerce(schema, item, value).map_err(|reason| reason.in_item(index))
            });
            Ok(Value::List(items.collect::<Result<_, _>>()?))
        }
        (TypeRef::List(item), value) => Ok(Value::List(vec![coerce(schema, item, value)?])),
        (TypeRef::Scalar(Scalar::Data(ScalarType::Json)), value) => scalar::json_variable(value),
        (TypeRef::Scalar(scalar), value) => {
            scalar::scalar(*scalar, leaf(value), ValueOrigin::Variable)
        }
        (TypeRef::Enum(id), value) => {
            scalar::enumeration(schema, *id, leaf(value), ValueOrigin::Variable)
        }
        (TypeRef::Input(id), Json::Object(values)) => object(schema, *id, values),
        (TypeRef::Input(_) | TypeRef::Object(_) | TypeRef::Node, _) => Err(expected(schema, ty)),
    }
}

fn object(schema: &Schema, id: InputId, values: &Map<String, Json>) -> Result<Value, ValueError> {
    let ty = schema.input(id);
    let mut fields = Vec::with_capacity(values.len());
    for (name, value) in values {
        let Some(field) = ty.fields.get(name) else {
            return Err(undefined(name, &ty.name));
        };
        let value = coerce(schema, &field.ty, value).map_err(|reason| reason.in_field(name))?;
        fields.push((field.meaning, value));
    }
    for (name, field) in &ty.fields {
        if matches!(field.ty, TypeRef::NonNull(_)) && !values.contains_key(name) {
            return Err(missing(name, &schema.type_text(&field.ty)));
        }
    }
    Ok(Value::Object(id, fields))
}

fn leaf(value: &Json) -> GivenLeaf<'_> {
    match value {
        Json::Bool(value) => GivenLeaf::Boolean(*value),
        Json::Number(number) => GivenLeaf::Number(number),
        Json::String(text) => GivenLeaf::Text(text),
        Json::Null | Json::Array(_) | Json::Object(_) => GivenLeaf::Other,
    }
}

impl Template {
    /// The value with the variables filled in; `None` if it is a variable without a value. A field
    /// of an object with such a variable is left out, an item of a list is null.
    pub fn resolve<'a>(&'a self, variables: &'a Variables) -> Option<Cow<'a, Value>> {
        match self {
            Template::Constant(value) => Some(Cow::Borrowed(value)),
            Template::Variable(id, _) => variables.get(*id).map(Cow::Borrowed),
            Template::List(items) => {
                let items = items.iter().map(|item| match item.resolve(variables) {
                    Some(value) => value.into_owned(),
                    None => Value::Null,
                });
                Some(Cow::Owned(Value::List(items.collect())))
            }
            Template::Object(id, fields) => {
                let fields = fields.iter().filter_map(|(meaning, field)| {
                    Some((*meaning, field.resolve(variables)?.into_owned()))
                });
                Some(Cow::Owned(Value::Object(*id, fields.collect())))
            }
        }
    }
}

impl InclusionCondition {
    /// Whether the variable has the value.
    pub fn holds(&self, variables: &Variables) -> bool {
        matches!(variables.get(self.variable), Some(Value::Boolean(value)) if *value == self.is)
    }
}

impl Inclusion {
    /// Whether the field is selected.
    pub fn holds(&self, variables: &Variables) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|all| all.iter().all(|condition| condition.holds(variables)))
    }
}
