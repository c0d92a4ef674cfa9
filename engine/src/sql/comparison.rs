//! How a value is compared with a column.

/// How a field's value relates to an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `field`: equal, null included.
    Equals,
    /// `field_not`: different; a row without a value does not match a value.
    Not,
    /// `field_in`: one of a list.
    In,
    /// `field_not_in`: none of a list.
    NotIn,
    /// `field_lt`
    LessThan,
    /// `field_lte`
    LessOrEqual,
    /// `field_gt`
    GreaterThan,
    /// `field_gte`
    GreaterOrEqual,
    /// `field_contains`: case-sensitive, as all comparisons of text.
    Contains,
    /// `field_not_contains`
    NotContains,
    /// `field_starts_with`
    StartsWith,
    /// `field_not_starts_with`
    NotStartsWith,
    /// `field_ends_with`
    EndsWith,
    /// `field_not_ends_with`
    NotEndsWith,
}
