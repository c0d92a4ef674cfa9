//! The meaning of a document, once parsed, validated and resolved against the schema: the selection
//! with merged fields and resolved arguments. Immutable and cached; what differs between requests
//! (the variables' values) is passed beside it.

use crate::datamodel::ModelId;
use crate::error::Position;
use crate::schema::{EnumTypeId, InputId, InputMeaning, OutputMeaning, TypeRef};

/// One operation of a document, ready to be planned.
#[derive(Debug)]
pub struct Operation {
    /// Query, mutation or subscription.
    pub kind: OperationKind,
    /// The root fields, in the order of the answer.
    pub fields: Vec<SelectedField>,
    /// The declared variables.
    pub variables: Vec<VariableDefinition>,
}

/// The three kinds of GraphQL operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Reads.
    Query,
    /// Writes, each root field in a transaction of its own.
    Mutation,
    /// Receives events.
    Subscription,
}

/// A variable that an operation declares.
#[derive(Debug)]
pub struct VariableDefinition {
    /// The name, without `$`.
    pub name: String,
    /// The declared type.
    pub ty: TypeRef,
    /// Coerced already.
    pub default: Option<Value>,
    /// Null is refused although the type takes it: with a default value the variable may be used
    /// where null may not stand.
    pub used_as_required: bool,
}

/// Position of a variable in [`Operation::variables`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariableId(pub usize);

/// One key of the answer, with everything that was selected under it merged.
#[derive(Debug)]
pub struct SelectedField {
    /// The alias, or the field's name. A GraphQL name: `[_A-Za-z][_0-9A-Za-z]*`.
    pub key: String,
    /// The field's name in the schema.
    pub name: String,
    /// What the field stands for.
    pub meaning: Selected,
    /// When the field is part of the answer.
    pub inclusion: Inclusion,
    /// Present arguments only, in the schema's order.
    pub arguments: Vec<(InputMeaning, Template)>,
    /// What is selected of the field's value.
    pub selection: Selection,
    /// Where the document selects the key first.
    pub position: Position,
}

/// What a selected field stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected {
    /// A field of the schema.
    Field(OutputMeaning),
    /// `__typename`
    Typename,
    /// `__schema` or `__type` at the root; answered by the schema, not by a plan.
    Introspection,
}

/// What is selected of a field's value.
#[derive(Debug)]
pub enum Selection {
    /// The field is a leaf.
    Leaf,
    /// Of an object type, whose name answers `__typename`.
    Object {
        /// The object type's name.
        type_name: String,
        /// The selected fields.
        fields: Vec<SelectedField>,
    },
    /// Of the interface `Node`: for each model that implements it.
    Node(Vec<(ModelId, String, Vec<SelectedField>)>),
}

/// `@skip` and `@include`, those of enclosing fragments included: the field is selected if it has
/// no alternatives, or if all conditions of one alternative hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inclusion(pub Vec<Vec<InclusionCondition>>);

/// A Boolean variable that must have the value `is`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InclusionCondition {
    /// The variable that decides.
    pub variable: VariableId,
    /// The value that it must have.
    pub is: bool,
}

/// A value with variables in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// A value without variables.
    Constant(Value),
    /// A variable, with the type expected where it stands (its own type is compatible by
    /// validation).
    Variable(VariableId, TypeRef),
    /// A list with variables in some of its items.
    List(Vec<Template>),
    /// An input object with variables in some of its fields.
    Object(InputId, Vec<(InputMeaning, Template)>),
}

/// A coerced input value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// Null that was given.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// `Int` and `Long`.
    Int(i64),
    /// Every other scalar, in the text that PostgreSQL reads for its type: `String`, `ID`, `UUID`
    /// (lower case), `DateTime` (`2016-07-31T23:59:01.000`, UTC), `Float` (JSON number text),
    /// `Json` (compact).
    Text(String),
    /// A value of an enum type, by its position.
    Enum(EnumTypeId, usize),
    /// The items of a list.
    List(Vec<Value>),
    /// Keys that were given, in the order in which they were given.
    Object(InputId, Vec<(InputMeaning, Value)>),
}

impl Value {
    /// The entry of an object that has the meaning.
    pub fn entry(&self, meaning: InputMeaning) -> Option<&Value> {
        match self {
            Value::Object(_, entries) => entries
                .iter()
                .find(|(m, _)| *m == meaning)
                .map(|(_, value)| value),
            _ => None,
        }
    }
}
