//! The document as a page to read. Knows OpenAPI as far as our own document uses it; all links are relative, since a
//! proxy may serve the page from any folder.

use std::fmt::Write as _;

use serde_json::Value;

/// The whole page.
pub fn html(document: &Value) -> String {
    let info = &document["info"];
    let title = escaped(text(&info["title"]));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: the API</title>\n<link rel=\"stylesheet\" href=\"openapi.css\">\n</head>\n<body>\n\
         <h1>{title} <span class=\"quiet\">{}</span></h1>\n\
         <p>For programs: <a href=\"openapi.json\">openapi.json</a>.</p>\n",
        escaped(text(&info["version"]))
    );
    out += &paragraphs(text(&info["description"]));
    out += "<nav aria-label=\"Operations\">\n<ul>\n";
    for (path, method, operation) in operations(document) {
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "<li><a href=\"#{}\"><span class=\"method\">{}</span> {}</a></li>",
            escaped(text(&operation["operationId"])),
            method.to_uppercase(),
            escaped(path)
        );
    }
    out += "</ul>\n</nav>\n<main>\n";
    for tag in list(&document["tags"]) {
        let _ = writeln!(out, "<h2>{}</h2>", escaped(text(&tag["name"])));
        out += &paragraphs(text(&tag["description"]));
        let of_tag =
            operations(document).filter(|(_, _, operation)| operation["tags"][0] == tag["name"]);
        of_tag.for_each(|(path, method, operation)| {
            write_operation(&mut out, document, path, method, operation)
        });
    }
    out += "<h2>Who asks</h2>\n<dl>\n";
    for (name, scheme) in pairs(&document["components"]["securitySchemes"]) {
        let place = match text(&scheme["type"]) {
            "http" => "<code>Authorization: Bearer</code>".to_owned(),
            _ => format!(
                "{} <code>{}</code>",
                escaped(text(&scheme["in"])),
                escaped(text(&scheme["name"]))
            ),
        };
        let description = paragraphs(text(&scheme["description"]));
        let _ = writeln!(
            out,
            "<dt>{}</dt><dd><p>{place}</p>{description}</dd>",
            escaped(name)
        );
    }
    out += "</dl>\n<h2>Schemas</h2>\n";
    for (name, schema) in pairs(&document["components"]["schemas"]) {
        let _ = writeln!(
            out,
            "<article id=\"schema-{0}\"><h3>{0}</h3>{1}</article>",
            escaped(name),
            schema_block(schema)
        );
    }
    out += "</main>\n</body>\n</html>\n";
    out
}

fn write_operation(
    out: &mut String,
    document: &Value,
    path: &str,
    method: &str,
    operation: &Value,
) {
    let _ = writeln!(
        out,
        "<article id=\"{}\">\n<h3><span class=\"method\">{}</span> <code>{}</code></h3>\n<p>{}</p>",
        escaped(text(&operation["operationId"])),
        method.to_uppercase(),
        escaped(path),
        escaped(text(&operation["summary"]))
    );
    *out += &paragraphs(text(&operation["description"]));
    let callers = list(&operation["security"])
        .iter()
        .map(callers)
        .collect::<Vec<_>>()
        .join(", or ");
    let _ = writeln!(out, "<dl>\n<dt>Asked by</dt><dd>{callers}</dd>");
    for parameter in list(&operation["parameters"]) {
        let _ = writeln!(
            out,
            "<dt>{} <code>{}</code></dt><dd>{}{}</dd>",
            escaped(text(&parameter["in"])),
            escaped(text(&parameter["name"])),
            paragraphs(text(&parameter["description"])),
            match &parameter["content"] {
                Value::Null => schema_block(&parameter["schema"]),
                content => contents(content),
            }
        );
    }
    let body = &operation["requestBody"];
    if !body.is_null() {
        let _ = writeln!(
            out,
            "<dt>Body</dt><dd>{}{}</dd>",
            paragraphs(text(&body["description"])),
            contents(&body["content"])
        );
    }
    for (status, answer) in pairs(&operation["responses"]) {
        let headers = pairs(&answer["headers"]).map(|(name, header)| {
            let header = header["$ref"]
                .as_str()
                .and_then(|path| document.pointer(&path[1..]))
                .unwrap_or(header);
            format!(
                "<dt><code>{}</code></dt><dd>{}</dd>",
                escaped(name),
                paragraphs(text(&header["description"]))
            )
        });
        let _ = writeln!(
            out,
            "<dt>{status}</dt><dd>{}{}<details><summary>Headers</summary><dl>{}</dl></details></dd>",
            paragraphs(text(&answer["description"])),
            contents(&answer["content"]),
            headers.collect::<String>()
        );
    }
    *out += "</dl>\n</article>\n";
}

