//! A consortium of processes, and the hands to break it with.

mod by_hand;
mod evaluation;
mod light_client;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fedledger_contract::canonical::{FloatBits, NamedTensor, Schema};
use fedledger_ledger::decision::{OutcomeResult, Reason, RoundFailure};
use fedledger_ledger::governance::Change;
use fedledger_ledger::ids::{ChainId, Digest, Height, MemberId, RoundNumber, TaskId};
use fedledger_ledger::task::{TaskSpec, TensorSpec};
use fedledger_node::api::types::{
    ChangeView, EntriesPage, MemberView, NodeStatus, ProposeChangeBody, RoundView, Submitted,
    SubmittedUpdate, TaskView,
};
use fedledger_node::audit::{audit, DataDir, Depth};
use fedledger_node::client::Client;
use fedledger_node::config::{Config, Home};
use fedledger_node::devnet::{Devnet, Plan, PlannedTask, Running};
use fedledger_node::files::to_safetensors;
use fedledger_node::keys::NodeKeys;

pub use by_hand::Forged;
pub use evaluation::{SCORE, SCORE_BY_CLASS};

/// How long anything may take before a test fails. Not a measure of speed.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(30);
const PROGRAM: &str = env!("CARGO_BIN_EXE_fedledger-under-test");
const LIAR: &str = env!("CARGO_BIN_EXE_fedledger-liar");

pub struct Consortium {
    devnet: Devnet,
    nodes: Vec<Option<Running>>,
    clients: RefCell<Vec<Client>>,
    task: TaskId,
    schema: Schema,
    // Last, so that the processes are gone before their folder is.
    folder: tempfile::TempDir,
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "gave up waiting for {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Length of the commit and reveal phases: short, because a member that is absent on purpose is
/// waited for to the deadline.
const WINDOW_MS: u64 = 12_000;

fn task_spec(n: usize, rounds: u64, window_ms: u64) -> TaskSpec {
    let tensors = vec![
        TensorSpec { name: "bias".into(), shape: vec![1], scale_bits: 18 },
        TensorSpec { name: "weight".into(), shape: vec![4, 3], scale_bits: 18 },
    ];
    let id = TaskId::new("probe").unwrap();
    let none = Digest([0; 32]);
    let task = fedledger_sim::defaults::task(id, "a probe", n, tensors, none, rounds);
    TaskSpec { commit_window_ms: window_ms, reveal_window_ms: window_ms, ..task }
}

impl Consortium {
    pub fn start(n: usize, rounds: u64) -> Self {
        Self::start_as(n, task_spec(n, rounds, WINDOW_MS), &[], None, |_, _| {})
    }

    pub fn start_with_dial_only(n: usize, rounds: u64, dial_only: &[usize]) -> Self {
        Self::start_as(n, task_spec(n, rounds, WINDOW_MS), dial_only, None, |_, _| {})
    }

    /// One member's node proposes wrong outcomes and votes for everything.
    pub fn start_with_liar(n: usize, rounds: u64, liar: usize) -> Self {
        Self::start_as(n, task_spec(n, rounds, WINDOW_MS), &[], Some(liar), |_, _| {})
    }

    /// No phase ends while the ledger stands still: everybody submits in the end.
    pub fn start_patient(n: usize, rounds: u64) -> Self {
        Self::start_as(n, task_spec(n, rounds, 600_000), &[], None, |_, _| {})
    }

    /// `set` may change a member's settings before its node starts.
    fn start_as(
        n: usize,
        spec: TaskSpec,
        dial_only: &[usize],
        liar: Option<usize>,
        set: impl Fn(usize, &mut Config),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let schema = Schema::of(&spec).unwrap();
        let mut plan = Plan::of_hospitals(ChainId::new("probe-1").unwrap(), n).unwrap();
        plan.dial_only = dial_only.to_vec();
        let task = spec.id.clone();
        plan.tasks = vec![PlannedTask { spec, initial_model: schema.zero_model() }];
        let devnet = Devnet::create(&folder.path().join("net"), &plan).unwrap();
        for (member, node) in devnet.nodes.iter().enumerate() {
            let file = Home::new(&node.home).config_file();
            let mut config = Config::load(&file, []).unwrap();
            set(member, &mut config);
            fs::write(&file, config.to_text()).unwrap();
        }
        let nodes = devnet
            .nodes
            .iter()
            .enumerate()
            .map(|(member, node)| {
                let program = if liar == Some(member) { LIAR } else { PROGRAM };
                Some(Running::launch(Path::new(program), &node.home).unwrap())
            })
            .collect();
        let clients = RefCell::new(Vec::new());
        let mut consortium = Self { devnet, nodes, clients, task, schema, folder };
        for member in 0..n {
            consortium.nodes[member].as_mut().unwrap().wait_ready(PATIENCE).unwrap();
            let client = consortium.connect(member);
            consortium.clients.borrow_mut().push(client);
        }
        consortium
    }

