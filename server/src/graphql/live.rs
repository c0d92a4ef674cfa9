//! Operations with more than one answer: subscriptions, and queries with `@live`.

mod change_log;
mod classes;
mod lanes;
mod outlet;
mod patch;
mod query;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use gom_actors::live::{Interest, Owner};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::events::Cursor;
use gom_engine::plan::{PageLimits, Rights};
use gom_engine::request::{OperationKind, PreparedOperation, Variables};
use gom_runtime::waiting::Reader;
use gom_telemetry::metrics::{self, Lasting, SUBSCRIPTIONS};
use tokio::time::Instant;

use self::change_log::{check_deployed, check_logged};
pub use self::classes::{Classes, LiveCost};
use self::outlet::ToOutlet;
pub use self::outlet::{Next, Outlet, Running, Started};
use self::patch::{Patches, wants_patches};
pub use self::patch::{kept_answers, without_patches};
use self::query::{Format, run_live_query};
use super::context::{Context, coerce, prepare};
use super::execute::LiveQuery;
use super::position::{self, without_cursor};
use super::{AFTER, Answer, Api, Engine, LEAVES, Request, malformed, serve};
use crate::identity::Viewer;
use crate::telemetry::{kind_of, observe_operation};

/// Starts an operation. A subscription goes on after `from`, where it is given, else from now.
/// With `only_reads`, mutations are refused. The outlet may be called before this returns.
pub async fn start(
    api: &Api,
    request: impl Into<Arc<Request>>,
    viewer: Viewer,
    from: Option<Cursor>,
    only_reads: bool,
    deadline: Instant,
    outlet: Rc<dyn Outlet>,
) -> Started {
    let began = Instant::now();
    let request: Arc<Request> = request.into();
    let is_large = request.is_large();
    let prepared = match prepare(api, &request, &viewer, is_large, deadline).await {
        Ok(prepared) => prepared,
        Err(errors) => {
            observe_operation(metrics::Operation::Unknown, &errors, began.elapsed());
            return Started::Answered(Answer::refused(errors));
        }
    };
    if prepared.operation.kind != OperationKind::Subscription && !prepared.live {
        if from.is_some() {
            return Started::Answered(Answer::refused(vec![without_cursor()]));
        }
        let kind = Cell::new(metrics::Operation::Unknown);
        let answer = serve(api, request, viewer, only_reads, deadline, &kind).await;
        let refused = || {
            let message = "GET may only ask queries and subscriptions; POST mutations";
            Answer::refused(vec![ApiError::new(ErrorKind::BadUserInput, message)])
        };
        return Started::Answered(answer.unwrap_or_else(refused));
    }
    let asked = Asked {
        request: &request,
        prepared: &prepared,
        viewer: &viewer,
        is_large,
        deadline,
    };
    let running = begin(api, asked, from, outlet).await;
    let refused = running
        .as_ref()
        .err()
        .map(std::slice::from_ref)
        .unwrap_or_default();
    observe_operation(kind_of(&prepared), refused, began.elapsed());
    match running {
        Ok(running) => Started::Running(running),
        Err(error) => Started::Answered(Answer::refused(vec![error])),
    }
}

/// An operation that goes on, and who has asked for it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    request: &'a Arc<Request>,
    prepared: &'a Arc<PreparedOperation>,
    viewer: &'a Viewer,
    is_large: bool,
    deadline: Instant,
}

