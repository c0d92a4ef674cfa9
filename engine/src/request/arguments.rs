//! The arguments of a document that validation has refused: if one of them is at fault, the error
//! names it as Prisma does, and it is the only one. Tolerates everything else that may be wrong
//! with the document.

use std::collections::HashSet;

use async_graphql::Positioned;
use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet,
};

use super::document::position;
use super::literal::Literals;
use super::names::Names;
use crate::error::ApiError;
use crate::schema::{ObjectId, TypeRef};

/// The first argument in the order of the text that is not of its type.
pub(super) fn first_mistake<'d>(
    names: &Names,
    literals: Literals,
    document: &'d ExecutableDocument,
    operation: &'d OperationDefinition,
    root: ObjectId,
) -> Option<ApiError> {
    let mut search = Search {
        names,
        literals,
        document,
        visited: HashSet::new(),
    };
    search
        .set(Some(root), &operation.selection_set.node)
        .err()
        .map(|error| *error)
}

struct Search<'a, 'd> {
    names: &'a Names,
    literals: Literals<'a>,
    document: &'d ExecutableDocument,
    visited: HashSet<&'d str>,
}

impl<'d> Search<'_, 'd> {
    /// `object` is `None` for the interface `Node`, whose own fields have no arguments.
    fn set(
        &mut self,
        object: Option<ObjectId>,
        set: &'d SelectionSet,
    ) -> Result<(), Box<ApiError>> {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => self.field(object, field)?,
                Selection::InlineFragment(fragment) => {
                    let on = match &fragment.node.type_condition {
                        Some(condition) => self.names.object(condition.node.on.node.as_str()),
                        None => object,
                    };
                    self.set(on, &fragment.node.selection_set.node)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    if let Some(fragment) = self.document.fragments.get(name)
                        && self.visited.insert(name)
                    {
                        let on = self
                            .names
                            .object(fragment.node.type_condition.node.on.node.as_str());
                        self.set(on, &fragment.node.selection_set.node)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        object: Option<ObjectId>,
        field: &'d Positioned<Field>,
    ) -> Result<(), Box<ApiError>> {
        let schema = self.literals.schema;
        let known =
            object.and_then(|id| schema.object(id).fields.get(field.node.name.node.as_str()));
        let Some(known) = known else { return Ok(()) };
        for (name, value) in &field.node.arguments {
            let Some(argument) = known.args.get(name.node.as_str()) else {
                continue;
            };
            match self.literals.template(&argument.ty, &value.node) {
                Err(reason) if !reason.about_variable => {
                    let ty = schema.type_text(&argument.ty);
                    return Err(Box::new(reason.of_argument(
                        &name.node,
                        &ty,
                        &value.node,
                        position(value.pos),
                    )));
                }
                _ => {}
            }
        }
        let object = if let TypeRef::Object(id) = known.ty.named() {
            Some(*id)
        } else {
            None
        };
        self.set(object, &field.node.selection_set.node)
    }
}
