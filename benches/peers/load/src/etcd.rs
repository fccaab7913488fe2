//! etcd: unary puts over gRPC, each connection a channel of its own.
//!
//! The two calls that are needed are written down here by hand, from etcd's rpc.proto, instead of
//! taken from a client: clients generate them while they are built and want a protoc for it. The
//! transport is tonic either way.

use anyhow::{Context, bail};
use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::drive::{Writer, drive};
use crate::report::{Report, Target};
use crate::{Plan, Through};

const PUT: &str = "/etcdserverpb.KV/Put";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(string, tag = "2")]
    version: String,
    /// The member that leads, as the one that answers believes; 0 where there is none.
    #[prost(uint64, tag = "4")]
    leader: u64,
    #[prost(uint64, tag = "6")]
    raft_term: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    /// The member that answers.
    #[prost(uint64, tag = "2")]
    member_id: u64,
    #[prost(int64, tag = "3")]
    revision: i64,
}

/// Loads the cluster.
pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let (endpoint, before) = find(plan).await?;
    // Another load of the same cluster must not meet the keys of this one.
    let run = before.header.as_ref().map_or(0, |header| header.revision);
    let mut writers = Vec::new();
    for connection in 0..plan.connections {
        writers.push(Putter {
            grpc: connect(&endpoint).await?,
            prefix: format!("{run}/{connection}"),
            written: 0,
        });
    }
    let tally = drive(plan, writers).await?;
    let after = status(&mut connect(&endpoint).await?).await?;
    let target = Target {
        version: before.version,
        endpoint,
        leader_changed: (before.leader, before.raft_term) != (after.leader, after.raft_term),
    };
    Ok(Report::new(plan, target, tally))
}

/// The node to write to, and what it said.
async fn find(plan: &Plan) -> anyhow::Result<(String, StatusResponse)> {
    for endpoint in &plan.endpoints {
        let status = status(&mut connect(endpoint).await?).await?;
        let member_id = status.header.as_ref().map_or(0, |header| header.member_id);
        if status.leader == 0 {
            bail!("{endpoint} knows no leader");
        }
        if (status.leader == member_id) == (plan.through == Through::Leader) {
            return Ok((endpoint.clone(), status));
        }
    }
    bail!("none of the endpoints is what to write through");
}

async fn connect(endpoint: &str) -> anyhow::Result<Grpc<Channel>> {
    let channel = Endpoint::from_shared(endpoint.to_string())?
        .connect()
        .await
        .with_context(|| format!("connecting to {endpoint}"))?;
    Ok(Grpc::new(channel))
}

async fn status(grpc: &mut Grpc<Channel>) -> anyhow::Result<StatusResponse> {
    call(grpc, STATUS, StatusRequest {}).await
}

async fn call<Asked, Answer>(
    grpc: &mut Grpc<Channel>,
    path: &'static str,
    asked: Asked,
) -> anyhow::Result<Answer>
where
    Asked: prost::Message + Send + Sync + 'static,
    Answer: prost::Message + Default + Send + Sync + 'static,
{
    grpc.ready().await?;
    let codec = ProstCodec::<Asked, Answer>::default();
    let path = PathAndQuery::from_static(path);
    let answer = grpc.unary(tonic::Request::new(asked), path, codec).await?;
    Ok(answer.into_inner())
}

struct Putter {
    grpc: Grpc<Channel>,
    prefix: String,
    written: u64,
}

impl Writer for Putter {
    async fn write(&mut self, value: Bytes) -> anyhow::Result<()> {
        self.written += 1;
        let key = format!("{}/{}", self.prefix, self.written).into();
        call::<_, PutResponse>(&mut self.grpc, PUT, PutRequest { key, value }).await?;
        Ok(())
    }
}
