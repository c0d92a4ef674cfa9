//! The schema's types by their names, as documents mention them.

use std::collections::HashMap;

use async_graphql::parser::types::{BaseType, Type};

use crate::schema::{ObjectId, Scalar, Schema, TypeRef};

/// An index over a [`Schema`], made once.
#[derive(Debug)]
pub(super) struct Names {
    inputs: HashMap<String, TypeRef>,
    objects: HashMap<String, ObjectId>,
}

impl Names {
    pub(super) fn new(schema: &Schema) -> Self {
        let scalars = Scalar::ALL
            .iter()
            .map(|s| (s.name().to_owned(), TypeRef::Scalar(*s)));
        let enums = (0..schema.enums.len()).map(crate::schema::EnumTypeId);
        let enums = enums.map(|id| (schema.enumeration(id).name.clone(), TypeRef::Enum(id)));
        let inputs = (0..schema.inputs.len()).map(crate::schema::InputId);
        let inputs = inputs.map(|id| (schema.input(id).name.clone(), TypeRef::Input(id)));
        let objects = (0..schema.objects.len()).map(ObjectId);
        Names {
            inputs: scalars.chain(enums).chain(inputs).collect(),
            objects: objects
                .map(|id| (schema.object(id).name.clone(), id))
                .collect(),
        }
    }

    /// The type of a variable; `None` if there is no such type or it is not for input.
    pub(super) fn input_type(&self, ty: &Type) -> Option<TypeRef> {
        let base = match &ty.base {
            BaseType::Named(name) => self.inputs.get(name.as_str())?.clone(),
            BaseType::List(item) => TypeRef::List(Box::new(self.input_type(item)?)),
        };
        Some(if ty.nullable {
            base
        } else {
            TypeRef::NonNull(Box::new(base))
        })
    }

    pub(super) fn object(&self, name: &str) -> Option<ObjectId> {
        self.objects.get(name).copied()
    }
}

/// Whether a value of type `given` may stand where `expected` is expected.
pub(super) fn fits(given: &TypeRef, expected: &TypeRef) -> bool {
    match (given, expected) {
        (TypeRef::NonNull(given), TypeRef::NonNull(expected)) => fits(given, expected),
        (_, TypeRef::NonNull(_)) => false,
        (TypeRef::NonNull(given), expected) => fits(given, expected),
        (TypeRef::List(given), TypeRef::List(expected)) => fits(given, expected),
        (given, expected) => given == expected,
    }
}
