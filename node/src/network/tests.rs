//! Several networks in one process, over real sockets on the loopback.

mod blobs;
mod fixture;
mod frames;
mod gossip;
mod membership;
mod stranger;
