//! RFC 6902 as a client applies it: the operations that the server promises to use.

use serde_json::Value;

/// The document after all operations.
pub fn patched(mut document: Value, operations: &[Value]) -> Value {
    for operation in operations {
        apply(&mut document, operation).unwrap_or_else(|| panic!("{operation} does not apply"));
    }
    document
}

/// Nothing if it cannot be applied.
fn apply(document: &mut Value, operation: &Value) -> Option<()> {
    let mut tokens: Vec<String> = operation["path"]
        .as_str()?
        .split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .collect();
    let last = tokens.pop()?;
    let mut parent = document;
    for token in &tokens {
        parent = match parent {
            Value::Array(elements) => elements.get_mut(token.parse::<usize>().ok()?)?,
            inside => inside.get_mut(token)?,
        };
    }
    let value = operation.get("value").cloned();
    match parent {
        Value::Array(elements) => {
            let at: usize = last.parse().ok()?;
            match operation["op"].as_str()? {
                "add" if at <= elements.len() => elements.insert(at, value?),
                "remove" if at < elements.len() => drop(elements.remove(at)),
                "replace" => *elements.get_mut(at)? = value?,
                _ => return None,
            }
        }
        Value::Object(members) => match operation["op"].as_str()? {
            "add" => drop(members.insert(last, value?)),
            "remove" => drop(members.remove(&last)?),
            "replace" => *members.get_mut(&last)? = value?,
            _ => return None,
        },
        _ => return None,
    }
    Some(())
}
