//! Places at which a test can have the program killed, or its actor, to see what is left. Not in release builds.

/// Ends the process as `kill -9` does if `GOM_CRASH_AT` names this place: `sent`, or `sent:3` for the third time. Panics if
/// `GOM_PANIC_AT` does.
#[cfg(debug_assertions)]
pub fn crash_point(place: &str) {
    static CRASH: wanted::Wanted = wanted::Wanted::by("GOM_CRASH_AT");
    static PANIC: wanted::Wanted = wanted::Wanted::by("GOM_PANIC_AT");
    if CRASH.is_here(place) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    assert!(!PANIC.is_here(place), "a test wants a panic at {place}");
}

#[cfg(debug_assertions)]
mod wanted {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A place that a variable names, and the number of the occurrence.
    pub(super) struct Wanted {
        variable: &'static str,
        place: OnceLock<Option<(String, u32)>>,
        seen: AtomicU32,
    }

    impl Wanted {
        pub(super) const fn by(variable: &'static str) -> Self {
            Wanted {
                variable,
                place: OnceLock::new(),
                seen: AtomicU32::new(0),
            }
        }

        pub(super) fn is_here(&self, place: &str) -> bool {
            let wanted = self.place.get_or_init(|| {
                let text = std::env::var(self.variable).ok()?;
                let (place, times) = text.split_once(':').unwrap_or((&text, "1"));
                Some((place.to_owned(), times.parse().unwrap_or(1)))
            });
            wanted.as_ref().is_some_and(|(wanted, times)| {
                wanted == place && self.seen.fetch_add(1, Ordering::Relaxed) + 1 == *times
            })
        }
    }
}

/// Nothing in a release build.
#[cfg(not(debug_assertions))]
pub fn crash_point(_: &str) {}
