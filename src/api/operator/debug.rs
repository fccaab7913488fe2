//! What operators look into on the node that they ask: which log lines it writes, which threads use
//! the CPU, what takes memory, what runs. Only owners of the first fleet have the scope.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{Given, SignedIn};
use crate::api::code::Code;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::query::pairs;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::metrics::{Memory, WorkerGauges};
use crate::service::debug::{MemoryNow, RuntimeNow};
use crate::telemetry::threads::{SECONDS_MAX, ThreadTime};
use crate::telemetry::{FILTER_BYTES_MAX, FilterNow, LogFilter};

/// How long other log lines are written, and the longest time.
const LOG_SECONDS: u64 = 600;
const LOG_SECONDS_MAX: u64 = 24 * 3600;
const LOOK_SECONDS: u64 = 5;

/// Routes of what is looked into.
pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(log, change_log, reset_log))
        .routes(routes!(threads))
        .routes(routes!(memory))
        .routes(routes!(runtime))
}

/// Which log lines a node writes.
#[derive(Serialize, ToSchema)]
struct LogView {
    /// The node that answers.
    node_id: u64,
    /// What is written: a level, or `TARGET=LEVEL` pairs.
    filter: String,
    /// What it goes back to.
    default_filter: String,
    /// Until when; null where it is the default.
    until: Option<Iso>,
    /// Of a change: whether the audit log has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    audited: Option<bool>,
}

impl LogView {
    fn of(app: &App, now: FilterNow, audited: Option<bool>) -> Json<Self> {
        Json(LogView {
            node_id: app.service.node.status().node_id,
            filter: now.filter,
            default_filter: now.default,
            until: now.until_ms.map(Iso),
            audited,
        })
    }
}

/// Which log lines this node writes.
#[utoipa::path(
    get,
    path = "/v1/operator/debug/log",
    operation_id = "get_log_filter",
    responses((status = 200, body = LogView)),
)]
async fn log(State(app): State<App>, operator: SignedIn) -> Result<Json<LogView>, ApiError> {
    let now = app.service.log_filter(&operator.caller)?;
    Ok(LogView::of(&app, now, None))
}

/// Which log lines a node is to write.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct LogChange {
    /// A level (`debug`), or `TARGET=LEVEL` pairs separated by commas.
    #[schema(min_length = 1, max_length = 1000)]
    filter: String,
    /// For how long; then it is as it was configured.
    #[schema(minimum = 1, maximum = 86400, default = 600)]
    seconds: Option<u64>,
}

/// Has this node write other log lines, for a time.
///
/// Written to the audit log; where there is no leader to do so, done all the same, and `audited` is
/// false.
#[utoipa::path(
    put,
    path = "/v1/operator/debug/log",
    operation_id = "change_log_filter",
    request_body = LogChange,
    responses((status = 200, body = LogView)),
)]
async fn change_log(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<LogView>, ApiError> {
    let mut fields = given.fields()?;
    let filter = fields.text("filter", FILTER_BYTES_MAX);
    let seconds = fields.number("seconds", 1..=LOG_SECONDS_MAX);
    if !filter.is_empty()
        && let Err(error) = LogFilter::check(&filter)
    {
        fields.wrong("filter", error.to_string());
    }
    fields.finish()?;
    let lasting = Duration::from_secs(seconds.unwrap_or(LOG_SECONDS));
    let changed = app
        .service
        .set_log_filter(&operator.caller, &filter, lasting);
    let (now, audited) = changed.await?;
    Ok(LogView::of(&app, now, Some(audited)))
}

/// Has this node write the log lines that it is configured with.
#[utoipa::path(
    delete,
    path = "/v1/operator/debug/log",
    operation_id = "reset_log_filter",
    responses((status = 200, body = LogView)),
)]
async fn reset_log(State(app): State<App>, operator: SignedIn) -> Result<Json<LogView>, ApiError> {
    let (now, audited) = app.service.reset_log_filter(&operator.caller).await?;
    Ok(LogView::of(&app, now, Some(audited)))
}

/// How long to look.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Looking {
    /// How long to look.
    #[param(minimum = 1, maximum = 60, default = 5)]
    seconds: Option<u64>,
}

/// What threads of a node used of the CPU.
#[derive(Serialize, ToSchema)]
struct ThreadsView {
    /// The node that answers.
    node_id: u64,
    /// How long was looked.
    seconds: u64,
    /// By name, the most first.
    threads: Vec<ThreadView>,
}

/// What threads with one name used.
#[derive(Serialize, ToSchema)]
struct ThreadView {
    name: String,
    /// How many there are.
    count: u64,
    /// CPU time in the program.
    user_seconds: f64,
    /// CPU time in the kernel.
    system_seconds: f64,
}

impl From<ThreadTime> for ThreadView {
    fn from(time: ThreadTime) -> Self {
        ThreadView {
            name: time.name,
            count: time.threads,
            user_seconds: time.user.as_secs_f64(),
            system_seconds: time.system.as_secs_f64(),
        }
    }
}

/// Which threads of this node use the CPU, over a time.
#[utoipa::path(
    get,
    path = "/v1/operator/debug/threads",
    operation_id = "get_threads",
    params(Looking),
    responses((status = 200, body = ThreadsView)),
    extensions(("x-codes" = json!([Code::Overloaded]))),
)]
async fn threads(
    State(app): State<App>,
    operator: SignedIn,
    uri: Uri,
) -> Result<Json<ThreadsView>, ApiError> {
    let seconds = match pairs(uri.query())?.get("seconds").map(|text| text.parse()) {
        None => LOOK_SECONDS,
        Some(Ok(seconds)) if (1..=SECONDS_MAX).contains(&seconds) => seconds,
        Some(_) => {
            let text = format!("a number from 1 to {SECONDS_MAX}");
            return Err(Invalid::field("seconds", text).into());
        }
    };
    let lasting = Duration::from_secs(seconds);
    let times = app.service.thread_times(&operator.caller, lasting).await?;
    Ok(Json(ThreadsView {
        node_id: app.service.node.status().node_id,
        seconds,
        threads: times.into_iter().map(ThreadView::from).collect(),
    }))
}

