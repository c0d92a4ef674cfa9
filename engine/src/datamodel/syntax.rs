//! The syntax of a datamodel: text → types, fields, enums and directives with their places. Knows
//! no rule beyond the grammar: which directives there are and what they mean is for the checks.

use apollo_parser::cst::{self, CstNode};
use apollo_parser::{Parser, SyntaxNode};

use super::error::Findings;
use super::foreign;

/// Nesting of lists and values that the parser follows; the language needs three.
const MAX_NESTING: usize = 64;

/// Something read from the text, with the byte offset at which it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spanned<T> {
    pub at: usize,
    pub value: T,
}

impl<T> Spanned<T> {
    fn new(at: usize, value: T) -> Self {
        Spanned { at, value }
    }
}

#[derive(Debug, Default)]
pub(super) struct Document {
    pub types: Vec<TypeText>,
    pub enums: Vec<EnumText>,
}

#[derive(Debug)]
pub(super) struct TypeText {
    pub name: Spanned<String>,
    pub directives: Vec<DirectiveText>,
    pub fields: Vec<FieldText>,
}

#[derive(Debug)]
pub(super) struct EnumText {
    pub name: Spanned<String>,
    pub values: Vec<Spanned<String>>,
}

#[derive(Debug)]
pub(super) struct FieldText {
    pub name: Spanned<String>,
    pub type_name: Spanned<String>,
    pub list: bool,
    /// The outer `!`.
    pub required: bool,
    pub directives: Vec<DirectiveText>,
}

