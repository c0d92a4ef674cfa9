//! The program: the library's commands, with the shop as the server's application.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gom::run(&gom_shop::Shop)
}
