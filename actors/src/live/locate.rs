//! Up to where a subscriber has been served: a restart with other rights goes on from there.

use actix::{Handler, Message};
use gom_engine::events::Cursor;

use super::groups::Member;
use super::hub::{Core, Hub};
use super::local::Located;
use gom_runtime::supervision::post;

/// Asks up to where a member has been served.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Locate {
    pub member: Member,
    /// Of the last event that it has had. It stands as long as it will be kept for a good while: of what follows it, the new
    /// rights may allow more.
    pub last: Option<Cursor>,
}

impl Handler<Locate> for Hub {
    type Result = ();

    fn handle(&mut self, Locate { member, last }: Locate, _: &mut Self::Context) {
        let oldest = self.core.oldest.get();
        let after = self.core.served(member).map(|served| match last {
            Some(last) if is_kept(last, oldest, served) => last,
            _ => served,
        });
        // Behind what was sent before. Where the mailbox is full, the asker does not wait for long.
        if let Some(outlet) = self.core.workers.borrow().get(&member.worker) {
            let _ = post(
                outlet,
                Located {
                    slot: member.slot,
                    after,
                },
            );
        }
    }
}

impl Core {
    /// Up to where a member has been served, events among which none was for it included. Nothing of one that has not arrived.
    fn served(&self, member: Member) -> Option<Cursor> {
        let groups = self.groups.borrow();
        let (id, group, attached) = groups.group_of(member)?;
        if !attached {
            return self.slow.reached(&group.owner, id);
        }
        self.whole()
    }
}

/// Whether a cursor lies in the newer half of what is kept.
fn is_kept(last: Cursor, oldest: u64, served: Cursor) -> bool {
    let kept = |position: u64| position.saturating_sub(oldest);
    last.may_be_of(served.epoch)
        && last.position >= oldest
        && kept(last.position) >= kept(served.position) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_stands_in_the_newer_half_of_what_is_kept() {
        let kept = |position| is_kept(Cursor::after(1, position), 100, Cursor::after(1, 200));
        assert_eq!(
            [99, 100, 149, 150, 200].map(kept),
            [false, false, false, true, true]
        );
        assert!(
            !is_kept(Cursor::after(2, 200), 100, Cursor::after(1, 200)),
            "of another epoch"
        );
        let of_client = Cursor {
            nonce: 7,
            ..Cursor::after(0, 200)
        };
        assert!(is_kept(of_client, 100, Cursor::after(1, 200)));
    }
}
