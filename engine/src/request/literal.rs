//! Values written in a document, to templates: every literal is checked against the schema's types,
//! also beside variables, and every variable's type against where it stands.

use async_graphql_value::Value as Literal;

use super::names::fits;
use super::operation::{Template, Value, VariableId};
use super::reason::ValueError;
use super::scalar::{self, GivenLeaf, ValueOrigin};
use crate::datamodel::ScalarType;
use crate::schema::{InputId, InputMeaning, Scalar, Schema, TypeRef};

/// A variable of the operation.
#[derive(Debug)]
pub(super) struct Declared {
    pub name: String,
    pub ty: TypeRef,
    /// There is a default value, and it is not null.
    pub has_default: bool,
    /// Some use does not take null although the type does: legal with a default value, hence to be
    /// checked when values are there.
    pub used_as_required: bool,
}

/// Checks literals for one operation.
#[derive(Debug)]
pub(super) struct Literals<'a> {
    pub schema: &'a Schema,
    pub variables: Vec<Declared>,
}

impl Literals<'_> {
    pub(super) fn template(
        &mut self,
        ty: &TypeRef,
        value: &Literal,
    ) -> Result<Template, ValueError> {
        match (ty, value) {
            (_, Literal::Variable(name)) => self.variable(ty, name.as_str()),
            (TypeRef::NonNull(inner), Literal::Null) => Err(expected(self.schema, inner)),
            (TypeRef::NonNull(inner), value) => self.template(inner, value),
            (_, Literal::Null) => Ok(Template::Constant(Value::Null)),
            (TypeRef::List(item), Literal::List(values)) => self.list(item, values),
            (TypeRef::List(item), value) => Ok(list(vec![self.template(item, value)?])),
            (TypeRef::Scalar(scalar), value) => {
                scalar::scalar(*scalar, given(value), ValueOrigin::Document).map(Template::Constant)
            }
            (TypeRef::Enum(id), value) => {
                scalar::enumeration(self.schema, *id, given(value), ValueOrigin::Document)
                    .map(Template::Constant)
            }
            (TypeRef::Input(id), Literal::Object(fields)) => self.object(*id, fields),
            (TypeRef::Input(_) | TypeRef::Object(_) | TypeRef::Node, _) => {
                Err(expected(self.schema, ty))
            }
        }
    }

    fn list(&mut self, item: &TypeRef, values: &[Literal]) -> Result<Template, ValueError> {
        let mut items = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            items.push(
                self.template(item, value)
                    .map_err(|reason| reason.in_item(index))?,
            );
        }
        Ok(list(items))
    }

    fn object(
        &mut self,
        id: InputId,
        values: &async_graphql::indexmap::IndexMap<async_graphql::Name, Literal>,
    ) -> Result<Template, ValueError> {
        let schema = self.schema;
        let ty = schema.input(id);
        let mut fields = Vec::with_capacity(values.len());
        for (name, value) in values {
            let Some(field) = ty.fields.get(name.as_str()) else {
                return Err(undefined(name, &ty.name));
            };
            let template = self
                .template(&field.ty, value)
                .map_err(|reason| reason.in_field(name))?;
            fields.push((field.meaning, template));
        }
        for (name, field) in &ty.fields {
            if matches!(field.ty, TypeRef::NonNull(_)) && !values.contains_key(name.as_str()) {
                return Err(missing(name, &schema.type_text(&field.ty)));
            }
        }
        Ok(object(id, fields))
    }

    /// A variable where `expected` is expected.
    pub(super) fn variable(
        &mut self,
        expected: &TypeRef,
        name: &str,
    ) -> Result<Template, ValueError> {
        let position = self
            .variables
            .iter()
            .position(|variable| variable.name == name);
        let Some(position) = position else {
            return Err(ValueError::about_variable(format!(
                "The variable '${name}' is not defined"
            )));
        };
        let variable = &mut self.variables[position];
        let fitting = match (&variable.ty, expected) {
            (given @ TypeRef::NonNull(_), expected) => fits(given, expected),
            (given, TypeRef::NonNull(inner)) if variable.has_default && fits(given, inner) => {
                variable.used_as_required = true;
                true
            }
            (given, expected) => fits(given, expected),
        };
        if !fitting {
            let given = self.schema.type_text(&variable.ty);
            let expected = self.schema.type_text(expected);
            return Err(ValueError::about_variable(format!(
                "The variable '${name}' is of type '{given}', but '{expected}' is expected"
            )));
        }
        Ok(Template::Variable(VariableId(position), expected.clone()))
    }
}

/// The error for a value of the wrong kind.
pub(super) fn expected(schema: &Schema, ty: &TypeRef) -> ValueError {
    match ty {
        TypeRef::Scalar(scalar) => scalar::expected(*scalar),
        TypeRef::NonNull(inner) => expected(schema, inner),
        TypeRef::List(_) => ValueError::new(format!(
            "List value of type '{}' expected",
            schema.type_text(ty)
        )),
        TypeRef::Enum(_) => ValueError::new(format!(
            "Enum value of type '{}' expected",
            schema.type_text(ty)
        )),
        TypeRef::Input(_) | TypeRef::Object(_) | TypeRef::Node => ValueError::new(format!(
            "Object value of type '{}' expected",
            schema.type_text(ty)
        )),
    }
}

pub(super) fn undefined(field: &str, ty: &str) -> ValueError {
    let shown: String = field.chars().take(100).collect();
    ValueError::new(format!(
        "Field '{shown}' is not defined in the input type '{ty}'."
    ))
    .in_field(&shown)
}

pub(super) fn missing(field: &str, ty: &str) -> ValueError {
    ValueError::new(format!(
        "Field '{field}' of required type '{ty}' was not provided."
    ))
    .in_field(field)
}

fn given(value: &Literal) -> GivenLeaf<'_> {
    match value {
        Literal::Boolean(value) => GivenLeaf::Boolean(*value),
        Literal::Number(number) => GivenLeaf::Number(number),
        Literal::String(text) => GivenLeaf::Text(text),
        Literal::Enum(name) => GivenLeaf::Name(name),
        Literal::Null
        | Literal::List(_)
        | Literal::Object(_)
        | Literal::Variable(_)
        | Literal::Binary(_) => GivenLeaf::Other,
    }
}

/// A constant if all items are.
fn list(items: Vec<Template>) -> Template {
    if items
        .iter()
        .all(|item| matches!(item, Template::Constant(_)))
    {
        Template::Constant(Value::List(
            items.into_iter().filter_map(constant).collect(),
        ))
    } else {
        Template::List(items)
    }
}

/// A constant if all fields are.
fn object(id: InputId, fields: Vec<(InputMeaning, Template)>) -> Template {
    if fields
        .iter()
        .all(|(_, field)| matches!(field, Template::Constant(_)))
    {
        let fields = fields
            .into_iter()
            .filter_map(|(meaning, field)| Some((meaning, constant(field)?)));
        Template::Constant(Value::Object(id, fields.collect()))
    } else {
        Template::Object(id, fields)
    }
}

fn constant(template: Template) -> Option<Value> {
    match template {
        Template::Constant(value) => Some(value),
        _ => None,
    }
}

/// `Boolean!`, the type of the argument of `@skip` and `@include`.
pub(super) fn required_boolean() -> TypeRef {
    TypeRef::NonNull(Box::new(TypeRef::Scalar(Scalar::Data(ScalarType::Boolean))))
}
