//! A migration that is added must be embedded, even when nothing else has changed.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
