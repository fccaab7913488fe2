//! A run from beginning to end: a cluster is formed, loaded, harmed for some minutes, healed,
//! drained, and everything that was answered is judged.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::actor::{Actor, Address, Copies, Nodes};
use crate::awake::{Stopwatch, stood_still, within};
use crate::book::Book;
use crate::check::{
    Allowed, End, Violation, judge, judge_approvals, judge_gates, judge_rates, judge_registers,
};
use crate::cluster::{Cluster, RATE_LIMIT, RATE_WINDOW_MS, Shape};
use crate::cluster_api;
use crate::faults::Faults;
use crate::history::{AgentNo, Counters, History, Outcome};
use crate::load::{Cast, Load};
use crate::nemesis::{Fault, Nemesis};
use crate::observer::observe;
use crate::operator::Operator;
use crate::powercut::Survives;
use crate::record::Records;
use crate::report::{Material, Report};
use crate::rng::Rng;
use crate::timeline::Timeline;
use crate::wire::{Exchange, Line};
use crate::workload::Workload;

const SENDERS: usize = 6;
const RECEIVERS: usize = 3;
/// Longest pause of a sender between two messages; keeps it below the rate limit.
const THINK_MS: u64 = 120;
/// How long a node may take to be ready, and a new one to be a voter.
const START: Duration = Duration::from_secs(60);
/// How long senders and receivers may take to finish on nodes that are well.
const DRAIN: Duration = Duration::from_secs(180);
/// Refusals that faults bring about. A clock that was set forward leaves the relay's time standing
/// until the clocks have caught up, and with it the rate window.
const EXPLAINED: Allowed<'_> = &[(429, "rate_limited")];

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of the schedule and of what is sent.
    pub seed: u64,
    /// How long faults go on.
    pub time: Duration,
    /// The relays.
    pub shape: Shape,
    /// Which faults.
    pub faults: Vec<Fault>,
    /// Whether directories and logs are kept also where every promise was.
    pub keep: bool,
    /// Is told how it goes.
    pub say: fn(&str),
}

/// What came of it.
pub struct Outcomes {
    /// In figures.
    pub report: Report,
    /// As a picture.
    pub picture: String,
    /// Where directories and logs are, where they were kept.
    pub kept: Option<PathBuf>,
}

/// Runs it. An error is one of the runner's; a broken promise is none. `interrupted` ends the faults
/// early.
pub async fn run(options: Options, interrupted: Arc<AtomicBool>) -> Result<Outcomes, String> {
    crate::net::sweep();
    crate::cluster::sweep();
    let mut rng = Rng::new(options.seed);
    let schedule = rng.draw();
    let mut cluster = Cluster::new(options.shape.clone()).map_err(told("preparing"))?;
    let nodes = cluster.addresses();
    let operator = form(&mut cluster).await?;
    let book = Book::new();
    let timeline = Timeline::new(Arc::clone(&book), options.say);
    let cast = enrol(&mut operator.at(0), &nodes, &book).await?;
    let mut workload = Workload::begin(&mut operator.at(0), &nodes, &book, &mut rng).await?;
    let mut load = Load::begin(cast, nodes.clone(), Arc::clone(&book), &mut rng);
    let stop = Arc::new(AtomicBool::new(false));
    let places = (0..cluster.size())
        .map(|no| cluster.node_address(no))
        .collect();
    let watch = operator.at(0);
    let observer = observe(
        nodes.clone(),
        places,
        watch,
        timeline.clone(),
        Arc::clone(&stop),
    );
    let observer = tokio::spawn(observer);
    let mut faults = Faults::new(cluster, operator.at(0), timeline.clone());

    let began = Stopwatch::start();
    let mut nemesis = Nemesis::new(schedule, nodes.addresses.len(), &options.faults);
    let is_over = || began.elapsed() >= options.time || interrupted.load(Ordering::Relaxed);
    while !is_over() && !faults.is_lost() {
        let step = nemesis.next();
        let quiet = step.map_or(500, |step| step.quiet_ms);
        tokio::time::sleep(Duration::from_millis(quiet)).await;
        let Some(step) = step.filter(|_| !is_over()) else {
            continue;
        };
        faults.step(&step).await.map_err(told("faults"))?;
        book.restarted();
    }
    let faults_ended = book.now();
    let drained = drain(&mut load, &mut workload, &mut faults).await?;
    stop.store(true, Ordering::Relaxed);
    observer.await.map_err(|error| error.to_string())?;
    let (records, strange) = workload.end().await;
    let Faults {
        cluster,
        violations: mut found,
        mut notes,
        ..
    } = faults;
    let still = stood_still();
    if !still.is_zero() {
        notes.push(format!("everything stood still for {still:?}, not counted"));
    }
    found.extend(strange.into_iter().map(|detail| Violation {
        rule: "strange answer",
        detail,
    }));
    let (report, picture) = book.read(|history| {
        found.extend(verdict(history, &records, drained));
        let events = timeline.events();
        let report = Report::of(&Material {
            seed: options.seed,
            nodes: nodes.addresses.len(),
            history,
            records: &records,
            events: &events,
            faults_ended,
            ended: book.now(),
            violations: &found,
            notes: &notes,
        });
        let title = format!(
            "seed {}, {} nodes, every promise {}",
            report.seed, report.nodes, report.verdict
        );
        let picture = crate::svg::draw(&title, report.nodes, history, &events, book.now());
        (report, picture)
    });
    let kept = if options.keep || !report.violations.is_empty() {
        Some(cluster.keep().map_err(told("keeping"))?)
    } else {
        None
    };
    if let Some(kept) = &kept {
        book.read(|history| write_history(kept, history, &records))
            .map_err(told("keeping"))?;
    }
    Ok(Outcomes {
        report,
        picture,
        kept,
    })
}

