//! Places at which a test can have the program killed, to see what is left. Not in release builds.

/// Ends the process as `kill -9` does if `GOM_CRASH_AT` names this place: `sent`, or `sent:3` for the third time.
#[cfg(debug_assertions)]
pub(super) fn crash_point(place: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let text = std::env::var("GOM_CRASH_AT").ok()?;
        let (place, times) = text.split_once(':').unwrap_or((&text, "1"));
        Some((place.to_owned(), times.parse().unwrap_or(1)))
    });
    static SEEN: AtomicU32 = AtomicU32::new(0);

    if let Some((wanted, times)) = WANTED.as_ref()
        && wanted == place
        && SEEN.fetch_add(1, Ordering::Relaxed) + 1 == *times
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(not(debug_assertions))]
pub(super) fn crash_point(_: &str) {}
