//! The column families and how each is tuned.

use std::sync::Arc;

use rocksdb::compaction_filter::Decision;
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, Error, Options};

use crate::tables::derived::{self, Floors};

/// Steps in which the write buffer of a family grows.
const ARENA_BLOCKS: usize = 64;
/// Size of one part of an index or filter.
const METADATA_BLOCK_BYTES: usize = 16 << 10;

/// A column family of the state database. Families differ in how they are tuned, not in meaning;
/// within one, tables are told apart by a leading byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Cf {
    /// Applied position, clock, settings, counters: few, small, rewritten in every batch.
    Meta,
    /// Fleets, operators, agents, rooms, approvals: read by key, seldom written.
    Registry,
    /// Message records without their bodies.
    Message,
    /// Message bodies, in blob files.
    Body,
    /// Deliveries, one row a recipient of a message.
    Delivery,
    /// What each inbox can hand out now, in order; rows are short-lived.
    Queue,
    /// What happens when, ordered by time; rows are short-lived.
    Due,
    /// Nonces already used, by time bucket.
    Nonce,
    /// The audit log, append-only.
    Event,
    /// Conversations, participants, idempotency keys.
    Index,
    /// What is worked out from the audit log for people to find and count things by. It can be
    /// worked out again.
    Derived,
}

impl Cf {
    /// Every family, in the order of their numbers.
    pub const ALL: [Cf; 11] = [
        Cf::Meta,
        Cf::Registry,
        Cf::Message,
        Cf::Body,
        Cf::Delivery,
        Cf::Queue,
        Cf::Due,
        Cf::Nonce,
        Cf::Event,
        Cf::Index,
        Cf::Derived,
    ];

    /// The name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Cf::Meta => "meta",
            Cf::Registry => "registry",
            Cf::Message => "message",
            Cf::Body => "body",
            Cf::Delivery => "delivery",
            Cf::Queue => "queue",
            Cf::Due => "due",
            Cf::Nonce => "nonce",
            Cf::Event => "event",
            Cf::Index => "index",
            Cf::Derived => "derived",
        }
    }

    /// How many of a key's first bytes tell rows apart of which each new one sorts close behind the
    /// one before: those of one inbox, of one fleet's messages.
    fn run_bytes(self) -> usize {
        match self {
            // Table, fleet, agent.
            Cf::Registry | Cf::Delivery | Cf::Queue => 9,
            // Bucket, fleet, agent.
            Cf::Nonce => 12,
            // Table, fleet.
            Cf::Meta | Cf::Index | Cf::Derived => 5,
            // Fleet.
            Cf::Message | Cf::Body | Cf::Event => 4,
            // What is due within the same four and a half hours.
            Cf::Due => 5,
        }
    }

    pub(crate) fn options(
        self,
        cache: &Cache,
        write_buffer_bytes: usize,
        floors: &Arc<Floors>,
    ) -> Result<Options, Error> {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        // In parts: the filter of a large file is megabytes, more than a shard of the cache holds,
        // and would be read from disk again for every key.
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_metadata_block_size(METADATA_BLOCK_BYTES);
        table.set_pin_top_level_index_and_filter(true);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_block_size(16 * 1024);
        table.set_format_version(6);
        // Where the last row of a run went into the write buffer is where the next one is looked for
        // first. Finding that place from the top was a third of what applying a message cost.
        let mut options = Options::default().get_options_from_string(format!(
            "memtable_insert_with_hint_prefix_extractor=rocksdb.CappedPrefix.{}",
            self.run_bytes()
        ))?;
        options.set_write_buffer_size(write_buffer_bytes);
        // What a family takes with its first row counts whole against the budget of all. Were it
        // much, a few rows in each while a flush goes on would be reason enough for the next one:
        // a node whose disk was slow for a moment did nothing but flush tiny files from then on.
        options.set_arena_block_size(write_buffer_bytes / ARENA_BLOCKS);
        options.set_max_write_buffer_number(3);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_target_file_size_base(32 << 20);
        match self {
            // Point reads that mostly miss: a filter answers them without touching a block.
            Cf::Nonce
            | Cf::Index
            | Cf::Registry
            | Cf::Message
            | Cf::Body
            | Cf::Delivery
            | Cf::Derived => {
                table.set_bloom_filter(10.0, false);
                options.set_memtable_whole_key_filtering(true);
                options.set_memtable_prefix_bloom_ratio(0.02);
            }
            Cf::Meta | Cf::Queue | Cf::Due | Cf::Event => {}
        }
        if self == Cf::Body {
            options.set_enable_blob_files(true);
            options.set_min_blob_size(128);
            options.set_blob_file_size(64 << 20);
            options.set_blob_compression_type(DBCompressionType::Lz4);
            options.set_enable_blob_gc(true);
            options.set_blob_gc_age_cutoff(0.5);
            options.set_blob_gc_force_threshold(0.5);
        }
        if self == Cf::Derived {
            let floors = Arc::clone(floors);
            options.set_compaction_filter("floors", move |_, key, value| {
                match derived::is_over(key, value, &floors) {
                    true => Decision::Remove,
                    false => Decision::Keep,
                }
            });
        }
        if matches!(
            self,
            Cf::Message | Cf::Body | Cf::Delivery | Cf::Queue | Cf::Due | Cf::Index | Cf::Derived
        ) {
            // Rows here are removed in long runs; without this the space would come back only
            // when newer rows happen to push a compaction over them.
            options.add_compact_on_deletion_collector_factory(4096, 2048, 0.5);
        }
        options.set_block_based_table_factory(&table);
        Ok(options)
    }
}
