//! How much the requests of one user, and of all, may make the process hold, and how much may wait for them to be read: checked
//! when a request arrives, and again when its turn has come. Knows no transport.

use std::sync::Arc;

use gom_engine::error::{ApiError, ErrorKind};
use gom_runtime::waiting::{Account, Full, Reader, Waiting, WaitingBounds};

use crate::graphql::Admission;
use crate::identity::Viewer;
use crate::settings::{AllLimits, Limits};

/// What may wait for clients; `server`: in all.
pub fn waiting(limits: &AllLimits, server: usize) -> Waiting {
    Waiting::new(WaitingBounds {
        service: limits.service.waiting_bytes,
        user: limits.everyone.waiting_bytes,
        all: server,
    })
}

/// What requests make the process hold.
#[derive(Clone)]
pub struct HeldRequests {
    waiting: Waiting,
    limits: Arc<AllLimits>,
    server: usize,
}

impl HeldRequests {
    /// `server`: how much there may be in all.
    pub fn new(limits: &Arc<AllLimits>, server: usize) -> Self {
        HeldRequests {
            waiting: Waiting::new(WaitingBounds {
                service: limits.service.request_bytes,
                user: limits.everyone.request_bytes,
                all: server,
            }),
            limits: Arc::clone(limits),
            server,
        }
    }

    /// What is held of the viewer's.
    pub fn account(&self, viewer: &Viewer) -> Arc<Account> {
        self.account_of(&reader(viewer))
    }

    /// What is held of a reader's: of clients at an address, if it is not known yet whose requests they are.
    pub fn account_of(&self, reader: &Reader) -> Arc<Account> {
        self.waiting.account(reader)
    }

    /// Why a request is not accepted.
    pub fn refusal(&self, viewer: &Viewer, full: Full) -> ApiError {
        match full {
            Full::Reader => {
                let (section, limits) = limits_of(&self.limits, viewer);
                ApiError::new(
                    ErrorKind::TooManyRequests,
                    format!(
                        "Requests of yours arrive, wait, are carried out, or go on as subscriptions; the limit is {} bytes \
                         ({section}.request_bytes). Nothing was done. Try again when some have ended.",
                        limits.request_bytes
                    ),
                )
            }
            Full::All => ApiError::new(
                ErrorKind::Unavailable,
                format!(
                    "Too many requests arrive or go on; the limit is {} bytes (server.request_bytes). Nothing was done. Try again.",
                    self.server
                ),
            ),
        }
    }
}

/// The viewer's limits, and the section of the settings that they are of.
pub fn limits_of<'a>(limits: &'a AllLimits, viewer: &Viewer) -> (&'static str, &'a Limits) {
    match viewer {
        Viewer::Service => ("limits.service", &limits.service),
        Viewer::User(_) => ("limits", &limits.everyone),
    }
}

/// As whom a viewer reads.
pub fn reader(viewer: &Viewer) -> Reader {
    viewer.user().map_or(Reader::Service, |user| {
        Reader::User(user.subject.as_str().into())
    })
}

/// What operations are judged by, when they come and when their turn has come. `server`: how much may wait in all.
pub fn admission(waiting: &Waiting, limits: &Arc<AllLimits>, server: usize) -> Admission {
    let (waiting, limits) = (waiting.clone(), Arc::clone(limits));
    Admission::by(move |viewer| {
        let (section, of_viewer) = limits_of(&limits, viewer);
        waiting.admit(&reader(viewer)).map_err(|full| match full {
            Full::Reader => ApiError::new(
                ErrorKind::TooManyRequests,
                format!(
                    "Earlier answers and events wait to be read; the limit is {} bytes ({section}.waiting_bytes). Nothing was \
                     done. Read them, and try again.",
                    of_viewer.waiting_bytes
                ),
            ),
            Full::All => ApiError::new(
                ErrorKind::Unavailable,
                format!(
                    "Too much waits to be read, for you as much as for anybody; the limit is {server} bytes \
                     (server.waiting_bytes). Nothing was done. Read it, and try again."
                ),
            ),
        })
    })
}
