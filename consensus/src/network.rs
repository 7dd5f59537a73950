//! The engine's network: its messages become frames of the transport, and frames become its events.
//!
//! ```text
//! engine ──Msg──► NetActor ──seal own votes──► Hub ──frames──► transport
//! transport ──events──► pump ──votes, proposals, sync──► engine
//!                            ├──parts, proposals──► driver (bounded: a flood waits in the sockets)
//!                            └──tips, activity────► driver (latest value only)
//! ```

mod actor;
mod hub;
mod pump;

pub(crate) use actor::{spawn_net_actor, Seal};
pub(crate) use hub::{Hub, Signals};
pub(crate) use pump::{announce_status, pump, Incoming};
