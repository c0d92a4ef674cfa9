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

/// Whether there may be a request for both paths: in each place the same text, or a pattern in one of them. What a pattern's
/// expression leaves out is not looked at: paths that are to be distinguished differ in a text.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (segments(one).into_iter(), segments(other).into_iter());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if takes_rest(one) || takes_rest(other) => return true,
            (Some(one), Some(other))
                if one == other || one.contains('{') || other.contains('{') => {}
            _ => return false,
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

/// Whether a pattern goes on beyond the next slash: `{tail}*`, `{tail:.*}`.
fn takes_rest(segment: &str) -> bool {
    segment.contains('{')
        && (segment.ends_with("}*") || segment.contains(".*") || segment.contains(".+"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
