//! What a write makes by itself, always the same.

use gom_engine::plan::Source;

pub struct Fixed;

impl Source for Fixed {
    fn cuid(&mut self) -> String {
        "new".into()
    }

    fn uuid(&mut self) -> String {
        "new".into()
    }

    fn code(&mut self, characters: usize) -> String {
        "x".repeat(characters)
    }

    fn now(&mut self) -> String {
        "2026-11-23T00:00:00.000".into()
    }
}
