//! The paths of an application's endpoints: that they are nobody else's, and the routes that they are in metrics, logs and
//! traces.

use gom_telemetry::metrics::{MAX_APPLICATION_ROUTES, Route};

use super::additions::Additions;
use super::endpoint::Endpoint;
use super::endpoints;

/// An endpoint of the application cannot be served at its path.
#[derive(Debug, thiserror::Error)]
#[error("the application's endpoint {path} cannot be served: {reason}; give it another path")]
pub struct RouteError {
    path: &'static str,
    reason: String,
}

/// Gives the application's endpoints routes of their own: their paths. There is room for [`MAX_APPLICATION_ROUTES`] paths
/// without parameters; requests to others are counted as `other`. Another path of the same endpoint (`also_at`) is counted as
/// the endpoint.
///
/// # Errors
/// If a path is the server's, or another endpoint's.
pub fn register_routes(additions: &Additions) -> Result<(), RouteError> {
    let added = (additions.endpoints)();
    check(&added)?;
    for path in added.iter().map(Endpoint::path) {
        if path.contains('{') || Route::of_application(path) == Route::Other {
            tracing::warn!(
                path,
                room = MAX_APPLICATION_ROUTES,
                "requests to an endpoint of the application are counted as other"
            );
        }
    }
    Ok(())
}

fn check(added: &[Endpoint]) -> Result<(), RouteError> {
    let own = endpoints(&Additions::default());
    let mut taken: Vec<&'static str> = own
        .iter()
        .flat_map(Endpoint::paths)
        // What takes the paths that are left.
        .filter(|path| !path.starts_with("/{"))
        .chain(["/metrics"])
        .collect();
    for path in added.iter().flat_map(Endpoint::paths) {
        let refused = |reason| Err(RouteError { path, reason });
        if !path.starts_with('/') || path.ends_with('/') {
            return refused("a path begins with a slash, and does not end with one".to_owned());
        }
        if let Some(other) = taken.iter().find(|other| overlap(path, other)) {
            return refused(format!("{other} is served there"));
        }
        taken.push(path);
    }
    Ok(())
}

/// Whether there may be a request for both paths, as actix-web matches them: a pattern takes one segment, unless it is a tail or has an
/// expression that may match a slash. What else an expression leaves out is not looked at: paths that are to be distinguished differ
/// in a text.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (segments(one).into_iter(), segments(other).into_iter());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if takes_rest(one) || takes_rest(other) => {
                return begin_alike(one, other);
            }
            (Some(one), Some(other)) if may_be_equal(one, other) => {}
            _ => return false,
        }
    }
}

/// Whether one segment may match both: their texts before and after their patterns agree.
fn may_be_equal(one: &str, other: &str) -> bool {
    match (one.rsplit_once('}'), other.rsplit_once('}')) {
        (None, None) => one == other,
        (Some((_, end)), None) => begin_alike(one, other) && other.ends_with(end),
        (None, Some((_, end))) => begin_alike(one, other) && one.ends_with(end),
        (Some((_, end)), Some((_, other_end))) => {
            begin_alike(one, other) && (end.ends_with(other_end) || other_end.ends_with(end))
        }
    }
}

fn begin_alike(one: &str, other: &str) -> bool {
    match (one.split_once('{'), other.split_once('{')) {
        (None, None) => one == other,
        (Some((begin, _)), None) => other.starts_with(begin),
        (None, Some((begin, _))) => one.starts_with(begin),
        (Some((begin, _)), Some((other_begin, _))) => {
            begin.starts_with(other_begin) || other_begin.starts_with(begin)
        }
    }
}

/// What is between slashes; those in a pattern's expression separate nothing.
fn segments(path: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let separates = |character: char| {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == '/' && depth == 0
    };
    path.split(separates).collect()
}

/// Whether a pattern goes on beyond the next slash: `{tail}*`, `{tail:.*}`, `{tail:a|b/c}`.
fn takes_rest(segment: &str) -> bool {
    let Some((_, mut rest)) = segment.split_once('{') else {
        return false;
    };
    loop {
        let end = end_of_pattern(rest);
        let (pattern, after) = rest.split_at(end.unwrap_or(rest.len()));
        let expression = pattern.split_once(':').map(|(_, expression)| expression);
        if after.starts_with("}*") || expression.is_some_and(may_cross) {
            return true;
        }
        match after.split_once('{') {
            Some((_, next)) => rest = next,
            None => return false,
        }
    }
}