    fn home(&self, member: usize) -> Home {
        Home::new(&self.devnet.nodes[member].home)
    }

    fn data(&self, member: usize) -> PathBuf {
        let home = self.home(member);
        home.data_dir(&Config::load(&home.config_file(), []).unwrap())
    }

    fn connect(&self, member: usize) -> Client {
        let home = self.home(member);
        let config = Config::load(&home.config_file(), []).unwrap();
        let address = self.nodes[member].as_ref().unwrap().http.parse().unwrap();
        Client::of_address(address, Some(home.token_file(&config)))
    }

    fn client(&self, member: usize) -> std::cell::Ref<'_, Client> {
        std::cell::Ref::map(self.clients.borrow(), |clients| &clients[member])
    }

    // Breaking and mending.

    pub fn kill(&mut self, member: usize) {
        self.nodes[member].take().expect("it runs").kill().unwrap();
    }

    pub fn stop(&mut self, member: usize) {
        self.nodes[member].take().expect("it runs").stop(PATIENCE).unwrap();
    }

    pub fn restart(&mut self, member: usize) {
        assert!(self.nodes[member].is_none());
        let home = &self.devnet.nodes[member].home;
        self.nodes[member] = Some(Running::start(Path::new(PROGRAM), home, PATIENCE).unwrap());
        let client = self.connect(member);
        self.clients.borrow_mut()[member] = client;
    }

    pub fn wipe_data(&self, member: usize) {
        fs::remove_dir_all(self.data(member)).unwrap();
    }

    pub fn backup_data(&self, member: usize) {
        copy_folder(&self.data(member), &self.folder.path().join("backup"));
    }

    pub fn restore_data(&self, member: usize) {
        self.wipe_data(member);
        copy_folder(&self.folder.path().join("backup"), &self.data(member));
    }

    /// Makes the home of a node that has the genesis document and keys that nobody lists.
    pub fn make_stranger(&self) -> Stranger {
        let home = Home::new(self.folder.path().join("stranger"));
        fs::create_dir_all(home.path()).unwrap();
        fs::copy(self.home(0).genesis_file(), home.genesis_file()).unwrap();
        NodeKeys::create(home.path()).unwrap();
        let mut config = Config::default();
        config.http.address = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        config.network.listen = Vec::new();
        config.network.dial_only = true;
        "debug".clone_into(&mut config.log.level);
        fs::write(home.config_file(), config.to_text()).unwrap();
        Stranger { home, data: self.folder.path().join("stranger/data") }
    }

    /// Gives the stranger the network key of a member whose node is down.
    pub fn hand_over_network_key(&self, member: usize, stranger: &Stranger) {
        let key = |home: &Path| fedledger_node::keys::keys_dir(home).join("network.key");
        fs::copy(key(self.home(member).path()), key(stranger.home.path())).unwrap();
    }

    // Updates.

    fn tensors(&self, seed: usize, round: RoundNumber) -> Vec<NamedTensor> {
        let tensors = self.schema.tensors().iter();
        tensors
            .map(|spec| {
                let elements = spec.elements().unwrap();
                let values = (0..elements)
                    .map(|k| {
                        let step = (seed as u64 * 7 + k * 3 + round.0 * 5) % 11;
                        (0.01 + step as f32 * 0.001).to_bits()
                    })
                    .collect();
                NamedTensor {
                    name: spec.name.clone(),
                    shape: spec.shape.clone(),
                    values: FloatBits::F32(values),
                }
            })
            .collect()
    }

    pub fn update(&self, seed: usize, round: RoundNumber) -> Vec<u8> {
        to_safetensors(&self.tensors(seed, round))
    }

    pub fn update_with_nan(&self) -> Vec<u8> {
        let mut tensors = self.tensors(0, RoundNumber(1));
        if let FloatBits::F32(bits) = &mut tensors[1].values {
            bits[5] = f32::NAN.to_bits();
        }
        to_safetensors(&tensors)
    }

    pub fn update_with_wrong_shape(&self) -> Vec<u8> {
        let mut tensors = self.tensors(0, RoundNumber(1));
        tensors[1].shape = vec![3, 4];
        to_safetensors(&tensors)
    }

    fn post_update(
        &self,
        member: usize,
        round: RoundNumber,
        body: &[u8],
    ) -> Result<SubmittedUpdate, fedledger_node::client::ClientError> {
        let path = format!("/v1/tasks/{}/rounds/{round}/update?num_examples=10", self.task);
        let length = body.len() as u64;
        self.client(member).post_bytes(&path, "application/vnd.safetensors", body, length)
    }