/// `session and csrf`; an empty requirement is anyone's.
fn callers(requirement: &Value) -> String {
    let schemes: Vec<_> = pairs(requirement)
        .map(|(name, _)| format!("<code>{}</code>", escaped(name)))
        .collect();
    if schemes.is_empty() {
        "anyone".to_owned()
    } else {
        schemes.join(" and ")
    }
}

fn contents(contents: &Value) -> String {
    let shown = pairs(contents).map(|(media_type, content)| {
        format!(
            "<p><code>{}</code></p>{}",
            escaped(media_type),
            schema_block(&content["schema"])
        )
    });
    shown.collect()
}

/// A schema as JSON, in which references are links.
fn schema_block(schema: &Value) -> String {
    const REFERENCE: &str = "#/components/schemas/";
    let shown = escaped(&format!("{schema:#}"));
    let mut parts = shown.split(REFERENCE);
    let mut linked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_at(part.find('&').unwrap_or(part.len()));
        let _ = write!(
            linked,
            "<a href=\"#schema-{name}\">{REFERENCE}{name}</a>{rest}"
        );
    }
    format!("<pre><code>{linked}</code></pre>")
}

/// The little of CommonMark that our texts have: paragraphs, `code`, **strong**.
fn paragraphs(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.is_empty());
    paragraphs
        .map(|paragraph| {
            format!(
                "<p>{}</p>\n",
                spans(&spans(&escaped(paragraph), "`", "code"), "**", "strong")
            )
        })
        .collect()
}

fn spans(text: &str, mark: &str, element: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, part) in text.split(mark).enumerate() {
        if i % 2 == 1 {
            let _ = write!(out, "<{element}>{part}</{element}>");
        } else {
            out += part;
        }
    }
    out
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    pairs(&document["paths"]).flat_map(|(path, operations)| {
        pairs(operations).map(move |(method, value)| (path, method, value))
    })
}

fn pairs(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_and_references_become_html() {
        assert_eq!(
            paragraphs("**A** `<b>` & c\n\nd"),
            "<p><strong>A</strong> <code>&lt;b&gt;</code> &amp; c</p>\n<p>d</p>\n"
        );
        let block = schema_block(&json!([{ "$ref": "#/components/schemas/A" }, "<"]));
        assert!(
            block.contains("&quot;<a href=\"#schema-A\">#/components/schemas/A</a>&quot;"),
            "{block}"
        );
        assert!(block.contains("&lt;"), "{block}");
    }

    #[test]
    fn nothing_on_the_page_leaves_it_or_runs() {
        let page = html(&super::super::document(&crate::http::Additions::default()));
        let targets = page
            .split("href=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        for target in targets {
            let known = ["openapi.css", "openapi.json"].contains(&target);
            let anchor = target
                .strip_prefix('#')
                .is_some_and(|id| page.contains(&format!("id=\"{id}\"")));
            assert!(known || anchor, "{target}");
        }
        for forbidden in ["<script", "src=", "style=", "<style"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }
}
