//! What the relay measures, in Prometheus' text format.
//!
//! Counts of what is stored come from counters kept in apply and are set at each scrape; times and
//! sizes are recorded as they happen. Nothing here reads the state, and nothing on a hot path
//! takes a lock: each histogram is looked up once and then kept.

mod cluster;
mod hooks;
mod http;
mod process;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use ekho_raft::Observer;
use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Error, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use self::cluster::ClusterMetrics;
pub use self::cluster::{ClusterGauges, MemberGauges, RuntimeGauges, WorkerGauges};
use self::hooks::HookMetrics;
use self::http::HttpMetrics;
pub use self::process::Memory;

const COMMIT_SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
const FSYNC_SECONDS: [f64; 13] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0,
];
const BATCH_COMMANDS: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];
const LAG_SECONDS: [f64; 15] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 900.0, 3600.0,
];

/// Counts of what is stored, over all fleets; labels are statuses.
#[derive(Clone, Debug, Default)]
pub struct StateCounts {
    /// The tier of the licence.
    pub tier: &'static str,
    /// Whose licence it is.
    pub org: Option<String>,
    /// Fleets.
    pub fleets: u64,
    /// Agents by status.
    pub agents: Vec<(&'static str, u64)>,
    /// Messages by status.
    pub messages: Vec<(&'static str, u64)>,
    /// Messages accepted, ever.
    pub messages_accepted: u64,
    /// Deliveries by status.
    pub deliveries: Vec<(&'static str, u64)>,
    /// A2A tasks by state.
    pub tasks: Vec<(&'static str, u64)>,
    /// Dead letters stored.
    pub dead_letters: u64,
    /// Refusals by rate limit in the last 24 hours.
    pub rate_violations_24h: u64,
    /// Agents heard of lately.
    pub heartbeats_recent: u64,
    /// Attachments stored.
    pub attachments: u64,
    /// Bytes of their contents, each counted once in a fleet.
    pub attachment_bytes: u64,
    /// Approvals that wait for a decision.
    pub approvals_pending: u64,
    /// When the last backup was begun, in milliseconds; none where none is known.
    pub last_backup_ms: Option<u64>,
}

/// What only this node knows of itself.
#[derive(Clone, Debug, Default)]
pub struct NodeGauges {
    /// Whether writes are refused for want of disk space.
    pub disk_full: bool,
    /// Bytes of the state's files.
    pub state_disk_bytes: u64,
    /// Bytes of the state not yet in files.
    pub state_memory_bytes: u64,
    /// Bytes of entries in the log.
    pub log_bytes: u64,
    /// Last log index applied.
    pub log_index: u64,
    /// Requests waiting for messages: long polls and streams.
    pub long_polls: u64,
    /// Streams that follow A2A tasks.
    pub task_streams: u64,
    /// Sends that wait in the outbox of an edge node.
    pub outbox_entries: u64,
    /// How long the oldest of them has waited.
    pub outbox_oldest_seconds: u64,
    /// Files of attachments that are not here and should be.
    pub files_missing: u64,
    /// Files of attachments that are here.
    pub files_stored: u64,
    /// Their bytes.
    pub files_stored_bytes: u64,
    /// Whether it can take requests.
    pub is_ready: bool,
    /// Bytes that can still be written to the disk of the data directory.
    pub disk_free_bytes: Option<u64>,
    /// Bytes that this disk has.
    pub disk_size_bytes: Option<u64>,
    /// The cluster, as this node knows it.
    pub cluster: ClusterGauges,
    /// What runs its tasks.
    pub runtime: RuntimeGauges,
}

/// Why a connection was closed before its time, as label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The head of a request did not arrive in time.
    Header,
    /// The body of a request did not arrive in time.
    Body,
    /// No request came for too long.
    Idle,
    /// TLS could not be agreed on, or not in time.
    Tls,
    /// There were too many connections.
    Limit,
}

impl Cut {
    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Cut::Header => "header",
            Cut::Body => "body",
            Cut::Idle => "idle",
            Cut::Tls => "tls",
            Cut::Limit => "limit",
        }
    }
}

/// Everything measured in this process.
pub struct Metrics {
    registry: Registry,
    /// One scrape at a time, so that each shows one moment.
    scraped: Mutex<Scraped>,
    http: HttpMetrics,
    hooks: HookMetrics,
    commit_seconds: Histogram,
    fsync_seconds: Histogram,
    batch_commands: Histogram,
    log_written_bytes: IntCounter,
    queue_depth: IntGauge,
    delivery_lag_seconds: Histogram,
    a2a_waiting: IntGauge,
    a2a_pushes: IntCounterVec,
    attachment_fetches: IntCounterVec,
    connections: IntGauge,
    connections_cut: IntCounterVec,
    errors: IntCounterVec,
    /// Of it, those that are expected: found without a lock.
    expected_errors: OnceLock<BTreeMap<&'static str, IntCounter>>,
    otlp_exports: IntCounterVec,
    /// There from when TLS is served on.
    certificate_expires: OnceLock<IntGauge>,
}

/// Gauges that are set at a scrape.
struct Scraped {
    relay_info: IntGaugeVec,
    fleets: IntGauge,
    agents: IntGaugeVec,
    messages: IntGaugeVec,
    messages_accepted: IntGauge,
    deliveries: IntGaugeVec,
    tasks: IntGaugeVec,
    task_streams: IntGauge,
    dead_letters: IntGauge,
    rate_violations_24h: IntGauge,
    heartbeats_recent: IntGauge,
    disk_full: IntGauge,
    state_disk_bytes: IntGauge,
    state_memory_bytes: IntGauge,
    log_bytes: IntGauge,
    log_index: IntGauge,
    waiting: IntGauge,
    outbox_entries: IntGauge,
    outbox_oldest_seconds: IntGauge,
    attachments: IntGauge,
    attachment_bytes: IntGauge,
    files_missing: IntGauge,
    files_stored: IntGauge,
    files_stored_bytes: IntGauge,
    approvals_pending: IntGauge,
    last_backup: IntGaugeVec,
    cluster: ClusterMetrics,
    resident_bytes: IntGauge,
    open_files: IntGauge,
    open_files_max: IntGauge,
    cpu_seconds: Gauge,
}

/// Makes metrics and registers them.
struct Make<'a>(&'a Registry);