#[derive(Debug)]
pub(super) struct DirectiveText {
    pub name: Spanned<String>,
    pub arguments: Vec<(Spanned<String>, Spanned<ValueText>)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ValueText {
    String(String),
    /// As written, so that no digit is lost.
    Int(String),
    Float(String),
    Boolean(bool),
    Name(String),
    /// `null`, a list, an object, a variable: used by no directive of the language.
    Other(&'static str),
}

impl ValueText {
    /// For messages: what stands there.
    pub(super) fn describe(&self) -> String {
        match self {
            ValueText::String(text) => format!("the string {text:?}"),
            ValueText::Int(text) | ValueText::Float(text) => format!("the number {text}"),
            ValueText::Boolean(value) => format!("`{value}`"),
            ValueText::Name(name) => format!("the name `{name}`"),
            ValueText::Other(what) => (*what).to_string(),
        }
    }
}

/// Reads as much as it can; what is wrong goes to `findings`, and only a text without findings is
/// complete.
pub(super) fn read(text: &str, findings: &mut Findings) -> Document {
    let tree = Parser::new(text).recursion_limit(MAX_NESTING).parse();
    let empty = tree.document().definitions().next().is_none() && tree.errors().all(|e| e.is_eof());
    if empty {
        // Comments only: the checks report that there is no type.
        return Document::default();
    }
    let mut last_place = None;
    if tree.errors().len() > 0
        && let Some((at, message, remedy)) = foreign::lost_brace(text)
    {
        findings.add(at, message, remedy);
        return Document::default();
    }
    for error in tree.errors() {
        // Further errors at the same place repeat the first in other words.
        if last_place.replace(error.index()) == Some(error.index()) {
            continue;
        }
        let message = match error.data() {
            "" if error.is_limit() => "this is nested too deeply".to_string(),
            "" => format!("the text ends too early: {}", error.message()),
            data => format!(
                "`{}` cannot stand here: {}",
                first_line(data),
                error.message()
            ),
        };
        findings.add(
            error.index(),
            message,
            "a datamodel is made of `type Name { field: Type @directive }` and `enum Name { VALUE }`",
        );
    }
    let mut document = Document::default();
    if !findings.is_empty() {
        return document;
    }
    for definition in tree.document().definitions() {
        match definition {
            cst::Definition::ObjectTypeDefinition(node) => {
                document.types.extend(read_type(&node, findings));
            }
            cst::Definition::EnumTypeDefinition(node) => {
                document.enums.extend(read_enum(&node, findings));
            }
            other => findings.add(
                start(other.syntax()),
                format!("a datamodel has no {}", spaced_words(other.kind())),
                "only `type` and `enum` stand in a datamodel",
            ),
        }
    }
    document
}

fn read_type(node: &cst::ObjectTypeDefinition, findings: &mut Findings) -> Option<TypeText> {
    let name = read_name(node.name()?);
    if let Some(interfaces) = node.implements_interfaces() {
        findings.add(
            start(interfaces.syntax()),
            format!("the type `{}` implements an interface", name.value),
            "types of a datamodel implement nothing; remove `implements`",
        );
    }
    let fields = node
        .fields_definition()
        .map(|fields| {
            fields
                .field_definitions()
                .filter_map(|f| read_field(&f, findings))
                .collect()
        })
        .unwrap_or_default();
    Some(TypeText {
        name,
        directives: read_directives(node.directives()),
        fields,
    })
}

fn read_field(node: &cst::FieldDefinition, findings: &mut Findings) -> Option<FieldText> {
    let name = read_name(node.name()?);
    if let Some(arguments) = node.arguments_definition() {
        findings.add(
            start(arguments.syntax()),
            format!("the field `{}` has arguments", name.value),
            "fields of a datamodel have none; remove them",
        );
    }
    let (ty, required) = strip_non_null(node.ty()?);
    let (named, list) = match ty {
        cst::Type::NamedType(named) => (named, false),
        cst::Type::ListType(outer) => match strip_non_null(outer.ty()?).0 {
            cst::Type::NamedType(named) => (named, true),
            _ => {
                findings.add(
                    start(outer.syntax()),
                    format!("the field `{}` is a list of lists", name.value),
                    "a list holds single values: `[Type!]!`",
                );
                return None;
            }
        },
        cst::Type::NonNullType(_) => return None,
    };
    let type_name = read_name(named.name()?);
    Some(FieldText {
        name,
        type_name,
        list,
        required,
        directives: read_directives(node.directives()),
    })
}

/// The type without its `!`, and whether it had one.
fn strip_non_null(ty: cst::Type) -> (cst::Type, bool) {
    let cst::Type::NonNullType(node) = &ty else {
        return (ty, false);
    };
    match (node.named_type(), node.list_type()) {
        (Some(named), _) => (cst::Type::NamedType(named), true),
        (None, Some(list)) => (cst::Type::ListType(list), true),
        (None, None) => (ty, true),
    }
}

fn read_enum(node: &cst::EnumTypeDefinition, findings: &mut Findings) -> Option<EnumText> {
    let name = read_name(node.name()?);
    for directive in read_directives(node.directives()) {
        warn_of_enum_directive(&directive, findings);
    }
    let mut values = Vec::new();
    for value in node
        .enum_values_definition()
        .into_iter()
        .flat_map(|v| v.enum_value_definitions())
    {
        for directive in read_directives(value.directives()) {
            warn_of_enum_directive(&directive, findings);
        }
        values.extend(value.enum_value().and_then(|v| v.name()).map(read_name));
    }
    Some(EnumText { name, values })
}

fn warn_of_enum_directive(directive: &DirectiveText, findings: &mut Findings) {
    findings.warn(
        directive.name.at,
        format!(
            "`@{}` stands at an enum, and has no effect",
            directive.name.value
        ),
        "enums and their values take no directives; remove it",
    );
}

fn read_directives(node: Option<cst::Directives>) -> Vec<DirectiveText> {
    let directives = node.into_iter().flat_map(|d| d.directives());
    directives
        .filter_map(|directive| {
            let mut name = read_name(directive.name()?);
            name.at = start(directive.syntax());
            let arguments = directive
                .arguments()
                .into_iter()
                .flat_map(|a| a.arguments());
            let arguments = arguments.filter_map(|argument| {
                Some((read_name(argument.name()?), read_value(argument.value()?)))
            });
            Some(DirectiveText {
                name,
                arguments: arguments.collect(),
            })
        })
        .collect()
}

fn read_value(value: cst::Value) -> Spanned<ValueText> {
    let at = start(value.syntax());
    let text = match value {
        // Cannot panic: the lexer has checked every escape, and texts with lexical errors do not
        // come here.
        cst::Value::StringValue(string) => ValueText::String(String::from(string)),
        cst::Value::IntValue(number) => ValueText::Int(token_text(number.syntax())),
        cst::Value::FloatValue(number) => ValueText::Float(token_text(number.syntax())),
        cst::Value::BooleanValue(value) => ValueText::Boolean(value.true_token().is_some()),
        cst::Value::EnumValue(value) => ValueText::Name(
            value
                .name()
                .map(|n| n.text().to_string())
                .unwrap_or_default(),
        ),
        cst::Value::NullValue(_) => ValueText::Other("`null`"),
        cst::Value::ListValue(_) => ValueText::Other("a list"),
        cst::Value::ObjectValue(_) => ValueText::Other("an object"),
        cst::Value::Variable(_) => ValueText::Other("a variable"),
    };
    Spanned::new(at, text)
}

fn read_name(name: cst::Name) -> Spanned<String> {
    Spanned::new(start(name.syntax()), name.text().to_string())
}

fn start(node: &SyntaxNode) -> usize {
    node.text_range().start().into()
}

fn token_text(node: &SyntaxNode) -> String {
    node.first_token()
        .map(|t| t.text().to_string())
        .unwrap_or_default()
}

fn first_line(data: &str) -> String {
    data.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(40)
        .collect()
}

/// `InterfaceTypeDefinition` → `interface type definition`.
fn spaced_words(kind: &str) -> String {
    let mut words = String::new();
    for c in kind.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}
