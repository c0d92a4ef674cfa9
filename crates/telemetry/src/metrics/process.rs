//! What Linux reports of this process. Elsewhere nothing is shown.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use super::metric::BASES;
use super::slots;
use super::{
    Metric, PROCESS_FILES, PROCESS_MOST_FILES, PROCESS_RESIDENT, PROCESS_START, PROCESS_THREADS,
    PROCESS_VIRTUAL,
};

/// Reads the process's files, threads, memory and CPU time into their metrics.
pub fn read_process() {
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One is the open directory itself.
        PROCESS_FILES.set((), (files.count() as u64).saturating_sub(1));
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        PROCESS_MOST_FILES.set((), most);
    }
    let Some(stat) = fs::read_to_string("/proc/self/stat")
        .ok()
        .as_deref()
        .and_then(Stat::of)
    else {
        return;
    };
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let nanoseconds = |count: u64| count.saturating_mul(1_000_000_000 / ticks);
    // A counter that the kernel keeps.
    slots::set(BASES[Metric::ProcessCpu as usize], nanoseconds(stat.cpu));
    PROCESS_THREADS.set((), stat.threads);
    PROCESS_VIRTUAL.set((), stat.virtual_bytes);
    PROCESS_RESIDENT.set(
        (),
        stat.resident_pages
            .saturating_mul(rustix::param::page_size() as u64),
    );
    // The machine's clock and its age are reported with different resolutions: if both were read again, the start would move.
    static BOOTED: OnceLock<Option<Duration>> = OnceLock::new();
    if let Some(booted) = *BOOTED.get_or_init(booted) {
        PROCESS_START.set_duration((), booted + Duration::from_nanos(nanoseconds(stat.started)));
    }
}

/// When the machine began, since 1970.
fn booted() -> Option<Duration> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    now.checked_sub(Duration::try_from_secs_f64(seconds).ok()?)
}

/// Fields of `/proc/self/stat` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// In user and system mode, in ticks.
    cpu: u64,
    threads: u64,
    /// In ticks since the machine began.
    started: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn of(text: &str) -> Option<Stat> {
        // The second field is the program's name in brackets, which may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The first of these is the third of all.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Stat {
            cpu: field(14)? + field(15)?,
            threads: field(20)?,
            started: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let text = "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 0 0 0 30 12 0 0 20 0 5 0 900 4096 3 18446744073709551615";
        let expected = Stat {
            cpu: 42,
            threads: 5,
            started: 900,
            virtual_bytes: 4096,
            resident_pages: 3,
        };
        assert_eq!(Stat::of(text), Some(expected));
    }

    #[test]
    fn this_process_has_memory_and_files() {
        read_process();
        assert!(
            PROCESS_RESIDENT
                .value(())
                .is_some_and(|bytes| bytes > 1 << 20)
        );
        assert!(PROCESS_FILES.value(()).is_some_and(|count| count > 2));
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let started = Duration::from_nanos(PROCESS_START.value(()).unwrap());
        assert!(
            now > started && now - started < Duration::from_secs(3_600),
            "{started:?}"
        );
        read_process();
        assert_eq!(
            PROCESS_START.value(()).map(Duration::from_nanos),
            Some(started),
            "a start does not move"
        );
    }
}
