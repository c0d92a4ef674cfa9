//! The paths of an application's endpoints: that they are nobody else's, and the routes that they are in metrics, logs and
//! traces.

use actix_web::dev::ResourceDef;
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

/// Whether a request for one path could be for the other: they are equal, or one is a pattern that takes the other.
fn overlap(one: &str, other: &str) -> bool {
    ResourceDef::new(one).is_match(other) || ResourceDef::new(other).is_match(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_served_already_is_refused() {
        let at = Endpoint::at;
        let added = [at("/club/size").also_at("/club/{member}/size"), at("/club")];
        assert!(check(&added).is_ok());
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
            (vec![at("/club/")], "does not end with one"),
            (vec![at("club")], "begins with a slash"),
        ] {
            let error = check(&added).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
