//! A line to a node that can be narrow, and be cut.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections. Each lets through, towards the node, as many bytes as are allowed, and
/// then waits.
pub struct Line {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: OnceLock<SocketAddr>,
    allowed_bytes: watch::Sender<u64>,
    /// Connections that began before a cut end.
    cuts: watch::Sender<u64>,
    is_waiting: watch::Sender<bool>,
    passed_bytes: AtomicU64,
}

impl Line {
    /// A line with room for so many bytes of each connection.
    pub async fn new(allowed_bytes: u64) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: OnceLock::new(),
            allowed_bytes: watch::Sender::new(allowed_bytes),
            cuts: watch::Sender::new(0),
            is_waiting: watch::Sender::new(false),
            passed_bytes: AtomicU64::new(0),
        });
        let own = shared.clone();
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(own.clone().forward(from));
            }
        });
        Line { address, shared }
    }

    pub fn lead_to(&self, target: SocketAddr) {
        self.shared.target.set(target).unwrap();
    }

    /// Waits until a connection has used up what is allowed.
    pub async fn is_full(&self) {
        let mut waiting = self.shared.is_waiting.subscribe();
        let full = waiting.wait_for(|waiting| *waiting);
        let full = tokio::time::timeout(crate::nodes::TTL, full).await;
        drop(full.expect("the line is never full").unwrap());
    }

    /// Lets everything through.
    pub fn open(&self) {
        self.shared.allowed_bytes.send_replace(u64::MAX);
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Bytes that came through to the node.
    pub fn passed_bytes(&self) -> u64 {
        self.shared.passed_bytes.load(Ordering::SeqCst)
    }
}

impl Shared {
    async fn forward(self: Arc<Self>, from: TcpStream) {
        let mut cuts = self.cuts.subscribe();
        let to = TcpStream::connect(self.target.get().unwrap()).await;
        let Ok(to) = to else { return };
        let (from, to) = (from.into_split(), to.into_split());
        let back = async move {
            let (mut read, mut write) = (to.0, from.1);
            tokio::io::copy(&mut read, &mut write).await.ok();
        };
        tokio::select! {
            () = self.towards(from.0, to.1) => {}
            () = back => {}
            _ = cuts.changed() => {}
        }
    }

    async fn towards(
        &self,
        mut read: tokio::net::tcp::OwnedReadHalf,
        mut write: tokio::net::tcp::OwnedWriteHalf,
    ) {
        let mut allowed = self.allowed_bytes.subscribe();
        let mut passed_bytes = 0;
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            passed_bytes += count as u64;
            if passed_bytes > *allowed.borrow() {
                self.is_waiting.send_replace(true);
                let room = allowed.wait_for(|allowed| passed_bytes <= *allowed).await;
                drop(room);
            }
            if write.write_all(&buffer[..count]).await.is_err() {
                return;
            }
            self.passed_bytes.fetch_add(count as u64, Ordering::SeqCst);
        }
    }
}