impl Make<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.add(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, Error> {
        self.add(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
        )?)
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let make = Make(&registry);
        make.gauge("ekho_up", "1 while the relay answers")?.set(1);
        let status = ["status"];
        let scraped = Scraped {
            relay_info: make.gauges(
                "ekho_relay_info",
                "What this relay is",
                &["version", "tier", "org"],
            )?,
            fleets: make.gauge("ekho_fleets_total", "Fleets")?,
            agents: make.gauges("ekho_agents_total", "Agents by status", &status)?,
            messages: make.gauges("ekho_messages_total", "Messages by status", &status)?,
            messages_accepted: make.gauge(
                "ekho_messages_accepted_total",
                "Messages accepted, ever; each is in one status of ekho_messages_total",
            )?,
            deliveries: make.gauges("ekho_deliveries_total", "Deliveries by status", &status)?,
            tasks: make.gauges("ekho_a2a_tasks_total", "A2A tasks by state", &["state"])?,
            task_streams: make.gauge("ekho_a2a_streams", "Streams that follow A2A tasks")?,
            dead_letters: make.gauge("ekho_dead_letters_total", "Dead letters stored")?,
            rate_violations_24h: make.gauge(
                "ekho_rate_violations_24h",
                "Refusals by rate limit in the last 24 hours",
            )?,
            heartbeats_recent: make.gauge("ekho_heartbeats_recent", "Agents heard of lately")?,
            disk_full: make.gauge(
                "ekho_disk_full",
                "1 while writes are refused for want of disk space",
            )?,
            state_disk_bytes: make.gauge("ekho_state_disk_bytes", "Size of the state's files")?,
            state_memory_bytes: make.gauge(
                "ekho_state_memory_bytes",
                "State written and not yet in files",
            )?,
            log_bytes: make.gauge("ekho_log_bytes", "Size of the entries in the log")?,
            log_index: make.gauge("ekho_log_applied_index", "Last log index applied")?,
            waiting: make.gauge(
                "ekho_waiting_requests",
                "Long polls and streams waiting for messages",
            )?,
            outbox_entries: make.gauge(
                "ekho_edge_outbox_entries",
                "Sends that wait in the outbox of this edge node",
            )?,
            outbox_oldest_seconds: make.gauge(
                "ekho_edge_outbox_oldest_seconds",
                "How long the oldest send in the outbox has waited",
            )?,
            attachments: make.gauge("ekho_attachments_total", "Attachments stored")?,
            attachment_bytes: make.gauge(
                "ekho_attachment_bytes",
                "Bytes of attachments, the same content once in a fleet",
            )?,
            files_missing: make.gauge(
                "ekho_attachment_files_missing",
                "Files of attachments that this node should have and does not",
            )?,
            files_stored: make.gauge(
                "ekho_attachment_files_stored",
                "Files of attachments on this node, as last counted",
            )?,
            files_stored_bytes: make.gauge(
                "ekho_attachment_files_stored_bytes",
                "Bytes of the files of attachments on this node, as last counted",
            )?,
            approvals_pending: make.gauge(
                "ekho_approvals_pending",
                "Approvals that wait for a decision",
            )?,
            last_backup: make.gauges(
                "ekho_last_backup_timestamp_seconds",
                "When the last backup was begun; absent where none is known",
                &[],
            )?,
            cluster: ClusterMetrics::new(&make)?,
            resident_bytes: make.gauge("process_resident_memory_bytes", "Resident memory")?,
            open_files: make.gauge("process_open_fds", "Open file descriptors")?,
            open_files_max: make.gauge("process_max_fds", "File descriptors that may be open")?,
            cpu_seconds: make.add(Gauge::new(
                "process_cpu_seconds_total",
                "User and system time spent",
            )?)?,
        };
        let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        make.gauge(
            "process_start_time_seconds",
            "When the process began to measure",
        )?
        .set(gauge(began.unwrap_or_default().as_secs()));
        let errors = Opts::new(
            "ekho_errors_total",
            "Requests answered with an error, by its code",
        );
        let errors = make.add(IntCounterVec::new(errors, &["code"])?)?;
        let exports = Opts::new(
            "ekho_otlp_exports_total",
            "Requests to the collector of traces and metrics, by what came of them",
        );
        let otlp_exports = make.add(IntCounterVec::new(exports, &["signal", "result"])?)?;
        let cut = Opts::new(
            "ekho_http_connections_cut_total",
            "Connections closed before their time, by reason",
        );
        let connections_cut = make.add(IntCounterVec::new(cut, &["reason"])?)?;
        for cut in [Cut::Header, Cut::Body, Cut::Idle, Cut::Tls, Cut::Limit] {
            connections_cut.with_label_values(&[cut.label()]);
        }
        let pushes = Opts::new(
            "ekho_a2a_push_attempts_total",
            "Push notifications sent to A2A clients, by result",
        );
        let a2a_pushes = make.add(IntCounterVec::new(pushes, &["result"])?)?;
        for is_heard in [true, false] {
            a2a_pushes.with_label_values(&[push_result(is_heard)]);
        }
        let fetches = Opts::new(
            "ekho_attachment_fetches_total",
            "Files of attachments asked of other nodes, by result",
        );
        let attachment_fetches = make.add(IntCounterVec::new(fetches, &["result"])?)?;
        for is_fetched in [true, false] {
            attachment_fetches.with_label_values(&[fetch_result(is_fetched)]);
        }
        Ok(Metrics {
            scraped: Mutex::new(scraped),
            http: HttpMetrics::new(&make)?,
            hooks: HookMetrics::new(&make)?,
            commit_seconds: make.histogram(
                "ekho_commit_seconds",
                "From a command's proposal to its outcome",
                &COMMIT_SECONDS,
            )?,
            fsync_seconds: make.histogram(
                "ekho_fsync_seconds",
                "One durable write to the log",
                &FSYNC_SECONDS,
            )?,
            batch_commands: make.histogram(
                "ekho_batch_commands",
                "Commands proposed together",
                &BATCH_COMMANDS,
            )?,
            log_written_bytes: make.add(IntCounter::new(
                "ekho_log_written_bytes_total",
                "Bytes of entries written to the log",
            )?)?,
            queue_depth: make
                .gauge("ekho_queue_depth", "Commands accepted and not yet answered")?,
            delivery_lag_seconds: make.histogram(
                "ekho_delivery_lag_seconds",
                "From when a delivery is due to when it is handed out",
                &LAG_SECONDS,
            )?,
            a2a_waiting: make.gauge(
                "ekho_a2a_blocking_waits",
                "Blocking A2A requests that wait for their task",
            )?,
            a2a_pushes,
            attachment_fetches,
            connections: make.gauge("ekho_http_connections", "Open connections")?,
            connections_cut,
            errors,
            expected_errors: OnceLock::new(),
            otlp_exports,
            certificate_expires: OnceLock::new(),
            registry,
        })
    }

    /// The page for Prometheus: these counts, and everything recorded so far.
    pub fn render(&self, counts: &StateCounts, node: &NodeGauges) -> String {
        let mut page = String::with_capacity(32 << 10);
        let gathered = self.gather(counts, node);
        if let Err(error) = TextEncoder::new().encode_utf8(&gathered, &mut page) {
            tracing::error!(%error, "metrics cannot be written");
        }
        page
    }

    /// The same, to be written otherwise.
    pub fn gather(&self, counts: &StateCounts, node: &NodeGauges) -> Vec<MetricFamily> {
        let scraped = self.scraped.lock();
        scraped.set(counts, node);
        self.registry.gather()
    }

    /// Spans (`traces`) or `metrics` were sent to a collector; whether it took them.
    pub fn otlp_export(&self, signal: &'static str, is_taken: bool) {
        let result = match is_taken {
            true => "taken",
            false => "failed",
        };
        self.otlp_exports.with_label_values(&[signal, result]).inc();
    }

    /// A request was answered. `route` is the template of its path, never the path itself.
    pub fn observe_request(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.http.observe(route, method, status, took);
    }

    /// A delivery was handed out this long after it was due.
    pub fn observe_delivery_lag(&self, lag: Duration) {
        self.delivery_lag_seconds.observe(lag.as_secs_f64());
    }

    /// A push notification was sent; whether it was heard.
    pub fn a2a_push(&self, is_heard: bool) {
        self.a2a_pushes
            .with_label_values(&[push_result(is_heard)])
            .inc();
    }

    /// Other nodes were asked for a file; whether it is here now.
    pub fn attachment_fetch(&self, is_fetched: bool) {
        self.attachment_fetches
            .with_label_values(&[fetch_result(is_fetched)])
            .inc();
    }

    /// A blocking A2A request begins to wait for its task; it does until this is dropped.
    pub fn a2a_waiting(&self) -> Waiting<'_> {
        self.a2a_waiting.inc();
        Waiting(&self.a2a_waiting)
    }

    /// A connection was opened.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// A connection was closed.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// A connection was closed before its time.
    pub fn connection_cut(&self, reason: Cut) {
        self.connections_cut
            .with_label_values(&[reason.label()])
            .inc();
    }

    /// Shows these codes of errors from the beginning: a rate needs a series to have begun.
    pub fn expect_errors(&self, codes: impl Iterator<Item = &'static str>) {
        let expected = codes.map(|code| (code, self.errors.with_label_values(&[code])));
        // A second router expects the same.
        self.expected_errors.get_or_init(|| expected.collect());
    }

    /// A request was answered with an error.
    pub fn error_answered(&self, code: &'static str) {
        let expected = self.expected_errors.get();
        match expected.and_then(|expected| expected.get(code)) {
            Some(counter) => counter.inc(),
            None => self.errors.with_label_values(&[code]).inc(),
        }
    }

    /// A certificate is served that is valid until then.
    pub fn certificate_served(&self, expires_seconds: i64) {
        let made = match self.certificate_expires.get() {
            Some(made) => made,
            None => {
                let (name, help) = (
                    "ekho_tls_certificate_expires_timestamp_seconds",
                    "Until when the certificate that is served is valid",
                );
                match Make(&self.registry).gauge(name, help) {
                    Ok(made) => self.certificate_expires.get_or_init(|| made),
                    Err(error) => {
                        return tracing::error!(%error, "the end of the certificate is not shown");
                    }
                }
            }
        };
        made.set(expires_seconds);
    }

    /// Hears what the raft node measures.
    pub fn observer(self: &Arc<Self>) -> Arc<dyn Observer> {
        Arc::clone(self) as Arc<dyn Observer>
    }
}

