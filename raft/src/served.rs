//! What a node does for other nodes: consensus, snapshots, read points, and saying how it is.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::Incoming as Body;

use crate::codec::CodecError;
use crate::error::{ProposeError, SnapshotError};
use crate::machine::Machine;
use crate::network::{
    Append, Ballot, Failure, Handover, LeaderVote, Message, Report, Served, path, read_body,
    split_head,
};
use crate::node::Node;
use crate::types::NodeId;

/// The vote before the files of a snapshot.
const HEAD_MAX_BYTES: usize = 4 << 10;

impl<M: Machine> Served for Node<M> {
    fn has_member(&self, node_id: NodeId) -> bool {
        self.is_member(node_id)
    }

    fn append(&self, request: Bytes) -> BoxFuture<'_, Result<Bytes, Failure>> {
        async move {
            let request: Append = decoded(&request)?;
            encoded(self.serve_append(request).await)
        }
        .boxed()
    }

    fn serve<'a>(
        &'a self,
        path: &'a str,
        from: NodeId,
        body: Body,
    ) -> BoxFuture<'a, Result<Bytes, Failure>> {
        async move {
            match path {
                path::APPEND => self.append(read_body(body).await?).await,
                path::VOTE => {
                    let request: Ballot = message(body).await?;
                    encoded(self.serve_vote(request).await)
                }
                path::PRE_VOTE => {
                    let request: Ballot = message(body).await?;
                    encoded(self.serve_pre_vote(request).await)
                }
                path::HAND_OVER => {
                    let request: Handover = message(body).await?;
                    encoded(self.serve_hand_over(request).await)
                }
                path::SNAPSHOT_OFFER => self.serve_offer(read_body(body).await?).await,
                path::SNAPSHOT => self.serve_files(body).await,
                path::READ_INDEX => self.serve_read_index(from).await,
                path::HOLD_BLOB => self.serve_hold_blob(from, read_body(body).await?).await,
                path::READ_BLOB => self.serve_read_blob(from, read_body(body).await?).await,
                path::STORE_BLOB => self.serve_store_blob(from, body).await,
                path::HELLO => self.serve_hello(from, read_body(body).await?),
                _ => Err(Failure::Unknown),
            }
        }
        .boxed()
    }
}

impl<M: Machine> Node<M> {
    async fn serve_read_index(&self, from: NodeId) -> Result<Bytes, Failure> {
        if !self.is_member(from) {
            let why = format!("node {from} is not of this cluster, or no longer");
            return Err(Failure::Refused(ProposeError::Forbidden(why)));
        }
        match self.inner.reads.index().await {
            Ok(index) => Ok(Bytes::copy_from_slice(&index.to_le_bytes())),
            Err(error) => Err(Failure::Unavailable(error.to_string())),
        }
    }

    fn serve_hello(&self, from: NodeId, body: Bytes) -> Result<Bytes, Failure> {
        let mut report: Report =
            serde_json::from_slice(&body).map_err(|error| Failure::Malformed(error.to_string()))?;
        // What its certificate says, whatever it says itself.
        report.node_id = from;
        if let Some(book) = self.inner.config.transport.book() {
            book.told(report, None);
        }
        let own = serde_json::to_vec(&self.report());
        own.map(Bytes::from)
            .map_err(|error| Failure::Unavailable(error.to_string()))
    }

    /// A leader offers a snapshot: which of its files are still to come.
    async fn serve_offer(&self, manifest: Bytes) -> Result<Bytes, Failure> {
        let mut incoming = self.inner.incoming.lock().await;
        let before = incoming.take();
        let inner = Arc::clone(&self.inner);
        let expected = tokio::task::spawn_blocking(move || {
            inner.snapshots.expect(&manifest, before, &inner.disk)
        });
        let expected = expected
            .await
            .map_err(|error| Failure::Unavailable(error.to_string()))?
            .map_err(failure)?;
        let missing = serde_json::to_vec(&expected.missing());
        *incoming = Some(expected);
        missing
            .map(Bytes::from)
            .map_err(|error| Failure::Unavailable(error.to_string()))
    }

    /// The files that an offer was answered with.
    async fn serve_files(&self, mut body: Body) -> Result<Bytes, Failure> {
        let mut incoming = self.inner.incoming.lock().await;
        let Some(expected) = incoming.as_mut() else {
            return Err(Failure::Malformed("no snapshot was offered".into()));
        };
        let malformed = |error: CodecError| Failure::Malformed(error.to_string());
        let mut bytes = Bytes::new();
        let (vote, mut bytes) = loop {
            match split_head(&bytes) {
                Ok(parts) => break parts,
                Err(error) if bytes.len() > HEAD_MAX_BYTES => return Err(malformed(error)),
                Err(error) => match next(&mut body).await? {
                    Some(more) => bytes = joined(&bytes, &more),
                    None => return Err(malformed(error)),
                },
            }
        };
        let vote = LeaderVote::decode(&vote).map_err(malformed)?;
        for place in expected.missing() {
            let mut arriving = expected.begin(place).await.map_err(failure)?;
            while !arriving.take(&mut bytes).await.map_err(failure)? {
                bytes = next(&mut body)
                    .await?
                    .ok_or_else(|| Failure::Malformed("the snapshot was cut short".into()))?;
            }
            expected.end(arriving).await.map_err(failure)?;
        }
        if bytes.has_remaining() {
            return Err(Failure::Malformed("more came than was asked for".into()));
        }
        let Some(received) = incoming.take() else {
            return Err(Failure::Malformed("no snapshot was offered".into()));
        };
        let snapshot = tokio::task::spawn_blocking(move || received.finish())
            .await
            .map_err(|error| Failure::Unavailable(error.to_string()))?
            .map_err(failure)?;
        encoded(self.serve_snapshot(vote, snapshot).await)
    }
}

async fn message<T: Message>(body: Body) -> Result<T, Failure> {
    decoded(&read_body(body).await?)
}

fn decoded<T: Message>(bytes: &Bytes) -> Result<T, Failure> {
    T::decode(bytes).map_err(|error| Failure::Malformed(error.to_string()))
}

fn encoded<T: Message>(answer: Result<T, crate::ClusterError>) -> Result<Bytes, Failure> {
    let answer = answer.map_err(|error| Failure::Unavailable(error.to_string()))?;
    answer
        .encode()
        .map_err(|error| Failure::Unavailable(error.to_string()))
}

fn failure(error: SnapshotError) -> Failure {
    match error {
        SnapshotError::Damaged { .. } => Failure::Malformed(error.to_string()),
        error => Failure::Unavailable(error.to_string()),
    }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Failure> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(Failure::Malformed(error.to_string())),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn joined(first: &Bytes, second: &Bytes) -> Bytes {
    [first.as_ref(), second.as_ref()].concat().into()
}
