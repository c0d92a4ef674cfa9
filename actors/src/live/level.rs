//! Reports the position of the hub to subscribers now and then, so that the position of one for whom there is nothing does not grow
//! old.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{AsyncContext, AtomicResponse, Handler, Message, WrapFuture};
use gom_engine::events::Cursor;

use super::hub::{Core, Hub};
use super::local::LocalHub;
use gom_runtime::supervision::{Context, post};

const LEVEL_INTERVAL: Duration = Duration::from_secs(20);

/// Reports the position of the hub to subscribers.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct TellLevel;

/// These subscribers have what there was for them up to here.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Level {
    pub slots: Vec<u64>,
    pub with: Cursor,
}

impl Hub {
    /// Sends subscribers their level, as soon as one wants it.
    pub fn send_level_often(ctx: &mut Context<Self>) {
        ctx.run_interval(LEVEL_INTERVAL, |hub, ctx| {
            if hub.core.shared.level_is_wanted.load(Ordering::Relaxed) {
                // One that finds no room comes with the next interval.
                let _ = post(&ctx.address(), TellLevel);
            }
        });
    }
}

impl Handler<TellLevel> for Hub {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: TellLevel, _: &mut Self::Context) -> Self::Result {
        let core = Rc::clone(&self.core);
        AtomicResponse::new(Box::pin(
            async move { core.send_level().await }.into_actor(self),
        ))
    }
}

impl Core {
    /// Behind the events themselves, and so not before they are handed over. In the middle of a transaction no level
    /// is sent.
    async fn send_level(&self) {
        let place = self.place.get();
        let Some(epoch) = self.epoch.get().filter(|_| place.is_whole()) else {
            return;
        };
        let level = self.groups.borrow().level();
        for (worker, slots) in level {
            self.send(
                worker,
                Level {
                    slots,
                    with: place.cursor(epoch),
                },
            )
            .await;
        }
    }
}

impl Handler<Level> for LocalHub {
    type Result = ();

    fn handle(&mut self, level: Level, _: &mut Self::Context) {
        level
            .slots
            .iter()
            .for_each(|slot| self.sinks.level(*slot, level.with));
    }
}