impl Observer for Metrics {
    fn log_write(&self, took: Duration, _entries: usize, size_bytes: usize) {
        self.fsync_seconds.observe(took.as_secs_f64());
        self.log_written_bytes.inc_by(size_bytes as u64);
    }

    fn commit(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    fn batch(&self, commands: usize, _size_bytes: usize) {
        self.batch_commands.observe(commands as f64);
    }

    fn queue_depth(&self, commands: usize) {
        self.queue_depth.set(gauge(commands as u64));
    }
}

impl Scraped {
    fn set(&self, counts: &StateCounts, node: &NodeGauges) {
        // A licence that ended leaves no series behind.
        self.relay_info.reset();
        let org = counts.org.as_deref().unwrap_or_default();
        let labels = [env!("CARGO_PKG_VERSION"), counts.tier, org];
        self.relay_info.with_label_values(&labels).set(1);
        for (gauges, values) in [
            (&self.agents, &counts.agents),
            (&self.messages, &counts.messages),
            (&self.deliveries, &counts.deliveries),
            (&self.tasks, &counts.tasks),
        ] {
            for (status, value) in values {
                gauges.with_label_values(&[*status]).set(gauge(*value));
            }
        }
        for (metric, value) in [
            (&self.fleets, counts.fleets),
            (&self.messages_accepted, counts.messages_accepted),
            (&self.dead_letters, counts.dead_letters),
            (&self.rate_violations_24h, counts.rate_violations_24h),
            (&self.heartbeats_recent, counts.heartbeats_recent),
            (&self.disk_full, u64::from(node.disk_full)),
            (&self.state_disk_bytes, node.state_disk_bytes),
            (&self.state_memory_bytes, node.state_memory_bytes),
            (&self.log_bytes, node.log_bytes),
            (&self.log_index, node.log_index),
            (&self.waiting, node.long_polls),
            (&self.task_streams, node.task_streams),
            (&self.outbox_entries, node.outbox_entries),
            (&self.outbox_oldest_seconds, node.outbox_oldest_seconds),
            (&self.attachments, counts.attachments),
            (&self.attachment_bytes, counts.attachment_bytes),
            (&self.files_missing, node.files_missing),
            (&self.files_stored, node.files_stored),
            (&self.files_stored_bytes, node.files_stored_bytes),
        ] {
            metric.set(gauge(value));
        }
        self.approvals_pending.set(gauge(counts.approvals_pending));
        self.last_backup.reset();
        if let Some(last_ms) = counts.last_backup_ms {
            let none: [&str; 0] = [];
            self.last_backup
                .with_label_values(&none)
                .set(gauge(last_ms / 1000));
        }
        self.cluster.set(node);
        if let Some(max) = process::open_files_max() {
            self.open_files_max.set(gauge(max));
        }
        if let Some(process) = process::sample() {
            self.resident_bytes.set(gauge(process.resident_bytes));
            self.open_files.set(gauge(process.open_files));
            self.cpu_seconds.set(process.cpu_seconds);
        }
    }
}

fn fetch_result(is_fetched: bool) -> &'static str {
    match is_fetched {
        true => "fetched",
        false => "failed",
    }
}

fn push_result(is_heard: bool) -> &'static str {
    match is_heard {
        true => "heard",
        false => "failed",
    }
}

/// One that waits, as long as it does.
pub struct Waiting<'a>(&'a IntGauge);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Gauges are signed.
fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