fn told(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// Starts the first node and lets the others join it.
async fn form(cluster: &mut Cluster) -> Result<Operator, String> {
    let nodes = cluster.addresses();
    cluster.start(0, None).map_err(told("starting node 0"))?;
    wait_ready(cluster, 0).await?;
    let credentials = cluster.credentials().map_err(told("credentials"))?;
    let mut operator = Operator::sign_in(&nodes, &credentials).await?;
    for no in 1..cluster.size() {
        let token = cluster_api::token(cluster, 0, &operator)?;
        let first = cluster.node_address(0);
        let join = Some((first.as_str(), token.as_str()));
        cluster.start(no, join).map_err(told("starting a node"))?;
        wait_ready(cluster, no).await?;
        let (address, began) = (cluster.node_address(no), Stopwatch::start());
        loop {
            operator.turn_to(0);
            let status = cluster_api::status(&mut operator).await;
            if status.is_some_and(|status| status.at(&address).is_some_and(|node| node.voter)) {
                break;
            }
            if began.elapsed() > START {
                return Err(format!("node {no} is no voter after {START:?}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(operator)
}

async fn wait_ready(cluster: &mut Cluster, no: usize) -> Result<(), String> {
    match cluster.wait_ready(no, START).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let words = cluster.last_words(no).join("\n    ");
            Err(format!(
                "node {no} is not ready after {START:?}:\n    {words}"
            ))
        }
        Err(error) => Err(error.to_string()),
    }
}

async fn enrol(operator: &mut Operator, nodes: &Nodes, book: &Arc<Book>) -> Result<Cast, String> {
    let mut receivers = Vec::new();
    for place in 0..RECEIVERS {
        let no = (SENDERS + place) as AgentNo;
        let agent = operator.enrol(&format!("receiver {place}")).await?;
        receivers.push(Actor::new(no, agent, nodes, Arc::clone(book)));
    }
    let numbers: Vec<AgentNo> = receivers.iter().map(|receiver| receiver.no).collect();
    let ids: Vec<&str> = receivers.iter().map(Actor::id).collect();
    let mut senders = Vec::new();
    for place in 0..SENDERS {
        let agent = operator.enrol(&format!("sender {place}")).await?;
        let room = operator.room(&agent, &ids).await?;
        let mut addresses: Vec<Address> = numbers
            .iter()
            .zip(&ids)
            .map(|(no, id)| Address::of_agent(*no, id))
            .collect();
        addresses.push(Address::of_room(&room, numbers.clone()));
        let actor = Actor::new(place as AgentNo, agent, nodes, Arc::clone(book));
        senders.push((actor, addresses));
    }
    Ok(Cast {
        senders,
        receivers,
        think_ms: THINK_MS,
    })
}

/// Lets everybody finish, then takes all power at once, and looks again. Whether everything that was
/// accepted was received and acked in time.
async fn drain(
    load: &mut Load,
    workload: &mut Workload,
    faults: &mut Faults,
) -> Result<bool, String> {
    let healed = |faults: &mut Faults| -> io::Result<()> {
        faults.cluster.net.heal()?;
        faults.look_for_the_dead()
    };
    healed(faults).map_err(told("healing"))?;
    if !faults.is_lost() {
        faults.recover().await.map_err(told("recovery"))?;
    }
    if faults.is_lost() {
        // What is under way is noted still, or what comes of it would seem to come of nothing.
        workload.stop().await;
        load.give_up().await;
        load.stop().await;
        return Ok(false);
    }
    workload.stop().await;
    let mut drained = within(DRAIN, load.stop_senders()).await.is_some();
    let (nodes, began) = (faults.cluster.addresses(), Stopwatch::start());
    while drained && !all_delivered(&nodes).await {
        drained = began.elapsed() < DRAIN;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    if !drained {
        load.give_up().await;
        // It may be why.
        faults.look_for_the_dead().map_err(told("draining"))?;
    }
    let mut receivers = load.stop().await;
    // Everything is acked now; what comes after one more power cut must not be there.
    let size = faults.cluster.size();
    let cut = |faults: &mut Faults| -> io::Result<()> {
        for no in 0..size {
            faults.cluster.kill(no)?;
        }
        for no in 0..size {
            faults
                .cluster
                .disk(no)
                .cut(Survives::Nothing, &mut Rng::new(0))?;
            faults.cluster.start(no, None)?;
        }
        Ok(())
    };
    cut(faults).map_err(told("the last power cut"))?;
    faults.recover().await.map_err(told("recovery"))?;
    load.book.restarted();
    for receiver in &mut receivers {
        let began = Stopwatch::start();
        while !matches!(receiver.poll(100, 0, Copies::One).await, Outcome::Handed(_)) {
            if began.elapsed() > DRAIN {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let replayed = within(DRAIN, load.replay_everything()).await;
    Ok(drained && replayed.is_some())
}

/// Whether every node says that no delivery is open. Recipients note what they get before they ack it,
/// so what nobody noted by then is lost.
async fn all_delivered(nodes: &Nodes) -> bool {
    for address in &nodes.addresses {
        let exchange = Line::get(*address, nodes.patience, "/metrics").await;
        let Exchange::Answered(page) = exchange else {
            return false;
        };
        let counters = Counters::parse(&String::from_utf8_lossy(&page.body));
        if counters.open_deliveries() != Some(0) {
            return false;
        }
    }
    true
}

fn verdict(history: &History, records: &Records, drained: bool) -> Vec<Violation> {
    let end = if drained { End::Drained } else { End::Anywhere };
    let mut found = judge(history, end, EXPLAINED);
    found.extend(judge_gates(&records.gates, &records.passed, drained));
    found.extend(judge_approvals(&records.approvals));
    found.extend(judge_rates(&records.counted, RATE_WINDOW_MS, RATE_LIMIT));
    found.extend(judge_registers(&records.registers));
    if !drained {
        found.push(Violation {
            rule: "does not recover",
            detail: format!("not everything was finished {DRAIN:?} after the last fault"),
        });
    }
    found
}

/// Every request of a run, one a line, for whoever looks for a cause.
fn write_history(dir: &std::path::Path, history: &History, records: &Records) -> io::Result<()> {
    use std::io::Write;
    let mut file = io::BufWriter::new(std::fs::File::create(dir.join("history.txt"))?);
    for (no, message) in history.messages.iter().enumerate() {
        writeln!(file, "message {no} {message:?}")?;
    }
    for op in &history.ops {
        writeln!(file, "{op:?}")?;
    }
    for record in &records.gates {
        writeln!(file, "gate {record:?}")?;
    }
    for record in &records.approvals {
        writeln!(file, "approval {record:?}")?;
    }
    for record in &records.registers {
        writeln!(file, "register {record:?}")?;
    }
    file.flush()
}
