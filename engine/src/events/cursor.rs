//! The place of an event in the history of the database.

use std::fmt;
use std::str::FromStr;

/// Where a subscriber stands: after this event. The same on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// Positions of different epochs cannot be compared. 0: of a cursor that a client has sent, whose
    /// nonce decides.
    pub epoch: u64,
    /// Of the transaction, in the order in which transactions are delivered; from 1.
    pub position: u64,
    /// Of the change in its transaction, from 0. [`Cursor::WHOLE`]: after the whole transaction.
    pub part: u32,
    /// Of the event, where a change of another row causes several, from 0. [`Cursor::ALL`]: after
    /// all events of the change.
    pub step: u16,
    /// Of the stamp at the position: a log that lost the stamp gives the position again, with another
    /// nonce. 0: not known, of a cursor of an earlier version.
    pub nonce: u64,
}

impl Cursor {
    /// The [`Cursor::part`] of a whole transaction.
    pub const WHOLE: u32 = u32::MAX;

    /// The [`Cursor::step`] of a whole change.
    pub const ALL: u16 = u16::MAX;

    /// After the whole transaction at a position, whose nonce is not known.
    pub fn after(epoch: u64, position: u64) -> Self {
        Cursor::after_change(epoch, position, Cursor::WHOLE)
    }

    /// After a change, the `part`th of its transaction.
    pub fn after_change(epoch: u64, position: u64, part: u32) -> Self {
        Cursor {
            epoch,
            position,
            part,
            step: Cursor::ALL,
            nonce: 0,
        }
    }

    /// Whether its epoch is this one, as far as it is known: else its nonce decides.
    pub fn may_be_of(self, epoch: u64) -> bool {
        self.epoch == epoch || (self.epoch == 0 && self.nonce != 0)
    }

    /// The last one at or before this one that is after all events of a change.
    #[must_use]
    pub fn whole_change(self) -> Self {
        match (self.step, self.part) {
            (Cursor::ALL, _) => self,
            // Of the transaction before, the nonce is not known.
            (_, 0) => Cursor::after(self.epoch, self.position.saturating_sub(1)),
            (_, part) => Cursor {
                part: part - 1,
                step: Cursor::ALL,
                ..self
            },
        }
    }
}

/// `EPOCH-POSITION`, `EPOCH-POSITION-PART` or `EPOCH-POSITION-PART-STEP`, in hexadecimal, as earlier
/// versions gave it to clients.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor {
            epoch,
            position,
            part,
            step,
            nonce: _,
        } = self;
        write!(f, "{epoch:x}-{position:x}")?;
        if *part != Cursor::WHOLE {
            write!(f, "-{part:x}")?;
        }
        if *step != Cursor::ALL {
            write!(f, "-{step:x}")?;
        }
        Ok(())
    }
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor: send the one of the last event as it was received, or none")]
pub struct CursorError;

/// Without a step: texts are read of servers that had none.
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
            Ok(Cursor::after_change(epoch, position, part))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for cursor in [
            Cursor::after_change(0xab, 1, 0),
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
            "1-2-3-4",
            "11111111111111111-1",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad}");
        }
    }

    #[test]
    fn a_step_is_before_the_whole_of_its_change_and_after_the_change_before() {
        let step = |part, step| Cursor {
            step,
            ..Cursor::after_change(1, 7, part)
        };
        let whole = |part| Cursor::after_change(1, 7, part);
        assert!(whole(0) < step(1, 0) && step(1, 0) < step(1, 1) && step(1, 1) < whole(1));
        assert_eq!(step(1, 1).whole_change(), whole(0));
        assert_eq!(step(0, 1).whole_change(), Cursor::after(1, 6));
        assert_eq!(whole(0).whole_change(), whole(0));
    }
}
