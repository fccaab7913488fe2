//! The listener against a tiny router on a free port, through real sockets.

mod limits;
mod shutdown;
mod tls;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Flags;
use crate::metrics::{NodeGauges, StateCounts};

type Test = Result<(), Box<dyn std::error::Error + Send + Sync>>;
type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Nothing here takes longer unless it is broken.
const DEADLINE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(600);

/// Limits that never bite; each test shortens the one it is about.
fn patient() -> Limits {
    Limits {
        header_timeout: LONG,
        body_timeout: LONG,
        idle_timeout: LONG,
        shutdown_timeout: LONG,
        max_connections: 1000,
    }
}

/// A listener under test.
struct Running {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    /// What `/held` waits for.
    gate: Arc<Semaphore>,
    /// Requests that reached `/held`.
    arrived: Arc<Semaphore>,
    task: JoinHandle<()>,
}

type Gates = (Arc<Semaphore>, Arc<Semaphore>);

async fn held(State((gate, arrived)): State<Gates>) -> &'static str {
    arrived.add_permits(1);
    match gate.acquire().await {
        Ok(permit) => permit.forget(),
        Err(_) => return "closed",
    }
    "released"
}

fn config(environment: &[(&str, &str)]) -> Fallible<Config> {
    let environment = environment
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let flags = Flags {
        port: Some(0),
        ..Flags::default()
    };
    Ok(Config::from_parts(
        &flags,
        environment,
        std::path::Path::new("/nowhere"),
    )?)
}

async fn start(limits: Limits) -> Fallible<Running> {
    start_with(limits, &config(&[])?).await
}

async fn start_with(limits: Limits, config: &Config) -> Fallible<Running> {
    let gates: Gates = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (gate, arrived) = gates.clone();
    let router = Router::new()
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        )
        .route("/echo", post(|body: String| async move { body }))
        .route("/held", get(held))
        .with_state(gates);
    let mut server = Server::bind(config).await?;
    server.limits = limits;
    let (address, metrics) = (server.address(), Arc::new(Metrics::new()?));
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(server.run(router, Arc::clone(&metrics), shutdown.clone()));
    Ok(Running {
        address,
        metrics,
        shutdown,
        gate,
        arrived,
        task,
    })
}

impl Running {
    fn counted(&self, series: &str) -> Option<f64> {
        let page = self
            .metrics
            .render(&StateCounts::default(), &NodeGauges::default());
        page.lines()
            .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    fn cut(&self, reason: &str) -> Option<f64> {
        self.counted(&format!(
            "ekho_http_connections_cut_total{{reason=\"{reason}\"}}"
        ))
    }

    async fn stop(self) -> Test {
        self.shutdown.cancel();
        self.gate.close();
        Ok(tokio::time::timeout(DEADLINE, self.task).await??)
    }
}

fn http2_client() -> Fallible<reqwest::Client> {
    choose_crypto();
    let client = reqwest::Client::builder().no_proxy();
    Ok(client.http2_prior_knowledge().build()?)
}

/// Waits until something holds, or fails after the deadline.
async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Test {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .map_err(|_| format!("never: {what}").into())
}

/// A client that speaks HTTP/1.1 byte by byte.
struct Client(TcpStream);

impl Client {
    async fn connect(running: &Running) -> Fallible<Self> {
        Ok(Client(TcpStream::connect(running.address).await?))
    }

    async fn send(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes()).await
    }

    /// Reads one answer with a content length: its head and its body.
    async fn answer(&mut self) -> Fallible<(String, String)> {
        tokio::time::timeout(DEADLINE, self.read_answer()).await?
    }

    async fn read_answer(&mut self) -> Fallible<(String, String)> {
        let mut bytes = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let count = self.0.read(&mut buffer).await?;
            bytes.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8(bytes.clone())?;
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.ok_or("no content length")?.parse()?;
                if body.len() >= length {
                    return Ok((head.to_string(), body.to_string()));
                }
            }
            if count == 0 {
                return Err(format!("the connection ended after {text:?}").into());
            }
        }
    }

    async fn get(&mut self, path: &str) -> Fallible<String> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
            .await?;
        Ok(self.answer().await?.1)
    }

    /// Reads until the other side closes.
    async fn closed(&mut self) -> Test {
        let mut rest = [0; 4096];
        let reading =
            async { while matches!(self.0.read(&mut rest).await, Ok(count) if count > 0) {} };
        Ok(tokio::time::timeout(DEADLINE, reading).await?)
    }
}

#[tokio::test]
async fn requests_share_a_connection_and_know_their_peer() -> Test {
    let running = start(patient()).await?;
    let mut client = Client::connect(&running).await?;
    let own = client.0.local_addr()?.to_string();
    for _ in 0..3 {
        assert_eq!(client.get("/peer").await?, own);
    }
    client
        .send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello")
        .await?;
    assert_eq!(client.answer().await?.1, "hello");
    assert_eq!(running.counted("ekho_http_connections "), Some(1.0));
    drop(client);
    until("the connection is counted as closed", || {
        running.counted("ekho_http_connections ") == Some(0.0)
    })
    .await?;
    running.stop().await
}

#[tokio::test]
async fn http2_is_understood_without_tls() -> Test {
    let running = start(patient()).await?;
    let client = http2_client()?;
    let url = format!("http://{}", running.address);
    let answer = client
        .post(format!("{url}/echo"))
        .body("hello")
        .send()
        .await?;
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.text().await?, "hello");
    running.stop().await
}

#[tokio::test]
async fn an_address_in_use_is_said_to_be() -> Test {
    let running = start(patient()).await?;
    let mut config = config(&[])?;
    config.port = running.address.port();
    match Server::bind(&config).await {
        Err(error @ ServeError::InUse { .. }) => {
            assert!(error.to_string().contains("EKHO_PORT"), "{error}");
        }
        Err(error) => return Err(format!("the wrong error: {error}").into()),
        Ok(_) => return Err("bound twice".into()),
    }
    config.host = "192.0.2.1".into();
    assert!(matches!(
        Server::bind(&config).await,
        Err(ServeError::Bind { .. })
    ));
    running.stop().await
}
