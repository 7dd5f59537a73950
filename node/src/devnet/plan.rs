//! Laying out a devnet: who is in it, with which keys, addresses and tasks.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, process};

use anyhow::{bail, Context as _};
use fedledger_contract::canonical::Schema;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::governance::MemberSpec;
use fedledger_ledger::ids::{ChainId, Digest, MemberId};
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use fedledger_ledger::store::BlobStore;
use fedledger_ledger::task::TaskSpec;

use super::DevnetNode;
use crate::config::{Config, Home};
use crate::keys::NodeKeys;

/// A task that runs from the beginning, with the model that it starts from.
#[derive(Debug, Clone)]
pub struct PlannedTask {
    /// The task; its `initial_model` is set from the values.
    pub spec: TaskSpec,
    /// The values of the first model, in the order of the schema.
    pub initial_model: Vec<i32>,
}

/// What a devnet is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The ledger's name.
    pub chain_id: ChainId,
    /// The members: id and name.
    pub members: Vec<(MemberId, String)>,
    /// The tasks that run from the beginning.
    pub tasks: Vec<PlannedTask>,
    /// Members (by position) that listen on no socket and only dial out.
    pub dial_only: Vec<usize>,
}

/// Ports for devnets: below those that systems give to outgoing connections, one of which would
/// otherwise take a planned port before its node does.
const PORTS: Range<u16> = 20_000..32_000;

/// Numbers that no member's settings take: the plan binds both a TCP and a UDP socket to each port
/// once, to know that it is free. A process plans no port twice, and processes begin at different ones.
/// Somebody may still take it before the node does; then the node says so and stops.
fn free_port() -> anyhow::Result<u16> {
    static PLANNED: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    let start = process::id().wrapping_mul(997);
    for _ in 0..count {
        let turn = start.wrapping_add(PLANNED.fetch_add(1, Ordering::Relaxed)) % count;
        let port = PORTS.start + turn as u16;
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        if tcp.is_ok() && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!(
        "no port from {} to {} is free for both TCP and UDP on 127.0.0.1",
        PORTS.start,
        PORTS.end - 1
    )
}

impl Plan {
    /// A devnet of `n` members called hospital-1 to hospital-n, without tasks.
    ///
    /// # Errors
    /// When `n` is 0 or the names would not be ids.
    pub fn of_hospitals(chain_id: ChainId, n: usize) -> anyhow::Result<Self> {
        if n == 0 || n > fedledger_ledger::limits::MEMBERS_MAX {
            let max = fedledger_ledger::limits::MEMBERS_MAX;
            bail!("a devnet has 1 to {max} members, not {n}");
        }
        let width = n.to_string().len();
        let members = (1..=n)
            .map(|k| {
                let id = MemberId::new(format!("hospital-{k:0width$}"))?;
                Ok((id, format!("Hospital {k}")))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { chain_id, members, tasks: Vec::new(), dial_only: Vec::new() })
    }

    /// Writes homes, keys, settings, first models and genesis below `dir`.
    pub(super) fn write(&self, dir: &Path) -> anyhow::Result<Vec<DevnetNode>> {
        let mut nodes = Vec::new();
        let mut specs = Vec::new();
        for (position, (id, name)) in self.members.iter().enumerate() {
            let home = Home::new(dir.join(id.as_str()));
            fs::create_dir_all(home.path())?;
            let keys = NodeKeys::create(home.path())?;
            let addresses = self.write_config(&home, id, position)?;
            specs.push(MemberSpec {
                id: id.clone(),
                name: name.clone(),
                keys: keys.public(),
                addresses,
            });
            let home = home.path().to_owned();
            nodes.push(DevnetNode { member: id.clone(), home, http: None, pid: None });
        }
        let tasks = self.write_models(&nodes)?;
        let time = fedledger_consensus::chain::system_clock();
        let genesis = Genesis { chain_id: self.chain_id.clone(), time, members: specs, tasks };
        fedledger_contract::genesis::genesis(&genesis).context("the devnet cannot begin")?;
        let text = serde_json::to_string_pretty(&genesis).expect("genesis is plain data");
        for node in &nodes {
            fs::write(Home::new(&node.home).genesis_file(), &text)?;
        }
        fs::write(dir.join("genesis.json"), &text)?;
        Ok(nodes)
    }

    fn write_config(
        &self,
        home: &Home,
        id: &MemberId,
        position: usize,
    ) -> anyhow::Result<Vec<String>> {
        let mut config = Config::default();
        config.node.member = id.to_string();
        config.http.address = (Ipv4Addr::LOCALHOST, 0).into();
        let mut addresses = Vec::new();
        if self.dial_only.contains(&position) {
            config.network.dial_only = true;
            config.network.listen = Vec::new();
        } else {
            let port = free_port()?;
            addresses = vec![
                format!("/ip4/127.0.0.1/udp/{port}/quic-v1"),
                format!("/ip4/127.0.0.1/tcp/{port}"),
            ];
            config.network.listen.clone_from(&addresses);
        }
        fs::write(home.config_file(), config.to_text())?;
        Ok(addresses)
    }

    /// Puts each task's first model into every node's blobs, as an operator would hand it over
    /// together with the genesis document.
    fn write_models(&self, nodes: &[DevnetNode]) -> anyhow::Result<Vec<TaskSpec>> {
        let mut specs = Vec::new();
        for task in &self.tasks {
            let schema = Schema::of(&task.spec).context("the task's tensors")?;
            let bytes = schema.encode(&task.initial_model).context("the first model")?;
            for node in nodes {
                let home = Home::new(&node.home);
                let config = Config::load(&home.config_file(), [])?;
                let blobs = home.data_dir(&config).join("blobs");
                fs::create_dir_all(&blobs)?;
                BlobStore::open(&blobs, BLOB_BYTES_MAX)?.put(&bytes)?;
            }
            specs.push(TaskSpec { initial_model: Digest::of(&bytes), ..task.spec.clone() });
        }
        Ok(specs)
    }
}
