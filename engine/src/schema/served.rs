//! The schema as async-graphql's, which validates documents and answers introspection. It never
//! executes a data field: rows come from statements (see `docs/ARCHITECTURE.md`).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use async_graphql::async_trait::async_trait;
use async_graphql::dynamic::{
    self, Enum, Field, FieldFuture, FieldValue, InputObject, InputValue, Interface, InterfaceField,
    Object, Subscription, SubscriptionField, SubscriptionFieldFuture,
};
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute};
use async_graphql::futures_util::stream::empty;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{Request, Response, ServerError, Variables};

use super::live_directive::declare;
use super::types::{self, NODE, NODE_DESCRIPTIONS, Schema, TypeRef};
use crate::error::Position;
use crate::error::{ApiError, ErrorKind, PathSegment};

/// How deep selections may nest, counted through fragments. A guard of the thread's stack only: the
/// limits of the API are far below it and are checked before.
const MAX_STACK_DEPTH: usize = 128;

/// The schema that validates the API's documents.
pub struct Served {
    schema: dynamic::Schema,
}

/// Why a generated schema cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The sentences of [`Schema::clashes`].
    #[error("the datamodel gives one name to two things of the API: {}", .0.join("; "))]
    Clashes(Vec<String>),
    /// The reason that async-graphql gives.
    #[error("the datamodel makes no valid GraphQL schema: {0}")]
    Invalid(String),
}

impl Served {
    /// Takes some tens of milliseconds for hundreds of types: once for each datamodel, not for each
    /// request.
    ///
    /// # Errors
    /// Names that clash, or a schema that async-graphql refuses.
    pub fn new(schema: &Schema) -> Result<Self, SchemaError> {
        if !schema.clashes.is_empty() {
            return Err(SchemaError::Clashes(schema.clashes.clone()));
        }
        let [mutation, subscription] = [schema.mutation, schema.subscription].map(|root| {
            let root = schema.object(root);
            (!root.fields.is_empty()).then_some(root)
        });
        let query = schema.object(schema.query);
        let mut builder = dynamic::Schema::build(
            &query.name,
            mutation.map(|root| root.name.as_str()),
            subscription.map(|root| root.name.as_str()),
        )
        .limit_recursive_depth(MAX_STACK_DEPTH)
        .extension(ValidateOnly);
        for scalar in schema.declared_scalars() {
            let mut made = dynamic::Scalar::new(scalar.name());
            if let Some(text) = scalar.description() {
                made = made.description(text);
            }
            builder = builder.register(made);
        }
        for of in &schema.enums {
            builder = builder.register(Enum::new(&of.name).items(&of.values));
        }
        for of in &schema.inputs {
            let fields = of
                .fields
                .iter()
                .map(|(name, field)| input_value(schema, name, field));
            builder = builder.register(fields.fold(InputObject::new(&of.name), InputObject::field));
        }
        for (id, of) in schema
            .objects
            .iter()
            .enumerate()
            .filter(|(_, of)| !of.fields.is_empty())
        {
            builder = if id == schema.subscription.0 {
                builder.register(subscription_type(schema, of))
            } else {
                builder.register(object_type(schema, of))
            };
        }
        let [node, id] = NODE_DESCRIPTIONS;
        let id = InterfaceField::new("id", dynamic::TypeRef::named_nn(dynamic::TypeRef::ID))
            .description(id);
        builder = builder.register(Interface::new(NODE).description(node).field(id));
        let schema = builder
            .finish()
            .map_err(|error| SchemaError::Invalid(error.0))?;
        Ok(Served { schema })
    }

