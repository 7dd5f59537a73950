//! Limits and patience of the engine that nobody needs to configure, each with its reason.

use std::time::Duration;

/// Messages that the engine queues for one future height: (2n - 1) for each round, and a few rounds
/// of 128 members.
pub(crate) const CONSENSUS_QUEUE_PER_HEIGHT: usize = 2_000;
/// Frames that wait for the driver. It takes one within microseconds; when it does not, the network
/// is made to wait.
pub(crate) const INCOMING_MAX: usize = 256;
/// Blocks asked for in one sync request: five of the greatest size fit the longest response.
pub(crate) const SYNC_BATCH: usize = 5;
/// Sync requests at once.
pub(crate) const SYNC_PARALLEL: usize = 5;
/// How long a sync request may take: 10 MiB over a line of 10 Mbit/s. A peer that cannot answer
/// says so at once; this is for those that vanish.
pub(crate) const SYNC_REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// How long an actor may take to stop before it is killed.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How long the log of the run before may stay locked.
pub(crate) const WAL_OPEN_PATIENCE: Duration = Duration::from_secs(5);
/// How often a node that follows looks whether the others get on.
pub(crate) const FOLLOW_CHECK: Duration = Duration::from_millis(500);
