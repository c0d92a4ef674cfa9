//! What the build knows of itself. A variable of the build that is empty counts as unset.

/// The git revision.
pub fn revision() -> Option<&'static str> {
    set(option_env!("GOM_REVISION"))
}

/// When the program was built, as an ISO 8601 text.
pub fn built_at() -> Option<&'static str> {
    set(option_env!("GOM_BUILT_AT"))
}

fn set(text: Option<&'static str>) -> Option<&'static str> {
    text.filter(|text| !text.is_empty())
}