    /// Validates a document by GraphQL's rules, for its operation of that name (or its only one).
    /// Values of variables play no part: the verdict belongs to the text.
    ///
    /// What the caller must check besides (read in async-graphql 7.2.1): whether a variable's type
    /// fits where the variable stands (the rule is there but never called); literals beside
    /// variables in one argument; the formats of the datamodel's own scalars, whose literals all
    /// pass; and, before this, that variables' types are input types of the schema, because a list
    /// of an unknown type with a default value panics.
    ///
    /// # Errors
    /// Everything that is wrong with the document.
    pub fn validate(
        &self,
        document: &ExecutableDocument,
        operation_name: Option<&str>,
    ) -> Result<(), Vec<ApiError>> {
        let request = request(document.clone(), operation_name).data(OnlyValidate);
        let errors = run(self.schema.execute(request))
            .map_or_else(|error| vec![error], |answer| answer.errors);
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors.into_iter().map(api_error).collect())
        }
    }

    /// Answers `__schema`, `__type` and `__typename` at the root of a validated query or mutation;
    /// the other root fields are there as null, for the caller to replace.
    pub fn introspect(
        &self,
        document: ExecutableDocument,
        operation_name: Option<&str>,
        variables: Variables,
    ) -> Response {
        let asked = document.clone();
        let request = request(document, operation_name)
            .variables(variables)
            .only_introspection();
        let mut response = run(self.schema.execute(request))
            .unwrap_or_else(|error| Response::from_errors(vec![error]));
        declare(&asked, operation_name, &mut response);
        response
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

fn request(document: ExecutableDocument, operation_name: Option<&str>) -> Request {
    let mut request = Request::new("");
    request.set_parsed_query(document);
    match operation_name {
        Some(name) => request.operation_name(name),
        None => request,
    }
}

fn object_type(schema: &Schema, of: &types::ObjectType) -> Object {
    let mut object = Object::new(&of.name);
    if let Some(text) = of.description {
        object = object.description(text);
    }
    if of.implements_node {
        object = object.implement(NODE);
    }
    for (name, field) in &of.fields {
        // Never called: introspection does not descend into data fields, and nothing else is
        // executed.
        let mut made = Field::new(name, type_ref(schema, &field.ty), |_| {
            FieldFuture::from_value(None)
        });
        if let Some(text) = field.description {
            made = made.description(text);
        }
        for (name, arg) in &field.args {
            made = made.argument(input_value(schema, name, arg));
        }
        object = object.field(made);
    }
    object
}

fn subscription_type(schema: &Schema, of: &types::ObjectType) -> Subscription {
    let mut object = Subscription::new(&of.name);
    for (name, field) in &of.fields {
        // Never called, like those of objects.
        let mut made = SubscriptionField::new(name, type_ref(schema, &field.ty), |_| {
            SubscriptionFieldFuture::new(async { Ok(empty::<async_graphql::Result<FieldValue>>()) })
        });
        if let Some(text) = field.description {
            made = made.description(text);
        }
        for (name, arg) in &field.args {
            made = made.argument(input_value(schema, name, arg));
        }
        object = object.field(made);
    }
    object
}

fn input_value(schema: &Schema, name: &str, field: &types::InputField) -> InputValue {
    let value = InputValue::new(name, type_ref(schema, &field.ty));
    match field.description {
        Some(text) => value.description(text),
        None => value,
    }
}

fn type_ref(schema: &Schema, ty: &TypeRef) -> dynamic::TypeRef {
    match ty {
        TypeRef::List(inner) => dynamic::TypeRef::List(Box::new(type_ref(schema, inner))),
        TypeRef::NonNull(inner) => dynamic::TypeRef::NonNull(Box::new(type_ref(schema, inner))),
        named => dynamic::TypeRef::named(schema.type_name(named)),
    }
}

fn api_error(error: ServerError) -> ApiError {
    let positions = error.locations.iter().map(|pos| Position {
        line: pos.line,
        column: pos.column,
    });
    let path = error.path.into_iter().map(|segment| match segment {
        async_graphql::PathSegment::Field(name) => PathSegment::Key(name),
        async_graphql::PathSegment::Index(index) => PathSegment::Index(index),
    });
    let mut made = ApiError::new(ErrorKind::ValidationFailed, error.message);
    made.locations = positions.collect();
    made.path = path.collect();
    made
}

/// Marks a request that ends where execution would begin.
struct OnlyValidate;

struct ValidateOnly;

impl ExtensionFactory for ValidateOnly {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(ValidateOnly)
    }
}

#[async_trait]
impl Extension for ValidateOnly {
    async fn execute(
        &self,
        context: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        if context.data_opt::<OnlyValidate>().is_some() {
            return Response::default();
        }
        next.run(context, operation_name).await
    }
}

/// Records that the future is to be polled again.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs a future that is async in name only: it waits for nothing outside itself, but may yield.
fn run(future: impl Future<Output = Response>) -> Result<Response, ServerError> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return Ok(answer);
        }
        if !woken.0.swap(false, Ordering::Acquire) {
            // Nothing here waits for a timer or a socket, so nothing could wake it later.
            return Err(ServerError::new("The schema could not be consulted", None));
        }
    }
}