/// What takes memory on a node.
#[derive(Serialize, ToSchema)]
struct MemoryView {
    /// The node that answers.
    node_id: u64,
    /// The process as the kernel sees it; null where it does not say.
    process: Option<ProcessMemoryView>,
    state: StateMemoryView,
    /// Commands accepted and not yet answered.
    waiting_commands: u64,
    /// Long polls and streams waiting for messages.
    waiting_requests: u64,
}

/// The process as the kernel sees it.
#[derive(Serialize, ToSchema)]
struct ProcessMemoryView {
    /// Memory in use.
    resident_bytes: u64,
    /// The most that was in use at once.
    resident_peak_bytes: u64,
    /// Of that in use, what is in no file.
    anonymous_bytes: u64,
    /// Of that in use, what is in files: the program, and what is mapped.
    file_bytes: u64,
    swapped_bytes: u64,
    /// Addresses taken, in use or not.
    address_bytes: u64,
    threads: u64,
}

impl From<Memory> for ProcessMemoryView {
    fn from(memory: Memory) -> Self {
        ProcessMemoryView {
            resident_bytes: memory.resident,
            resident_peak_bytes: memory.resident_peak,
            anonymous_bytes: memory.anonymous,
            file_bytes: memory.file,
            swapped_bytes: memory.swapped,
            address_bytes: memory.addresses,
            threads: memory.threads,
        }
    }
}

/// The database of the state.
#[derive(Serialize, ToSchema)]
struct StateMemoryView {
    /// Blocks read and kept, at most `EKHO_BLOCK_CACHE_BYTES`.
    block_cache_bytes: u64,
    /// Writes not yet flushed, at most `EKHO_WRITE_BUFFER_BYTES`.
    write_buffer_bytes: u64,
    /// Indexes and filters outside the cache, as estimated.
    table_reader_bytes: u64,
}

/// What takes memory on this node.
#[utoipa::path(
    get,
    path = "/v1/operator/debug/memory",
    operation_id = "get_memory",
    responses((status = 200, body = MemoryView)),
)]
async fn memory(State(app): State<App>, operator: SignedIn) -> Result<Json<MemoryView>, ApiError> {
    let MemoryNow {
        process,
        state,
        waiting_commands,
        waiting_requests,
    } = app.service.memory(&operator.caller)?;
    Ok(Json(MemoryView {
        node_id: app.service.node.status().node_id,
        process: process.map(ProcessMemoryView::from),
        state: StateMemoryView {
            block_cache_bytes: state.block_cache_bytes,
            write_buffer_bytes: state.write_buffer_bytes,
            table_reader_bytes: state.table_reader_bytes,
        },
        waiting_commands,
        waiting_requests,
    }))
}

/// What runs on a node.
#[derive(Serialize, ToSchema)]
struct RuntimeView {
    /// The node that answers.
    node_id: u64,
    version: &'static str,
    pid: u32,
    uptime_seconds: u64,
    /// `leader`, `follower`, `candidate`, `learner` or `stopped`.
    role: &'static str,
    /// Grows with every election.
    term: u64,
    /// Null where the log is empty; likewise below.
    last_log_index: Option<u64>,
    /// Up to where the log is decided.
    committed_index: Option<u64>,
    /// Up to where it is applied.
    applied_index: Option<u64>,
    /// Up to where the newest snapshot reaches.
    snapshot_index: Option<u64>,
    /// Up to where the log was removed.
    purged_index: Option<u64>,
    /// Commands accepted and not yet answered.
    waiting_commands: u64,
    /// Tasks that are not done.
    tasks: u64,
    /// Tasks that wait for a thread, in the queue that all threads share.
    waiting_tasks: u64,
    /// Threads that run tasks.
    workers: Vec<WorkerView>,
}

/// A thread that runs tasks.
#[derive(Serialize, ToSchema)]
struct WorkerView {
    /// How long it was busy since the start.
    busy_seconds: f64,
    /// How often it had nothing to do.
    parks: u64,
}

impl From<WorkerGauges> for WorkerView {
    fn from(worker: WorkerGauges) -> Self {
        WorkerView {
            busy_seconds: worker.busy.as_secs_f64(),
            parks: worker.parks,
        }
    }
}

/// What runs on this node, and how far it is.
#[utoipa::path(
    get,
    path = "/v1/operator/debug/runtime",
    operation_id = "get_runtime",
    responses((status = 200, body = RuntimeView)),
)]
async fn runtime(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<Json<RuntimeView>, ApiError> {
    let RuntimeNow { up, runtime, node } = app.service.runtime(&operator.caller)?;
    Ok(Json(RuntimeView {
        node_id: node.node_id,
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_seconds: up.as_secs(),
        role: node.role.as_str(),
        term: node.term,
        last_log_index: node.last_log_index,
        committed_index: node.committed_index,
        applied_index: node.applied_index,
        snapshot_index: node.snapshot_index,
        purged_index: node.purged_index,
        waiting_commands: node.waiting_commands as u64,
        tasks: runtime.tasks,
        waiting_tasks: runtime.waiting_tasks,
        workers: runtime.workers.into_iter().map(WorkerView::from).collect(),
    }))
}