    /// Waits until the member's node has opened the round, and hands in its update.
    pub fn submit(&self, member: usize, round: RoundNumber) -> SubmittedUpdate {
        self.wait_for_round(member, round);
        let body = self.update(member, round);
        self.post_update(member, round, &body).unwrap_or_else(|error| {
            panic!("member {member} hands in its update for round {round}: {error}")
        })
    }

    pub fn assert_refused(
        &self,
        member: usize,
        round: RoundNumber,
        body: &[u8],
        code: &str,
        word: &str,
    ) {
        let error = self.post_update(member, round, body).expect_err("it has to be refused");
        let text = format!("{error} {error:?}");
        assert!(text.contains(code), "expected code {code}: {text}");
        assert!(text.contains(word), "expected the word {word}: {text}");
    }

    // Watching.

    fn transactions_of(&self, through: usize, member: &MemberId) -> u64 {
        let members: Vec<MemberView> = self.client(through).get("/v1/members").unwrap();
        members.iter().find(|one| one.member.id == *member).unwrap().transactions
    }

    fn task_view(&self, member: usize) -> TaskView {
        self.client(member).get(&format!("/v1/tasks/{}", self.task)).unwrap()
    }

    fn status(&self, member: usize) -> NodeStatus {
        self.client(member).get("/v1/status").unwrap()
    }

    pub fn height(&self, member: usize) -> Height {
        self.status(member).height
    }

    fn wait_for_round(&self, member: usize, round: RoundNumber) {
        until(&format!("round {round} to open at member {member}"), || {
            (self.task_view(member).round >= round).then_some(())
        });
    }

    fn round_view(&self, member: usize, round: RoundNumber) -> Option<RoundView> {
        self.client(member).get(&format!("/v1/tasks/{}/rounds/{round}", self.task)).ok()
    }

    pub fn wait_for_end(&self, member: usize, round: RoundNumber) -> RoundView {
        until(&format!("round {round} to end"), || {
            self.round_view(member, round).filter(|view| view.phase == "ended")
        })
    }

    /// Why a member's update of an ended round got its verdict.
    pub fn reason(&self, member: usize, view: &RoundView) -> Reason {
        let id = &self.devnet.nodes[member].member;
        let line = view.updates.iter().find(|line| line.member == *id).unwrap();
        line.verdict.as_ref().unwrap().reason
    }

    /// Everybody but `absent` submits; returns when the round is over.
    pub fn play_round(&mut self, round: RoundNumber, absent: &[usize]) -> RoundView {
        let present: Vec<usize> =
            (0..self.nodes.len()).filter(|member| !absent.contains(member)).collect();
        for &member in &present {
            self.submit(member, round);
        }
        self.wait_for_end(present[0], round)
    }

    pub fn member(&self, member: usize) -> MemberId {
        self.devnet.nodes[member].member.clone()
    }

    /// Why a round ended without a model, if it did.
    pub fn failure(&self, member: usize, round: RoundNumber) -> Option<RoundFailure> {
        match self.wait_for_end(member, round).result {
            Some(OutcomeResult::Failed { failure }) => Some(failure),
            _ => None,
        }
    }

    /// Takes the task back to an earlier round by a vote of all but the last node.
    pub fn roll_back(&self, round: RoundNumber, without: &[usize]) {
        let change = Change::RollBack {
            task: self.task.clone(),
            round,
            without: without.iter().map(|&member| self.member(member)).collect(),
            replay: true,
            reason: "the last one was taken over".into(),
        };
        let digest = change.digest();
        let body = ProposeChangeBody { change };
        let _: Submitted = self.client(0).post("/v1/changes", &body).expect("it is proposed");
        for member in 1..self.nodes.len() - 1 {
            until("the change to be known", || {
                let open: Vec<ChangeView> = self.client(member).get("/v1/changes").ok()?;
                open.iter().any(|view| view.digest == digest).then_some(())
            });
            let path = format!("/v1/changes/{digest}/approve");
            let _: Submitted = self.client(member).post(&path, &()).expect("it is approved");
        }
    }

    pub fn wait_for_height_above(&self, member: usize, height: Height) {
        until("a new block", || (self.height(member) > height).then_some(()));
    }

