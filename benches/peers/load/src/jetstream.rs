//! NATS JetStream: publishes to one stream of three replicas on disk, each connection waiting for
//! the acknowledgement of one before it publishes the next.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_nats::jetstream::{self, Context, stream};
use async_nats::{Client, ConnectOptions};
use bytes::Bytes;

use crate::drive::{Writer, drive};
use crate::report::{Report, Target};
use crate::{Plan, Through};

const STREAM: &str = "peers";
const REPLICAS: usize = 3;
/// How long a new cluster may take until it can make a stream and the stream has all replicas.
const STREAM_TIMEOUT: Duration = Duration::from_secs(30);
const STREAM_PAUSE: Duration = Duration::from_millis(200);

/// Loads the cluster.
pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let first = plan.endpoints.first().context("no endpoint")?;
    let any = connect(first).await?;
    let leader = make_stream(&any).await?;
    let endpoint = find(plan, &leader).await?;
    let mut writers = Vec::new();
    for connection in 0..plan.connections {
        writers.push(Publisher {
            context: jetstream::new(connect(&endpoint).await?),
            subject: format!("{STREAM}.{connection}"),
        });
    }
    let tally = drive(plan, writers).await?;
    let leader_after = cluster(&any).await?.and_then(|cluster| cluster.leader);
    let target = Target {
        version: any.server_info().version,
        endpoint,
        leader_changed: leader_after.as_ref() != Some(&leader),
    };
    Ok(Report::new(plan, target, tally))
}

/// Makes the stream where it is not there yet; returns the name of the server that leads it.
async fn make_stream(client: &Client) -> anyhow::Result<String> {
    let deadline = Instant::now() + STREAM_TIMEOUT;
    loop {
        let made = jetstream::new(client.clone())
            .get_or_create_stream(stream::Config {
                name: STREAM.into(),
                subjects: vec![format!("{STREAM}.*")],
                num_replicas: REPLICAS,
                storage: stream::StorageType::File,
                ..Default::default()
            })
            .await;
        let problem = match made {
            Ok(_) => match ready_leader(client).await {
                Ok(Some(leader)) => return Ok(leader),
                Ok(None) => "the stream's replicas are not all current".to_string(),
                Err(error) => format!("{error:#}"),
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() > deadline {
            bail!("no stream of {REPLICAS} replicas: {problem}");
        }
        tokio::time::sleep(STREAM_PAUSE).await;
    }
}

/// The server that leads the stream, once every replica is current.
async fn ready_leader(client: &Client) -> anyhow::Result<Option<String>> {
    Ok(cluster(client)
        .await?
        .filter(|cluster| cluster.replicas.len() + 1 == REPLICAS)
        .filter(|cluster| cluster.replicas.iter().all(|peer| peer.current))
        .and_then(|cluster| cluster.leader))
}

/// The servers that hold the stream.
async fn cluster(client: &Client) -> anyhow::Result<Option<stream::ClusterInfo>> {
    let context = jetstream::new(client.clone());
    let mut stream = context.get_stream(STREAM).await?;
    Ok(stream.info().await?.cluster.clone())
}

/// The endpoint to write to.
async fn find(plan: &Plan, leader: &str) -> anyhow::Result<String> {
    for endpoint in &plan.endpoints {
        let name = connect(endpoint).await?.server_info().server_name;
        if (name == leader) == (plan.through == Through::Leader) {
            return Ok(endpoint.clone());
        }
    }
    bail!("none of the endpoints is what to write through");
}

/// Connects to this server and to no other that it knows of.
async fn connect(endpoint: &str) -> anyhow::Result<Client> {
    ConnectOptions::new()
        .ignore_discovered_servers()
        .connect(endpoint)
        .await
        .with_context(|| format!("connecting to {endpoint}"))
}

struct Publisher {
    context: Context,
    subject: String,
}

impl Writer for Publisher {
    async fn write(&mut self, value: Bytes) -> anyhow::Result<()> {
        let published = self.context.publish(self.subject.clone(), value).await?;
        published.await?;
        Ok(())
    }
}
