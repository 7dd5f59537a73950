//! A consortium on one machine: N real nodes, each a process of its own with its own keys, sockets
//! and disk, in one folder. `fedledger devnet` leaves them running; the demo and the tests hold them
//! by a pipe, so that nothing outlives whoever started them.

mod plan;
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _};
use fedledger_ledger::ids::{ChainId, MemberId};
use serde::{Deserialize, Serialize};

pub use self::plan::{Plan, PlannedTask};
pub use self::process::{this_program, Running};

/// Name of the file that describes a devnet, in its folder.
const MANIFEST: &str = "devnet.json";

/// One node of a devnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevnetNode {
    /// Its member.
    pub member: MemberId,
    /// Its home.
    pub home: PathBuf,
    /// Address of its HTTP API, once it has started.
    pub http: Option<String>,
    /// Its process, while it is thought to run on its own.
    pub pid: Option<u32>,
}

/// A devnet's description, as it is kept in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devnet {
    /// Its ledger.
    pub chain_id: ChainId,
    /// Its folder.
    pub dir: PathBuf,
    /// Its nodes, by member id.
    pub nodes: Vec<DevnetNode>,
}

impl Devnet {
    /// Makes the folder: homes, keys, settings, genesis. Nothing is started.
    ///
    /// # Errors
    /// When the folder holds anything already, or cannot be written.
    pub fn create(dir: &Path, plan: &Plan) -> anyhow::Result<Self> {
        if dir.exists() && fs::read_dir(dir)?.next().is_some() {
            bail!("{} is not empty: a devnet wants a folder of its own", dir.display());
        }
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let nodes = plan.write(&dir)?;
        let devnet = Self { chain_id: plan.chain_id.clone(), dir, nodes };
        devnet.save()?;
        Ok(devnet)
    }

    /// Reads the description of the devnet in a folder.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(MANIFEST);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{} is no devnet: it has no {MANIFEST}", dir.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes the description.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).expect("the description is plain data");
        let path = self.dir.join(MANIFEST);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Starts every node that does not run and leaves them running.
    ///
    /// # Errors
    /// When a node does not come up; those that did are left as they are.
    pub fn up(&mut self, program: &Path, patience: Duration) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            if node.is_running() {
                continue;
            }
            node.http = None;
            node.pid = Some(process::spawn_detached(program, &node.home)?);
        }
        self.save()?;
        let until = Instant::now() + patience;
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let http = process::wait_for_api(&node.home, until, || node.is_running())
                .with_context(|| format!("node {} did not come up", node.member))?;
            self.nodes[at].http = Some(http);
        }
        self.save()
    }

    /// Stops every node that runs on its own: asks first, then insists.
    ///
    /// # Errors
    /// When a node's process cannot be ended.
    pub fn down(&mut self, patience: Duration) -> anyhow::Result<usize> {
        let mut stopped = 0;
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            process::terminate(node.pid.expect("it runs"))?;
            stopped += 1;
        }
        let until = Instant::now() + patience;
        for node in &mut self.nodes {
            if let Some(pid) = node.pid.take() {
                process::wait_or_kill(pid, &node.home, until)?;
            }
            node.http = None;
        }
        self.save()?;
        Ok(stopped)
    }
}

impl DevnetNode {
    /// Whether the node's own process still runs.
    pub fn is_running(&self) -> bool {
        self.pid.is_some_and(|pid| process::is_ours(pid, &self.home))
    }
}