    pub fn assert_no_height_above(&self, member: usize, height: Height, for_: Duration) {
        let end = Instant::now() + for_;
        while Instant::now() < end {
            assert_eq!(self.height(member), height, "a block was decided without a quorum");
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    pub fn assert_pending(&self, member: usize, submitted: &SubmittedUpdate) {
        let path = format!("/v1/transactions/{}", submitted.transaction);
        let status: serde_json::Value = self.client(member).get(&path).unwrap();
        assert_eq!(status["status"], "pending", "{status}");
    }

    pub fn assert_task_status(&self, expected: &str) {
        assert_eq!(self.task_view(0).status, expected);
    }

    pub fn assert_submitted_by_all(&self, round: RoundNumber) {
        let view = self.wait_for_end(0, round);
        let revealed = view.updates.iter().filter(|update| update.revealed).count();
        assert_eq!(revealed, self.nodes.len(), "{view:?}");
    }

    fn all_entries(&self) -> Vec<serde_json::Value> {
        let mut entries = Vec::new();
        let mut from = Some(0);
        while let Some(start) = from {
            let page: EntriesPage =
                self.client(0).get(&format!("/v1/entries?from={start}&limit=100")).unwrap();
            entries.extend(page.entries.iter().map(|one| serde_json::to_value(one).unwrap()));
            from = page.next;
        }
        entries
    }

    pub fn assert_entry_kind(&self, kind: &str) {
        let found = self.all_entries().iter().any(|one| one["entry"]["body"]["kind"] == kind);
        assert!(found, "the log has no {kind}");
    }

    /// How often a node's log has these words.
    pub fn said(&self, member: usize, words: &str) -> usize {
        let log = fs::read_to_string(self.devnet.nodes[member].home.join("node.log")).unwrap();
        log.matches(words).count()
    }

    /// No node has seen another sign two different things for one step.
    pub fn assert_no_evidence(&self) {
        for (member, node) in self.devnet.nodes.iter().enumerate() {
            assert_eq!(self.said(member, "equivocation"), 0, "{} saw one", node.member);
        }
    }

    /// Waits until every running node is at the same height, and compares what they have there.
    pub fn wait_same_tip(&self) {
        let running: Vec<usize> =
            (0..self.nodes.len()).filter(|member| self.nodes[*member].is_some()).collect();
        until("all nodes to be at the same block", || {
            let tips: Vec<_> = running
                .iter()
                .map(|member| self.status(*member))
                .map(|status| (status.height, status.block_id, status.state_root, status.log_root))
                .collect();
            let highest = tips.iter().max_by_key(|tip| tip.0)?;
            for tip in tips.iter().filter(|tip| tip.0 == highest.0) {
                assert_eq!(tip, highest, "two nodes disagree on block {}", highest.0);
            }
            tips.iter().all(|tip| tip == highest).then_some(())
        });
    }

    /// Stops everything, and verifies every node's ledger from genesis with all decisions
    /// recomputed; all of them have to be prefixes of one chain.
    pub fn stop_and_audit(mut self) {
        for node in self.nodes.iter_mut().filter_map(Option::take) {
            node.stop(PATIENCE).unwrap();
        }
        let mut ids: Vec<Vec<Digest>> = Vec::new();
        for member in 0..self.devnet.nodes.len() {
            let genesis = self.home(member).genesis().unwrap();
            let source = DataDir::open(&self.data(member), &genesis).unwrap();
            let report = audit(&source, Some(genesis.digest()), Depth::Replay, |_| {})
                .unwrap_or_else(|error| panic!("the ledger of member {member}: {error}"));
            assert!(report.decisions > 0, "nothing was decided");
            ids.push(
                (1..=report.height.0).map(|height| block_id(&source, Height(height))).collect(),
            );
        }
        let longest = ids.iter().max_by_key(|chain| chain.len()).unwrap();
        for chain in &ids {
            assert_eq!(chain[..], longest[..chain.len()], "two nodes have different chains");
        }
    }
}

/// A node of somebody whom the ledger does not list.
pub struct Stranger {
    home: Home,
    data: PathBuf,
}

impl Stranger {
    /// Runs until `enough` says so, and stops.
    pub fn run_until(&self, what: &str, mut enough: impl FnMut(&Self, &NodeStatus) -> bool) {
        let running = Running::start(Path::new(PROGRAM), self.home.path(), PATIENCE).unwrap();
        let client = Client::of_address(running.http.parse().unwrap(), None);
        until(what, || {
            let status: NodeStatus = client.get("/v1/status").unwrap();
            enough(self, &status).then_some(())
        });
        running.stop(PATIENCE).unwrap();
    }

    /// How often it was turned away.
    pub fn refusals(&self) -> usize {
        let log = fs::read_to_string(self.home.path().join("node.log")).unwrap();
        log.matches("a dial failed").count() + log.matches("connection closed").count()
    }

    /// Names of the blobs that it holds.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.data.join("blobs")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found
    }
}

fn block_id(source: &DataDir, height: Height) -> Digest {
    use fedledger_node::audit::LedgerSource as _;
    source.block(height).unwrap().0.hash()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
