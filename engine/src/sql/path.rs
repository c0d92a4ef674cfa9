//! Where a value is that the hub's index finds subscriptions and live queries by.

use std::fmt;

use crate::datamodel::FieldId;

/// More hops would make each change cost too much.
const MAX_HOPS: usize = 3;

/// A place, seen from a changed node: a column of the node, or of rows that relation fields lead
/// to, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    hops: [Option<FieldId>; MAX_HOPS],
    column: FieldId,
    before: bool,
}

impl Path {
    /// In the node's own column.
    pub fn column(column: FieldId) -> Path {
        Path {
            hops: [None; MAX_HOPS],
            column,
            before: false,
        }
    }

    /// In a column of the partners that a relation field leads to.
    pub fn linked(hop: FieldId, column: FieldId) -> Path {
        let mut path = Path::column(column);
        path.hops[0] = Some(hop);
        path
    }

    /// The path from the partners of a relation field, seen from who has the field. `None`, if it
    /// becomes too long.
    pub fn through(hop: FieldId, Path { hops, column, .. }: Path) -> Option<Path> {
        let [first, second, third] = hops;
        third.is_none().then_some(Path {
            hops: [Some(hop), first, second],
            column,
            before: false,
        })
    }

    /// The same place before the change: of nodes that are there after it as well.
    #[must_use]
    pub fn before(self) -> Path {
        Path {
            before: true,
            ..self
        }
    }

    /// Whether the value is the one that the node had before the change.
    pub fn is_before(self) -> bool {
        self.before
    }

    /// The relation fields, in order.
    pub fn hops(self) -> impl Iterator<Item = FieldId> {
        self.hops.into_iter().flatten()
    }

    /// The field of the node itself with which the path begins.
    pub fn first(self) -> FieldId {
        self.hops[0].unwrap_or(self.column)
    }

    /// The column at the end.
    pub fn end(self) -> FieldId {
        self.column
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.hops[0].is_none() {
            "Column"
        } else {
            "Linked"
        };
        let when = if self.before { "Before" } else { "" };
        let mut path = f.debug_tuple(&format!("{kind}{when}"));
        self.hops().chain([self.column]).for_each(|field| {
            path.field(&field);
        });
        path.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_grows_at_its_beginning_up_to_a_length() {
        let field = FieldId;
        let path = Path::through(field(1), Path::linked(field(2), field(3)));
        let path = path.expect("two hops");
        assert_eq!(path.hops().collect::<Vec<_>>(), [field(1), field(2)]);
        assert_eq!((path.end(), path.is_before()), (field(3), false));
        let longest = Path::through(field(0), path).expect("three hops");
        assert_eq!(Path::through(field(0), longest), None);
        assert_ne!(path, path.before());
        assert_eq!(path.before(), path.before().before());
    }
}
