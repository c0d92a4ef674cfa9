//! The place of an event in the history of the database.

use std::fmt;
use std::str::FromStr;

/// Where a subscriber stands: after this event. The same on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// Positions of different epochs cannot be compared: a database that was restored has another
    /// one.
    pub epoch: u64,
    /// Of the transaction, in the order in which transactions are delivered; from 1.
    pub position: u64,
    /// Of the event in its transaction, from 0. [`Cursor::WHOLE`]: after the whole transaction.
    pub part: u32,
}

impl Cursor {
    /// The [`Cursor::part`] of a whole transaction.
    pub const WHOLE: u32 = u32::MAX;

    /// After the whole transaction at a position.
    pub fn after(epoch: u64, position: u64) -> Self {
        Cursor {
            epoch,
            position,
            part: Cursor::WHOLE,
        }
    }
}

/// `EPOCH-POSITION` or `EPOCH-POSITION-PART`, in hexadecimal; opaque to clients.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor {
            epoch,
            position,
            part,
        } = self;
        write!(f, "{epoch:x}-{position:x}")?;
        if *part == Cursor::WHOLE {
            Ok(())
        } else {
            write!(f, "-{part:x}")
        }
    }
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor: send the one of the last event as it was received, or none")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let number = |part: &str| {
            let digits =
                (1..=16).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
            if digits {
                u64::from_str_radix(part, 16).map_err(|_| CursorError)
            } else {
                Err(CursorError)
            }
        };
        let mut parts = text.split('-');
        let mut next = || parts.next().map(number).transpose();
        let (Some(epoch), Some(position), part) = (next()?, next()?, next()?) else {
            return Err(CursorError);
        };
        let part = part.map_or(Ok(Cursor::WHOLE), |part| {
            u32::try_from(part).map_err(|_| CursorError)
        })?;
        if parts.next().is_some() {
            Err(CursorError)
        } else {
            Ok(Cursor {
                epoch,
                position,
                part,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for cursor in [
            Cursor {
                epoch: 0xab,
                position: 1,
                part: 0,
            },
            Cursor::after(u64::MAX, u64::MAX),
        ] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in [
            "",
            "-",
            "1",
            "1-",
            "1-2-",
            "1-2-3-4",
            "x-1",
            "1-+2",
            "1-2-100000000",
            "11111111111111111-1",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad}");
        }
    }
}
