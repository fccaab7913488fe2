//! Files between nodes: handed over whole and checked, read in pieces, by nodes of the cluster only.

use std::fs;
use std::io::Write;

use ekho_raft::Node;
use ekho_raft::blobs::{BlobError, BlobHash, CHUNK_BYTES, Look};
use tempfile::TempDir;

use crate::common::{Counter, eventually, noise};
use crate::nodes::three;

/// Stores a file at a node; its name, and what is in it.
fn stored(node: &Node<Counter>, size_bytes: usize) -> (BlobHash, Vec<u8>) {
    let mut bytes = vec![0; size_bytes];
    noise(size_bytes as u64, &mut bytes);
    let mut incoming = node.blobs().unwrap().begin().unwrap();
    incoming.write_all(&bytes).unwrap();
    (incoming.finish().unwrap().hash, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_handed_over_whole_and_read_in_pieces() {
    let dir = TempDir::new().unwrap();
    let nodes = three(dir.path()).await;
    let (first, second) = (&nodes[0].node, &nodes[1].node);
    assert_eq!(first.voter_sets(), [vec![1, 2, 3]]);
    for size_bytes in [1, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7] {
        let (hash, bytes) = stored(first, size_bytes);
        let size = size_bytes as u64;
        first.store_blob_at(2, hash, size).await.unwrap();
        // Once more: it has it.
        first.store_blob_at(2, hash, size).await.unwrap();
        let there = second.blobs().unwrap();
        assert_eq!(there.check(&hash).unwrap(), Look::Whole);
        assert!(fs::read(there.path(&hash)).unwrap() == bytes);
        let mut read = Vec::new();
        while read.len() < size_bytes {
            let offset = read.len() as u64;
            let (whole, piece) = nodes[2].node.read_blob_from(2, hash, offset).await.unwrap();
            assert_eq!(whole, size);
            assert!(!piece.is_empty() && piece.len() <= CHUNK_BYTES);
            read.extend_from_slice(&piece);
        }
        assert!(read == bytes);
    }
    let missing = first.read_blob_from(3, [9; 32], 0).await;
    assert!(matches!(missing, Err(BlobError::Missing(3))), "{missing:?}");
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_its_name_says_is_not_taken() {
    let dir = TempDir::new().unwrap();
    let nodes = three(dir.path()).await;
    let (first, second) = (&nodes[0].node, &nodes[1].node);
    let (hash, mut bytes) = stored(first, 100_000);
    bytes[50_000] ^= 1;
    fs::write(first.blobs().unwrap().path(&hash), &bytes).unwrap();
    let refused = first.store_blob_at(2, hash, 100_000).await;
    assert!(
        matches!(refused, Err(BlobError::Peer { .. })),
        "{refused:?}"
    );
    let there = second.blobs().unwrap();
    assert_eq!(there.check(&hash).unwrap(), Look::Missing);
    let left = fs::read_dir(dir.path().join("2/blobs/tmp")).unwrap();
    assert_eq!(left.count(), 0);
    // A file that is said to be there is read first: a damaged one is none.
    let (hash, bytes) = stored(first, 1000);
    first.store_blob_at(2, hash, 1000).await.unwrap();
    fs::write(there.path(&hash), vec![0; 1000]).unwrap();
    first.store_blob_at(2, hash, 1000).await.unwrap();
    assert!(fs::read(there.path(&hash)).unwrap() == bytes);
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_neither_gives_nor_gets() {
    let dir = TempDir::new().unwrap();
    let nodes = three(dir.path()).await;
    let (hash, _) = stored(&nodes[0].node, 1000);
    let voters = std::collections::BTreeSet::from([1, 2]);
    nodes[0].node.set_voters(voters).await.unwrap();
    nodes[0].node.remove(3).await.unwrap();
    eventually("it is not known any more", || !nodes[0].node.is_member(3)).await;
    let refused = nodes[2].node.read_blob_from(1, hash, 0).await;
    assert!(
        matches!(refused, Err(BlobError::Peer { .. })),
        "{refused:?}"
    );
    let refused = nodes[2].node.store_blob_at(1, hash, 1000).await;
    assert!(refused.is_err(), "{refused:?}");
    for running in nodes {
        running.stop().await;
    }
}
