//! What a write makes by itself: ids, codes and times that stay the same from run to run.

use gom_engine::plan::ValueSource;

#[derive(Default)]
pub struct Counted(u32);

impl ValueSource for Counted {
    fn cuid(&mut self) -> String {
        self.0 += 1;
        format!("new{}", self.0)
    }

    fn uuid(&mut self) -> String {
        self.cuid()
    }

    fn code(&mut self, characters: usize) -> String {
        self.0 += 1;
        format!("{:0characters$}", self.0)
    }

    fn now(&mut self) -> String {
        "2026-11-23T00:00:00.000".into()
    }
}
