//! The routes of an application's endpoints, as a label's values: registered at start, a bounded number of them.

use std::sync::OnceLock;

use super::labels::Route;

/// Routes that the process's applications may have. Those beyond are counted as [`Route::Other`].
pub const MAX_APPLICATION_ROUTES: usize = ROUTES.len();

const ROUTES: [Route; 8] = [
    Route::Application1,
    Route::Application2,
    Route::Application3,
    Route::Application4,
    Route::Application5,
    Route::Application6,
    Route::Application7,
    Route::Application8,
];

static TEXTS: [OnceLock<&'static str>; MAX_APPLICATION_ROUTES] =
    [const { OnceLock::new() }; MAX_APPLICATION_ROUTES];

impl Route {
    /// The route with this text, which is registered if there is room.
    pub fn of_application(text: &'static str) -> Route {
        let mut places = TEXTS.iter().zip(ROUTES);
        places
            .find(|(place, _)| *place.get_or_init(|| text) == text)
            .map_or(Route::Other, |(_, route)| route)
    }

    /// The route that was registered with a text.
    pub fn registered(text: &str) -> Option<Route> {
        let mut places = TEXTS.iter().zip(ROUTES);
        places
            .find(|(place, _)| place.get().is_some_and(|registered| *registered == text))
            .map(|(_, route)| route)
    }
}

/// The text of the nth registered route.
pub(super) fn text(place: usize) -> &'static str {
    let text = TEXTS.get(place).and_then(OnceLock::get);
    text.copied().unwrap_or("unregistered")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_route_and_those_beyond_the_bound_are_other() {
        let texts = ["/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h"];
        let routes = texts.map(Route::of_application);
        assert_eq!(routes, ROUTES);
        assert_eq!(Route::of_application("/c"), Route::Application3);
        assert_eq!(routes.map(Route::as_str), texts);
        assert_eq!(Route::of_application("/i"), Route::Other);
        assert_eq!(Route::registered("/h"), Some(Route::Application8));
        assert_eq!(Route::registered("/i"), None);
    }
}
