//! Every limit of the network, with its reason.

use std::time::Duration;

use fedledger_ledger::limits::MEMBERS_MAX;

/// Longest transaction as it travels; the ledger's own limit is below it.
pub const GOSSIP_TRANSACTION_BYTES_MAX: usize = 64 << 10;
/// Most digests in one announcement of blobs: 32 KB, half of the longest gossip message.
pub const BLOB_ANNOUNCEMENT_DIGESTS_MAX: usize = 1_000;
/// Longest gossip message: the longest transaction with source, sequence, topic and signature.
pub(super) const GOSSIP_BYTES_MAX: usize = GOSSIP_TRANSACTION_BYTES_MAX + (4 << 10);
/// Longest piece of a blob in one answer, in bytes.
pub const BLOB_CHUNK_BYTES_MAX: usize = 1 << 20;
/// Longest blob answer: a chunk, its kind and the blob's length.
pub(super) const BLOB_RESPONSE_BYTES_MAX: usize = BLOB_CHUNK_BYTES_MAX + 64;
/// Longest blob request: digest, offset and length.
pub(super) const BLOB_REQUEST_BYTES_MAX: usize = 64;

/// Frames that wait for one slow peer, and their bytes. Beyond it that peer loses frames and nobody
/// else waits; the engine repeats votes, and sync brings blocks.
pub(super) const CONTROL_QUEUE_FRAMES_MAX: usize = 4_096;
/// See [`CONTROL_QUEUE_FRAMES_MAX`].
pub(super) const CONTROL_QUEUE_BYTES_MAX: usize = 8 << 20;
/// Proposal parts that wait for one slow peer.
pub(super) const BULK_QUEUE_FRAMES_MAX: usize = 256;
/// Two or three of the longest blocks in parts.
pub(super) const BULK_QUEUE_BYTES_MAX: usize = 16 << 20;
/// Own control frames that a new link gets first: the votes of a few heights.
pub(super) const RECENT_CONTROL_FRAMES_MAX: usize = 64;
/// Own bulk frames that a new link gets first.
pub(super) const RECENT_BULK_FRAMES_MAX: usize = 64;
/// Bytes of recent frames per lane: one block of the greatest size in parts, and room.
pub(super) const RECENT_BYTES_MAX: usize = 5 << 19;

/// Frames per second that one stream may push into us; a height has about four per member.
pub(super) const READER_FRAMES_PER_SECOND: f64 = 2_000.0;
/// Frames that may arrive at once.
pub(super) const READER_FRAMES_BURST: f64 = 4_000.0;
/// Bytes per second that one stream may push into us: far above any chain, far below a flood.
pub(super) const READER_BYTES_PER_SECOND: f64 = 32.0 * 1024.0 * 1024.0;
/// Bytes that may arrive at once.
pub(super) const READER_BYTES_BURST: f64 = 64.0 * 1024.0 * 1024.0;
/// Live inbound streams per peer and lane: one, and its successor while a link is replaced.
pub(super) const READERS_PER_LANE_MAX: usize = 2;
/// Relayed frames that are remembered, to deliver each once.
pub(super) const RELAYED_REMEMBERED_MAX: usize = 8_192;

/// Frames that wait for the engine. When it is full, readers stop and the sockets push back.
pub(super) const ENGINE_EVENTS_MAX: usize = 128;
/// Gossip that waits for the node. When it is full, gossip is ignored; it is published again.
pub(super) const NODE_EVENTS_MAX: usize = 1_024;
/// Gossip messages per second and signing member.
pub(super) const GOSSIP_PER_SECOND: f64 = 500.0;
/// Gossip messages of one member that may arrive at once.
pub(super) const GOSSIP_BURST: f64 = 2_000.0;

/// Sync requests of one peer that wait for their answer.
pub(super) const SYNC_INBOUND_PER_PEER_MAX: usize = 8;
/// Blob requests of one peer being served. A fetch keeps at most [`FETCH_WINDOW_MAX`] in flight.
pub(super) const BLOB_SERVING_PER_PEER_MAX: usize = 32;
/// Blob requests being served to all peers: 128 MiB of chunks.
pub(super) const BLOB_SERVING_MAX: usize = 128;
/// Blobs that are fetched at the same time.
pub(super) const FETCHES_MAX: usize = 4;
/// Chunks in flight for one blob: 8 MiB, which fills 1 Gbit/s over 60 ms.
pub(super) const FETCH_WINDOW_MAX: usize = 8;
/// Chunks in flight when a fetch begins.
pub(super) const FETCH_WINDOW_START: usize = 4;
/// Smallest chunk asked for over a slow line.
pub(super) const FETCH_CHUNK_BYTES_MIN: u32 = 64 << 10;
/// Substreams of one request protocol and connection.
pub(super) const REQUEST_STREAMS_MAX: usize = 64;

/// Connections per peer: one each way, and dead ones that are not noticed yet.
pub(super) const CONNECTIONS_PER_PEER_MAX: u32 = 8;
/// Established connections.
pub(super) const CONNECTIONS_MAX: u32 = 4 * MEMBERS_MAX as u32;
/// Handshakes that strangers and members together may have open towards us.
pub(super) const CONNECTIONS_PENDING_MAX: u32 = 256;
/// How long a dial and its handshake may take.
pub(super) const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Members stay connected however little they have to say: a year.
pub(super) const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Between pings; a silent peer is noticed after about twice this and [`PING_TIMEOUT`].
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(3);
/// How long a ping may take.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long opening a stream, or writing one batch to it, may take.
pub(super) const STREAM_OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// See [`STREAM_OPEN_TIMEOUT`].
pub(super) const STREAM_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a sync request may take: 10 MiB over a slow line.
pub(super) const SYNC_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a chunk of a blob may take before it is asked for again, smaller.
pub(super) const BLOB_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait between two attempts to reach a member.
pub(super) const REDIAL_MAX: Duration = Duration::from_secs(5);
/// First wait between two attempts to reach a member.
pub(super) const REDIAL_MIN: Duration = Duration::from_millis(100);
/// How long the network waits for a quorum before it says that it is ready.
pub(super) const READY_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long it waits for the others once a quorum is linked.
pub(super) const READY_GRACE: Duration = Duration::from_millis(500);
/// How long changes of reach are gathered before peers are told.
pub(super) const REACH_DELAY: Duration = Duration::from_millis(100);
/// How long a shutdown waits for connections to close.
pub(super) const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);