/// Begins a subscription or a live query: like every operation, it takes its turn when all has been checked that needs no
/// database.
async fn begin(
    api: &Api,
    asked: Asked<'_>,
    from: Option<Cursor>,
    outlet: Rc<dyn Outlet>,
) -> Result<Running, ApiError> {
    let Asked {
        request,
        prepared,
        viewer,
        is_large,
        deadline,
    } = asked;
    request.refuse_key()?;
    let rights = api.engine.rights(viewer)?;
    let variables = coerce(
        api,
        prepared,
        request,
        viewer,
        rights.as_ref(),
        is_large,
        deadline,
    )
    .await?;
    if prepared.operation.kind != OperationKind::Subscription {
        if from.is_some() {
            return Err(without_cursor());
        }
        without_leaves(request)?;
        return begin_live_query(api, asked, (rights, variables), outlet).await;
    }
    if request.extensions.get(AFTER).is_some() {
        return Err(malformed(
            AFTER,
            "only queries can read after a cursor; a subscription resumes after extensions.cursor",
        ));
    }
    without_patches(request)?;
    let resuming = if from.is_none() {
        outlet.resume()
    } else {
        None
    };
    // One statement reads the nodes of many changes, for many subscribers: its size says nothing of any message.
    let page = PageLimits {
        answer_bytes: None,
        ..api.engine.limits_of(viewer).page
    };
    let leaves = request.extensions.flag(LEAVES)?;
    let plan = {
        let prepared = Arc::clone(prepared);
        move |engine: &Engine| {
            let planner = &engine.planner;
            if leaves {
                planner.subscription_with_leaves(&prepared, variables, page, rights)
            } else {
                planner.subscription(&prepared, variables, page, rights)
            }
        }
    };
    let (subscription, head) = api
        .engine
        .work_ahead(is_large, viewer, deadline, plan)
        .await?;
    let subscription = subscription?;
    let _turn = api.engine.turn(viewer, deadline).await?;
    drop(head);
    check_deployed(api)?;
    check_logged(api, subscription.models())?;
    let from = match resuming {
        Some(resuming) => {
            let from = resuming.await?;
            from.into_iter().for_each(|from| outlet.begins(from));
            from
        }
        None => from,
    };
    let interest = Interest::Events(Arc::new(subscription));
    let ticket = api
        .live
        .subscribe(owner(viewer), interest, from, Rc::new(ToOutlet(outlet)));
    Ok(Running {
        ticket: Some(ticket),
        _counted: SUBSCRIPTIONS.guard(Lasting::Subscription),
        answering: None,
    })
}

/// Plans a live query, once for as long as it goes on.
async fn begin_live_query(
    api: &Api,
    asked: Asked<'_>,
    (rights, variables): (Option<Arc<Rights>>, Variables),
    outlet: Rc<dyn Outlet>,
) -> Result<Running, ApiError> {
    let Asked {
        request,
        prepared,
        viewer,
        is_large,
        deadline,
    } = asked;
    let whose = Reader::from(&owner(viewer));
    let patches = wants_patches(request)?.then(|| Patches::new(api.engine.kept.account(&whose)));
    let asked = position::Asked::of(api, request, OperationKind::Query)?;
    let watched = api
        .engine
        .planner
        .watched(&prepared.operation, &variables, rights.as_deref());
    // It stays for as long as the query: without what nobody asks for.
    let lasting = Request {
        text: request.text.clone(),
        operation_name: request.operation_name.clone(),
        ..Request::default()
    };
    let context = Context {
        request: Arc::new(lasting),
        prepared: Arc::clone(prepared),
        variables,
        limits: api.engine.limits_of(viewer).page,
        viewer: viewer.clone(),
        rights,
        slot: None,
    };
    let (query, head) = LiveQuery::plan(api, context, is_large, deadline).await?;
    let _turn = api.engine.turn(viewer, deadline).await?;
    drop(head);
    check_logged(api, watched.iter().map(|watched| watched.model))?;
    Ok(run_live_query(
        api,
        query,
        watched,
        (viewer, Format { asked, patches }),
        outlet,
    ))
}

/// Refuses to report leaves. To ignore it would be to promise that all is reported.
///
/// # Errors
/// If the request asks for leaves, or the entry is neither true nor false.
pub fn without_leaves(request: &Request) -> Result<(), ApiError> {
    if request.extensions.flag(LEAVES)? {
        let reason =
            "only subscriptions report leaves: queries, live ones too, and mutations do not";
        return Err(malformed(LEAVES, reason));
    }
    Ok(())
}

/// Whose time a subscription takes.
fn owner(viewer: &Viewer) -> Owner {
    viewer.user().map_or(Owner::Service, |user| {
        Owner::User(user.subject.as_str().into())
    })
}
