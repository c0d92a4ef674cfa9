//! From text to a [`PreparedOperation`] operation, all checks in their order: what is cheap and
//! protects what follows comes first.

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, OperationType};

use super::arguments::first_mistake;
use super::collect::{Collector, invalid};
use super::complexity::{Sizes, has_input, has_variable_sizes};
use super::document::{parse, position, remove_live, select};
use super::guard::measure;
use super::limits::RequestLimits;
use super::literal::{Declared, Literals};
use super::names::Names;
use super::operation::{Operation, OperationKind, Template, Value, VariableDefinition};
use super::{PreparedOperation, Validate, weight};
use crate::error::ApiError;
use crate::schema::{ObjectId, Schema};

/// Errors of one validation that are passed on.
const MAX_ERRORS: usize = 10;

pub(super) struct Preparation<'a> {
    pub schema: &'a Schema,
    pub names: &'a Names,
    pub validate: &'a Validate,
    pub assumed_list_size: u64,
    pub limits: &'a RequestLimits,
}

impl Preparation<'_> {
    pub(super) fn run(
        &self,
        text: &str,
        operation_name: Option<&str>,
    ) -> Result<PreparedOperation, Vec<ApiError>> {
        let one = |error| vec![error];
        let (mut document, text_measures) = parse(text, self.limits).map_err(one)?;
        let live = remove_live(&mut document, operation_name).map_err(one)?;
        let definition = &select(&document, operation_name).map_err(one)?.node;
        let mut measures = measure(&document, text_measures.query_bytes).map_err(one)?;
        measures.tokens = text_measures.tokens;
        self.limits.check_expansion(&measures).map_err(one)?;
        self.variable_types_are_known(&document).map_err(one)?;

        let operation_name = operation_name.filter(|name| !name.is_empty());
        let kind = match definition.ty {
            OperationType::Query => OperationKind::Query,
            OperationType::Mutation => OperationKind::Mutation,
            OperationType::Subscription => OperationKind::Subscription,
        };
        if let Err(mut errors) = (self.validate)(&document, operation_name) {
            if let Some(mistake) = self.mistake(&document, definition, kind) {
                return Err(vec![mistake]);
            }
            errors.truncate(MAX_ERRORS);
            return Err(errors);
        }
        let (operation, introspects) = self.operation(&document, definition, kind).map_err(one)?;
        measures.root_fields = operation.fields.len() as u64;
        if !has_variable_sizes(&operation.fields) {
            let sizes = Sizes {
                assumed: self.assumed_list_size,
                variables: None,
            };
            measures.complexity = Some(sizes.complexity(&operation.fields));
        }
        self.limits.check_operation(&measures).map_err(one)?;

        let document_weight = if introspects {
            8 * measures.query_bytes
        } else {
            0
        };
        let weight = weight::operation(&operation) + document_weight;
        let document = introspects.then_some(document);
        let has_input = has_input(&operation.fields);
        let assumed_list_size = self.assumed_list_size;
        Ok(PreparedOperation {
            operation,
            live,
            document,
            measures,
            has_input,
            assumed_list_size,
            weight,
        })
    }

    /// Validation panics on a list of an unknown type that has a default value.
    fn variable_types_are_known(&self, document: &ExecutableDocument) -> Result<(), ApiError> {
        for (_, operation) in document.operations.iter() {
            for variable in &operation.node.variable_definitions {
                let (name, ty) = (&variable.node.name.node, &variable.node.var_type);
                if self.names.input_type(&ty.node).is_none() {
                    let ty_name: String = ty.node.to_string().chars().take(100).collect();
                    let message = format!(
                        "The variable '${name}' has the type '{ty_name}', which is no input type"
                    );
                    return Err(invalid(message, ty.pos));
                }
            }
        }
        Ok(())
    }

    fn root(&self, kind: OperationKind) -> ObjectId {
        match kind {
            OperationKind::Query => self.schema.query,
            OperationKind::Mutation => self.schema.mutation,
            OperationKind::Subscription => self.schema.subscription,
        }
    }

    /// The argument or default value because of which the document is invalid, if it is one.
    fn mistake(
        &self,
        document: &ExecutableDocument,
        definition: &OperationDefinition,
        kind: OperationKind,
    ) -> Option<ApiError> {
        match self.variables(definition) {
            Err(error) => Some(error),
            Ok((literals, _)) => {
                first_mistake(self.names, literals, document, definition, self.root(kind))
            }
        }
    }

    fn operation(
        &self,
        document: &ExecutableDocument,
        definition: &OperationDefinition,
        kind: OperationKind,
    ) -> Result<(Operation, bool), ApiError> {
        let (literals, defaults) = self.variables(definition)?;
        let mut collector = Collector {
            names: self.names,
            document,
            literals,
            introspects: false,
        };
        let fields = collector.root(self.root(kind), kind, &definition.selection_set)?;
        let variables =
            collector
                .literals
                .variables
                .into_iter()
                .zip(defaults)
                .map(|(variable, default)| {
                    let Declared {
                        name,
                        ty,
                        used_as_required,
                        ..
                    } = variable;
                    VariableDefinition {
                        name,
                        ty,
                        default,
                        used_as_required,
                    }
                });
        Ok((
            Operation {
                kind,
                fields,
                variables: variables.collect(),
            },
            collector.introspects,
        ))
    }

    /// The variables that `definition` declares, and their default values.
    fn variables(
        &self,
        definition: &OperationDefinition,
    ) -> Result<(Literals<'_>, Vec<Option<Value>>), ApiError> {
        // While default values are read there are no variables.
        let mut literals = Literals {
            schema: self.schema,
            variables: Vec::new(),
        };
        let mut variables = Vec::with_capacity(definition.variable_definitions.len());
        let mut defaults = Vec::with_capacity(definition.variable_definitions.len());
        for variable in &definition.variable_definitions {
            let name = variable.node.name.node.to_string();
            let Some(ty) = self.names.input_type(&variable.node.var_type.node) else {
                let message = format!("The type of the variable '${name}' is no input type");
                return Err(invalid(message, variable.node.var_type.pos));
            };
            let default = match &variable.node.default_value {
                None => None,
                Some(default) => {
                    let value = default.node.clone().into_value();
                    match literals.template(&ty, &value) {
                        Ok(Template::Constant(default)) => Some(default),
                        Ok(_) => {
                            return Err(invalid(
                                format!("The default value of '${name}' holds a variable"),
                                default.pos,
                            ));
                        }
                        Err(reason) => {
                            let ty = self.schema.type_text(&ty);
                            return Err(reason.of_default(
                                &name,
                                &ty,
                                &value,
                                position(default.pos),
                            ));
                        }
                    }
                }
            };
            let has_default = default
                .as_ref()
                .is_some_and(|default| *default != Value::Null);
            variables.push(Declared {
                name,
                ty,
                has_default,
                used_as_required: false,
            });
            defaults.push(default);
        }
        literals.variables = variables;
        Ok((literals, defaults))
    }
}
