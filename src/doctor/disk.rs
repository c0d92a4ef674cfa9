//! The folder of the private database.

use super::Patient;
use super::report::Report;

const MEBIBYTE: u64 = 1 << 20;
/// PostgreSQL stops when nothing is left.
const TOO_LITTLE: u64 = 256 * MEBIBYTE;
const LITTLE: u64 = 2_048 * MEBIBYTE;

pub(super) fn examine(patient: &Patient, report: &mut Report) {
    let settings = &patient.settings;
    let mut found = report.of("disk");
    if settings.database.url.is_some() {
        return found.skipped(
            "embedded.data_dir",
            "the database is elsewhere, and so is its disk",
        );
    }
    // The folder is made at first start: until then, where it will be.
    let folder = settings.embedded.data_dir.as_path();
    let place = folder
        .ancestors()
        .find(|place| place.is_dir())
        .unwrap_or(std::path::Path::new("."));
    match rustix::fs::statvfs(place) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let text = format!("{} MiB are free for {}", free / MEBIBYTE, folder.display());
            let remedy = "free some, or set embedded.data_dir to a larger disk";
            match free {
                free if free < TOO_LITTLE => found.problem("embedded.data_dir", text, remedy),
                free if free < LITTLE => found.warning("embedded.data_dir", text, remedy),
                _ => found.ok("embedded.data_dir", text),
            }
        }
        Err(error) => found.problem(
            "embedded.data_dir",
            format!("{} cannot be looked at: {error}", place.display()),
            "correct the path, or who may use it",
        ),
    }
}