/// Where the brace is that closes a pattern, of which the opening one is left out.
fn end_of_pattern(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether an expression may match a slash. Those that are known not to are of texts, of `\d`, `\w`, `\s`, and of classes without a
/// slash, or without everything but a slash; what is not read here may.
fn may_cross(expression: &str) -> bool {
    let mut rest = expression.chars();
    while let Some(character) = rest.next() {
        match character {
            '.' | '/' => return true,
            '\\' if rest.next().is_none_or(|escaped| !is_harmless(escaped)) => return true,
            '[' => {
                let class: String = rest.by_ref().take_while(|one| *one != ']').collect();
                if class_may_cross(&class) {
                    return true;
                }
            }
            '(' if rest.as_str().starts_with('?') && !rest.as_str().starts_with("?:") => {
                return true;
            }
            _ => {}
        }
    }
    false
}

fn is_harmless(escaped: char) -> bool {
    matches!(escaped, 'd' | 'w' | 's') || (escaped.is_ascii_punctuation() && escaped != '/')
}

fn class_may_cross(class: &str) -> bool {
    // A class in a class, or of several.
    let is_nested = class.contains('[') || ["&&", "--", "~~"].iter().any(|of| class.contains(of));
    if class.is_empty() || is_nested {
        return true;
    }
    if let Some(others) = class.strip_prefix('^') {
        return !others.contains('/');
    }
    let characters: Vec<char> = class.chars().collect();
    let escapes = characters
        .iter()
        .enumerate()
        .filter(|(_, one)| **one == '\\');
    let mut escaped = escapes.map(|(at, _)| characters.get(at + 1));
    let is_range = |three: &[char]| three[1] == '-' && (three[0]..=three[2]).contains(&'/');
    class.contains('/')
        || escaped.any(|one| one.is_none_or(|one| !is_harmless(*one)))
        || characters.windows(3).any(is_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_the_segments_that_actix_web_gives_them() {
        use actix_web::dev::ResourceDef;

        let expressions = [
            r"\d+",
            r"[a-z]+",
            "[^/]+",
            r"[\w\-]{2,3}",
            "(?:a|b)",
            r"x\.y",
            "[^/a]+",
            "[^a/]+",
            "[A-Za-z0-9._~-]+",
            ".*",
            ".{1,3}",
            r"\D+",
            r"\S+",
            "[^a]+",
            "a|a/b",
            "[+-9]+",
            r"[\D]+",
            "(?s:.)+",
            r"a\x2fb",
        ];
        let probes = [
            "12", "ab", "a", "b", "x.y", "a/b", "+/9", "a/", "/", "//", "x/y/z",
        ];
        for expression in expressions {
            let pattern = format!("/{{it:{expression}}}");
            let resource = ResourceDef::new(pattern.as_str());
            let crosses = probes
                .iter()
                .any(|probe| probe.contains('/') && resource.is_match(&format!("/{probe}")));
            let seen = takes_rest(&pattern[1..]);
            assert!(seen || !crosses, "{expression}");
            // What is no more than a segment is not taken for more.
            assert!(crosses || !seen, "{expression}");
        }
        // Two paths overlap if there is a request that both match.
        for (one, other, expected) in [
            (
                "/{tenant}/report",
                "/graphql/{file}",
                Some("/graphql/report"),
            ),
            ("/{tenant}/report", "/graphql/graphql/{file}", None),
            ("/{tenant}", "/club/size", None),
            ("/club/v{number}", "/club/size", None),
            ("/club/v{number}", "/club/{name}", Some("/club/v1")),
            ("/club/{name}.css", "/club/{name}.js", None),
            ("/club/{name}.css", "/club/a.css", Some("/club/a.css")),
            ("/club/{number:\\d+}", "/club/1/size", None),
            ("/club/{name:[^a]+}", "/club/1/size", Some("/club/1/size")),
            ("/club/{rest}*", "/club/1/size", Some("/club/1/size")),
            ("/club/a{rest}*", "/club/b/size", None),
        ] {
            assert_eq!(overlap(one, other), expected.is_some(), "{one} {other}");
            assert_eq!(overlap(other, one), expected.is_some(), "{one} {other}");
            for path in [one, other] {
                let resource = ResourceDef::new(path);
                assert!(
                    expected.is_none_or(|request| resource.is_match(request)),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn a_path_that_is_served_already_is_refused() {
        let at = Endpoint::at;
        let added = [at("/club/size").also_at("/club/{member}/size"), at("/club")];
        assert!(check(&added).is_ok());
        let added = [
            at("/club/{name}"),
            at("/{tenant}/size/{unit:[^/]+}"),
            at("/{tenant}/names/{unit}"),
            at("/other/{rest}*"),
        ];
        let checked = check(&added);
        assert!(checked.is_err(), "{{tenant}} may be other");
        assert!(check(&added[..3]).is_ok());
        for (added, expected) in [
            (vec![at("/graphql")], "/graphql is served there"),
            (
                vec![at("/club").also_at("/status")],
                "/status is served there",
            ),
            (vec![at("/metrics")], "/metrics is served there"),
            (vec![at("/graphql/club")], "/graphql/{file} is served there"),
            (vec![at("/auth/{any}")], "is served there"),
            (vec![at("/club"), at("/club")], "/club is served there"),
            (
                vec![at("/club/{name}"), at("/club/size")],
                "/club/{name} is served there",
            ),
            (
                vec![at("/club/{name}/of"), at("/{tenant}/size/of")],
                "/club/{name}/of is served there",
            ),
            (
                vec![at("/club/{name}"), at("/{tenant}/size")],
                "is served there",
            ),
            (
                vec![at("/club/{name}/size"), at("/club/{rest:.*}")],
                "/club/{name}/size is served there",
            ),
            (
                vec![at("/club/{rest}*"), at("/club/{name}/size")],
                "/club/{rest}* is served there",
            ),
            (vec![at("/club/")], "does not end with one"),
            (vec![at("club")], "begins with a slash"),
        ] {
            let error = check(&added).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
