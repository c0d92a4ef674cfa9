//! The schema as text in GraphQL's schema definition language: types in alphabetical order,
//! everything inside them in the API's own order, descriptions included.

use std::fmt::Write;

use indexmap::IndexMap;

use super::types::*;

/// Descriptions longer than this stand on lines of their own.
const MAX_INLINE_DESCRIPTION: usize = 70;

/// The schema definition of everything in `schema`, ending in a line break.
pub fn sdl(schema: &Schema) -> String {
    let mut types: Vec<(&str, String)> = Vec::new();
    types.extend(
        schema
            .objects
            .iter()
            .map(|of| (of.name.as_str(), object(schema, of))),
    );
    types.extend(
        schema
            .inputs
            .iter()
            .map(|of| (of.name.as_str(), input(schema, of))),
    );
    types.extend(
        schema
            .enums
            .iter()
            .map(|of| (of.name.as_str(), enumeration(of))),
    );
    types.extend(
        schema
            .declared_scalars()
            .into_iter()
            .map(|of| (of.name(), scalar(of))),
    );
    types.push((NODE, node()));
    // A type without fields (a root of a datamodel without models) has no definition.
    types.retain(|(_, text)| !text.is_empty());
    types.sort_by_cached_key(|(name, _)| name.to_lowercase());
    let texts: Vec<String> = types.into_iter().map(|(_, text)| text).collect();
    texts.join("\n")
}

fn object(schema: &Schema, of: &ObjectType) -> String {
    let implements = if of.implements_node {
        format!(" implements {NODE}")
    } else {
        String::new()
    };
    let fields = of.fields.iter().map(|(name, field)| {
        let args = arguments(schema, &field.args);
        (
            field.description,
            format!("{name}{args}: {}", schema.type_text(&field.ty)),
        )
    });
    block(
        of.description,
        format!("type {}{implements}", of.name),
        fields,
    )
}

fn node() -> String {
    let [description, id] = NODE_DESCRIPTIONS;
    block(
        Some(description),
        format!("interface {NODE}"),
        [(Some(id), "id: ID!".to_owned())],
    )
}

fn input(schema: &Schema, of: &InputType) -> String {
    let fields = of
        .fields
        .iter()
        .map(|(name, field)| (field.description, input_value(schema, name, field)));
    block(None, format!("input {}", of.name), fields)
}

fn enumeration(of: &EnumType) -> String {
    block(
        None,
        format!("enum {}", of.name),
        of.values.iter().map(|value| (None, value.clone())),
    )
}

fn scalar(of: Scalar) -> String {
    format!(
        "{}scalar {}\n",
        of.description()
            .map_or_else(String::new, |text| description(text, "")),
        of.name()
    )
}

fn input_value(schema: &Schema, name: &str, field: &InputField) -> String {
    format!("{name}: {}", schema.type_text(&field.ty))
}

fn arguments(schema: &Schema, args: &IndexMap<String, InputField>) -> String {
    if args.is_empty() {
        return String::new();
    }
    if args.values().all(|arg| arg.description.is_none()) {
        let args: Vec<String> = args
            .iter()
            .map(|(name, arg)| input_value(schema, name, arg))
            .collect();
        return format!("({})", args.join(", "));
    }
    let mut text = "(\n".to_owned();
    for (name, arg) in args {
        text.extend(arg.description.map(|text| description(text, "    ")));
        text.push_str(&format!("    {}\n", input_value(schema, name, arg)));
    }
    text + "  )"
}

/// A definition with its lines in braces; nothing if it has no lines.
fn block(
    about: Option<&str>,
    head: String,
    lines: impl IntoIterator<Item = (Option<&'static str>, String)>,
) -> String {
    let mut body = String::new();
    for (about, line) in lines {
        if let Some(about) = about {
            let gap = if body.is_empty() { "" } else { "\n" };
            body.push_str(&format!("{gap}{}", description(about, "  ")));
        }
        body.push_str(&format!("  {line}\n"));
    }
    if body.is_empty() {
        return body;
    }
    format!(
        "{}{head} {{\n{body}}}\n",
        about.map_or_else(String::new, |text| description(text, ""))
    )
}

fn description(text: &str, indent: &str) -> String {
    if text.len() <= MAX_INLINE_DESCRIPTION && !text.contains('\n') {
        return format!("{indent}\"\"\"{text}\"\"\"\n");
    }
    let mut lines = format!("{indent}\"\"\"\n");
    for line in text.lines() {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{indent}{line}");
    }
    lines + indent + "\"\"\"\n"
}
