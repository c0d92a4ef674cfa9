//! The `DatabaseSupervisor`: one per process. Checks whether the database can be used, and reports it. Owns one
//! connection for that; the workers own theirs and open them again when it reports that the server is back.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Handler, MessageResult, SpawnHandle, WrapFuture};

use super::connector::{ConnectionPurpose, Connector, OpenError};
use super::health::{DatabaseState, HealthChannel};
use super::link::Link;
use super::messages::{AskHealth, Suspect};
use super::options::DatabaseOptions;
use gom_runtime::backoff::Backoff;
use gom_runtime::supervision::{Context, SupervisedActor};
use gom_telemetry::metrics::ActorKind;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LOOK: &str = "select (pg_is_in_recovery() or current_setting('default_transaction_read_only')::bool)::text \
                    || ' ' || current_setting('server_version')";

pub(super) struct DatabaseSupervisor {
    options: Arc<DatabaseOptions>,
    connector: Arc<Connector>,
    health_channel: Arc<HealthChannel>,
    link: Option<Rc<Link>>,
    /// Between two attempts to connect.
    backoff: Backoff,
    /// The next look, unless one is under way.
    scheduled: Option<SpawnHandle>,
    /// A look was asked for while one was under way.
    again: bool,
    no_room: bool,
}

/// What a look found.
struct Seen {
    version: String,
    read_only: bool,
}

enum ProbeError {
    /// No answer in time.
    Hung,
    Lost(String),
}

impl DatabaseSupervisor {
    pub fn new(
        options: Arc<DatabaseOptions>,
        connector: Arc<Connector>,
        health_channel: Arc<HealthChannel>,
    ) -> Self {
        DatabaseSupervisor {
            backoff: Backoff::new(FIRST_PAUSE, options.longest_pause),
            options,
            connector,
            health_channel,
            link: None,
            scheduled: None,
            again: false,
            no_room: false,
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        self.scheduled = None;
        let link = self.link.clone().filter(|link| !link.is_closed());
        let (connector, options, no_room) = (
            Arc::clone(&self.connector),
            Arc::clone(&self.options),
            self.no_room,
        );
        let looking = async move {
            let reused = link.is_some();
            let link = match link {
                Some(link) => link,
                None => Rc::new(connector.open(ConnectionPurpose::Heartbeat, 0).await?),
            };
            let seen = match look_with(&link, options.heartbeat_timeout).await {
                // Its own connection may be all that was lost.
                Err(ProbeError::Lost(_)) if reused => {
                    let fresh = Rc::new(connector.open(ConnectionPurpose::Heartbeat, 0).await?);
                    let seen = look_with(&fresh, options.heartbeat_timeout).await;
                    return conclude(fresh, seen, false);
                }
                seen => seen,
            };
            // Is there room again for more?
            let no_room = no_room
                && seen.is_ok()
                && connector
                    .open(ConnectionPurpose::Heartbeat, 0)
                    .await
                    .is_err();
            conclude(link, seen, no_room)
        };
        ctx.spawn(
            looking
                .into_actor(self)
                .map(|result, supervisor, ctx| supervisor.looked(result, ctx)),
        );
    }

    fn looked(
        &mut self,
        result: Result<(Rc<Link>, Seen, bool), OpenError>,
        ctx: &mut Context<Self>,
    ) {
        // What was reported while this look was under way is for the next one.
        let reported = self.again && self.no_room;
        let pause = match result {
            Ok((link, seen, no_room)) => {
                self.link = Some(link);
                self.backoff.reset();
                self.no_room = no_room || reported;
                let state = match () {
                    () if seen.read_only => DatabaseState::ReadOnly,
                    () if no_room => DatabaseState::OutOfConnections,
                    () => DatabaseState::Ready,
                };
                self.health_channel.up(state, seen.version);
                self.options.heartbeat
            }
            Err(error) => {
                if let Some(link) = self.link.take() {
                    link.sever();
                }
                self.no_room = error.no_room;
                self.health_channel.failed(error.reason, error.no_room);
                self.backoff.next_delay()
            }
        };
        let pause = if std::mem::take(&mut self.again) {
            pause.min(FIRST_PAUSE)
        } else {
            pause
        };
        self.schedule(pause, ctx);
    }

    fn schedule(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        self.scheduled = Some(ctx.run_later(pause, |supervisor, ctx| supervisor.look(ctx)));
    }
}

fn conclude(
    link: Rc<Link>,
    seen: Result<Seen, ProbeError>,
    no_room: bool,
) -> Result<(Rc<Link>, Seen, bool), OpenError> {
    match seen {
        Ok(seen) => Ok((link, seen, no_room)),
        Err(unseen) => {
            link.sever();
            let reason = match unseen {
                ProbeError::Hung => "it accepts connections but does not answer".to_owned(),
                ProbeError::Lost(reason) => reason,
            };
            Err(OpenError {
                reason,
                no_room: false,
            })
        }
    }
}

async fn look_with(link: &Link, patience: Duration) -> Result<Seen, ProbeError> {
    let statement = gom_engine::plan::Statement {
        sql: LOOK.to_owned(),
        params: Vec::new(),
    };
    let answer = match tokio::time::timeout(patience, link.ask(&statement)).await {
        Err(_) => return Err(ProbeError::Hung),
        Ok(Err(failure)) => return Err(ProbeError::Lost(failure.into_run_error().to_string())),
        Ok(Ok(answer)) => answer,
    };
    let text = answer.as_ref().map_or("", |answer| answer.as_str());
    match text.split_once(' ') {
        Some((read_only, version)) => Ok(Seen {
            version: version.to_owned(),
            read_only: read_only == "true",
        }),
        None => Err(ProbeError::Lost(
            "it sent an unexpected response".to_owned(),
        )),
    }
}

impl SupervisedActor for DatabaseSupervisor {
    const KIND: ActorKind = ActorKind::DatabaseSupervisor;
}

impl Actor for DatabaseSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.look(ctx);
    }
}

impl Handler<AskHealth> for DatabaseSupervisor {
    type Result = MessageResult<AskHealth>;

    fn handle(&mut self, _: AskHealth, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.health_channel.read())
    }
}

impl Handler<Suspect> for DatabaseSupervisor {
    type Result = ();

    fn handle(&mut self, suspect: Suspect, ctx: &mut Self::Context) {
        self.no_room |= suspect.no_room;
        match self.scheduled.take() {
            // While it is down the attempts keep their own pace.
            Some(handle) if self.link.is_some() => {
                ctx.cancel_future(handle);
                self.look(ctx);
            }
            Some(handle) => self.scheduled = Some(handle),
            None => self.again = true,
        }
    }
}
