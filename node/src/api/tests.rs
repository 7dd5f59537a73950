//! Handlers over a real store and a stand-in for the rest of the node, asked over real sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use async_trait::async_trait;
use ed25519_dalek::SigningKey;
use fedledger_ledger::entry::{Entry, Rejection};
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::governance::{MemberKeys, MemberSpec};
use fedledger_ledger::ids::{ChainId, Digest, Height, MemberId, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::log::verify_inclusion;
use fedledger_ledger::store::{BlobStore, LedgerStore};
use fedledger_ledger::transaction::{Action, CandidateScore, ClassLoss, Transaction};
use serde_json::Value;

use super::types::*;
use super::*;
use crate::cli::task_file;
use crate::client::{Client, ClientError};

/// A node that has only genesis, and takes everything.
struct StandIn {
    store: LedgerStore,
    blobs: BlobStore,
    genesis: Genesis,
    hidden: Digest,
    heights: watch::Sender<Height>,
    submitted: Mutex<Vec<SubmitUpdate>>,
}

const TASK: &str = "id = 'heart'\nrounds = 2\nbyzantine = 1\nrule = { name = 'median' }\n\
    updates_min = 3\n[[tensors]]\nname = 'w'\nshape = [3]\n";

fn genesis() -> (Genesis, Vec<u8>) {
    let key = |seed: u8| PublicKey::of(&SigningKey::from_bytes(&[seed; 32]));
    let member = |k: u8| MemberSpec {
        id: MemberId::new(format!("m-{k}")).unwrap(),
        name: format!("Hospital {k}"),
        keys: MemberKeys {
            member: key(10 * k),
            validator: key(10 * k + 1),
            network: key(10 * k + 2),
        },
        addresses: Vec::new(),
    };
    let task = task_file::parse(std::path::Path::new("task.toml"), TASK, None).unwrap();
    let genesis = Genesis {
        chain_id: ChainId::new("api-1").unwrap(),
        time: TimeMs(1_000),
        members: (1..=4).map(member).collect(),
        tasks: vec![task.spec],
    };
    (genesis, task.initial_model_bytes)
}

impl StandIn {
    fn new(folder: &std::path::Path) -> Self {
        let (genesis, model) = genesis();
        let ledger = folder.join("ledger");
        std::fs::create_dir_all(&ledger).unwrap();
        let store = LedgerStore::open(&ledger, &genesis.chain_id, genesis.digest()).unwrap();
        let effects = fedledger_contract::genesis(&genesis).unwrap();
        let entries: Vec<Vec<u8>> = effects.entries.iter().map(Entry::to_bytes).collect();
        store.init_genesis(&genesis, &effects.validators, &entries, &effects.writes).unwrap();
        let blobs = BlobStore::open(&folder.join("blobs"), 1 << 20).unwrap();
        blobs.put(&model).unwrap();
        let hidden = blobs.put(b"an update that is only committed to").unwrap();
        let (heights, _) = watch::channel(Height(0));
        Self { store, blobs, genesis, hidden, heights, submitted: Mutex::default() }
    }
}

#[async_trait]
impl Backend for StandIn {
    fn store(&self) -> &LedgerStore {
        &self.store
    }
    fn blobs(&self) -> &BlobStore {
        &self.blobs
    }
    fn genesis(&self) -> &Genesis {
        &self.genesis
    }
    fn member_id(&self) -> Option<&MemberId> {
        Some(&self.genesis.members[0].id)
    }
    fn status(&self) -> NodeStatus {
        let head = self.store.log_head().unwrap();
        NodeStatus {
            chain_id: self.genesis.chain_id.clone(),
            member: self.member_id().cloned(),
            height: Height(0),
            tip_time: self.genesis.time,
            block_id: None,
            state_root: self.store.app_hash(Height(0)).unwrap(),
            log_size: head.size(),
            log_root: head.root(),
            peers: Vec::new(),
            validators: 4,
            byzantine_tolerated: 1,
            guarantee: "none: a test".into(),
            syncing: false,
            signing: true,
            evaluation: EvaluationStatus::default(),
        }
    }
    fn is_ready(&self) -> bool {
        false
    }
    fn is_published(&self, digest: &Digest) -> bool {
        *digest != self.hidden
    }
    fn subscribe(&self) -> watch::Receiver<Height> {
        self.heights.subscribe()
    }
    async fn transaction_status(&self, _: &Digest) -> TransactionStatus {
        TransactionStatus::Unknown
    }
    async fn submit_action(&self, _: Action) -> Result<Digest, SubmitError> {
        Ok(Digest::of(b"action"))
    }
    async fn submit_signed(&self, transaction: Transaction) -> Result<Digest, SubmitError> {
        Ok(transaction.digest())
    }
    async fn submit_update(&self, update: SubmitUpdate) -> Result<SubmittedUpdate, SubmitError> {
        if update.task.as_str() != "heart" {
            return Err(SubmitError::UnknownTask { task: update.task });
        }
        self.submitted.lock().unwrap().push(update);
        Ok(SubmittedUpdate {
            transaction: Digest::of(b"t"),
            update: Digest::of(b"u"),
            commitment: Digest::of(b"c"),
            round: RoundNumber(1),
        })
    }
    async fn submit_evaluation(
        &self,
        task: TaskId,
        round: RoundNumber,
        _: Vec<CandidateScore>,
    ) -> Result<Digest, SubmitError> {
        match (task.as_str(), round) {
            ("heart", RoundNumber(1)) => Ok(Digest::of(b"evaluation")),
            ("heart", _) => {
                let rejection = Rejection::WrongRound { expected: RoundNumber(1) };
                Err(SubmitError::Refused { rejection })
            }
            _ => Err(SubmitError::UnknownTask { task }),
        }
    }
}

/// A served stand-in, and a client of it.
struct Served {
    node: Arc<StandIn>,
    client: Client,
    address: SocketAddr,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
    _server: ApiServer,
}

fn served() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let mut config = Config::default();
    config.http.address = SocketAddr::from(([127, 0, 0, 1], 0));
    config.http.allowed_hosts = vec!["node.example.org".into()];
    config.limits.http_upload_bytes = 4096;
    std::fs::create_dir_all(home.data_dir(&config)).unwrap();
    let node = Arc::new(StandIn::new(&home.data_dir(&config)));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(serve(Arc::clone(&node), &home, &config)).unwrap();
    let written = std::fs::read_to_string(home.address_file(&config)).unwrap();
    assert_eq!(written.trim(), server.address.to_string());
    let client = Client::of_address(server.address, Some(home.token_file(&config)));
    let address = server.address;
    Served { node, client, address, _folder: folder, _runtime: runtime, _server: server }
}

/// Sends a request as it is written and returns status and body.
fn raw(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    (status, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.into()))
}

fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    raw(address, &format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"))
}

#[test]
fn only_requests_that_name_this_node_are_served() {
    let served = served();
    for host in ["localhost", "127.0.0.1:1", "[::1]:80", "node.example.org:8480", "LOCALHOST"] {
        let headers = format!("Host: {host}\r\n");
        assert_eq!(get(served.address, "/healthz", &headers).0, 200, "{host}");
    }
    for host in ["evil.example.org", "localhost.evil.org", "127.0.0.2", ""] {
        let (status, body) = get(served.address, "/v1/status", &format!("Host: {host}\r\n"));
        assert_eq!(status, 421, "{host}");
        assert!(body.contains("host_not_allowed"), "{body}");
    }
    let two = "Host: localhost\r\nHost: evil.example.org\r\n";
    assert_ne!(get(served.address, "/v1/status", two).0, 200);
}

#[test]
fn what_signs_needs_the_token() {
    let served = served();
    let post = |authorization: &str| {
        let digest = Digest::of(b"c");
        let request = format!(
            "POST /v1/changes/{digest}/approve HTTP/1.1\r\nHost: localhost\r\n{authorization}\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        raw(served.address, &request)
    };
    for wrong in ["", "Authorization: Bearer 00\r\n", "Authorization: Basic YTpi\r\n"] {
        let (status, body) = post(wrong);
        assert_eq!(status, 401, "{wrong}");
        assert!(body.contains("token_required"), "{body}");
    }
    let path = format!("/v1/changes/{}/approve", Digest::of(b"c"));
    let submitted: Submitted = served.client.post(&path, &()).unwrap();
    assert_eq!(submitted.change, Some(Digest::of(b"c")));
    let without = Client::of_address(served.address, None);
    let error = without.post::<Submitted>(&path, &()).unwrap_err();
    assert!(matches!(error, ClientError::Refused { status: 401, .. }), "{error}");
}

#[test]
fn the_ledger_is_served_with_proofs_that_verify() {
    let served = served();
    let status: NodeStatus = served.client.get("/v1/status").unwrap();
    let page: EntriesPage = served.client.get("/v1/entries?limit=1").unwrap();
    assert_eq!((page.entries.len(), page.next, page.tree_size), (1, Some(1), status.log_size));
    for index in 0..status.log_size {
        let proved: ProvedEntry = served.client.get(&format!("/v1/entries/{index}")).unwrap();
        assert_eq!(proved.root_hash, status.log_root);
        let bytes = hex::decode(&proved.bytes).unwrap();
        assert_eq!(Entry::from_bytes(&bytes).unwrap(), proved.entry);
        let proof: Vec<Digest> =
            proved.inclusion_proof.iter().map(|hash| hash.parse().unwrap()).collect();
        let leaf = fedledger_ledger::log::leaf_hash(&bytes);
        verify_inclusion(&leaf, index, proved.tree_size, &status.log_root, &proof).unwrap();
    }
    let key = hex::encode("chain/head");
    let state: StateView = served.client.get(&format!("/v1/state/{key}")).unwrap();
    let (value, proof) =
        (hex::decode(state.value.unwrap()).unwrap(), hex::decode(&state.proof).unwrap());
    let root = status.state_root;
    fedledger_ledger::state::verify_membership(&root, b"chain/head", &value, &proof).unwrap();
    let absent: StateView = served.client.get("/v1/state/00").unwrap();
    let proof = hex::decode(&absent.proof).unwrap();
    fedledger_ledger::state::verify_absence(&root, &[0], &proof).unwrap();
}

#[test]
fn tasks_rounds_and_members_are_told() {
    let served = served();
    let members: Vec<MemberView> = served.client.get("/v1/members").unwrap();
    assert_eq!(members.len(), 4);
    assert_eq!(members[0].trust.len(), 1);
    let tasks: Vec<TaskView> = served.client.get("/v1/tasks").unwrap();
    assert_eq!((tasks.len(), tasks[0].status.as_str()), (1, "running"));
    assert_eq!(tasks[0].parameters, 3);
    let round: RoundView = served.client.get("/v1/tasks/heart/rounds/1").unwrap();
    assert_eq!((round.phase.as_str(), round.base_model), ("commit", tasks[0].model));
    let rounds: Vec<RoundView> = served.client.get("/v1/tasks/heart/rounds").unwrap();
    assert_eq!(rounds, [round]);
    for (path, code) in [
        ("/v1/tasks/liver", "unknown_task"),
        ("/v1/tasks/liver/rounds", "unknown_task"),
        ("/v1/tasks/heart/rounds/2", "unknown_round"),
        ("/v1/tasks/heart/rounds/x", "bad_parameter"),
        ("/v1/tasks/No/rounds", "bad_parameter"),
        ("/v1/entries/999", "unknown_entry"),
        ("/v1/blocks/1", "unknown_height"),
        ("/v1/state/zz", "bad_parameter"),
        ("/v1/transactions/00", "bad_parameter"),
        ("/v2/status", "no_such_route"),
    ] {
        match served.client.get::<Value>(path) {
            Err(ClientError::Refused { body, .. }) => assert_eq!(body.code, code, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn blobs_are_served_when_published_and_models_as_tensors() {
    let served = served();
    let model = served.node.genesis.tasks[0].initial_model;
    let whole = served.client.get_bytes(&format!("/v1/blobs/{model}"), 1 << 20).unwrap().unwrap();
    assert_eq!(Digest::of(&whole), model);
    let hidden = served.node.hidden;
    assert_eq!(served.client.get_bytes(&format!("/v1/blobs/{hidden}"), 1 << 20).unwrap(), None);
    assert_eq!(served.client.get_bytes(&format!("/v1/models/{hidden}"), 1 << 20).unwrap(), None);
    let range = "Host: localhost\r\nRange: bytes=0-4\r\n";
    let (status, body) = get(served.address, &format!("/v1/blobs/{model}"), range);
    assert_eq!((status, body.as_bytes()), (206, &whole[..5]));
    let beyond = "Host: localhost\r\nRange: bytes=100000-\r\n";
    assert_eq!(get(served.address, &format!("/v1/blobs/{model}"), beyond).0, 416);

    for (query, format) in [
        ("", crate::files::Format::Safetensors),
        ("?format=safetensors", crate::files::Format::Safetensors),
        ("?format=npz", crate::files::Format::Npz),
    ] {
        let file = served.client.get_bytes(&format!("/v1/models/{model}{query}"), 1 << 20);
        let file = file.unwrap().unwrap();
        let tensors =
            crate::files::parse_tensors(format, std::path::Path::new("m"), &file).unwrap();
        assert_eq!((tensors[0].name.as_str(), tensors[0].shape.as_slice()), ("w", &[3][..]));
    }
}

fn upload(served: &Served, path: &str, kind: &str, body: &[u8]) -> Result<Digest, (u16, String)> {
    let sent: Result<SubmittedUpdate, _> =
        served.client.post_bytes(path, kind, body, body.len() as u64);
    match sent {
        Ok(submitted) => Ok(submitted.transaction),
        Err(ClientError::Refused { status, body }) => Err((status, body.code)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn updates_are_taken_to_the_limit_and_refused_by_name() {
    let served = served();
    let tensor = |elements: usize| {
        crate::files::to_safetensors(&[crate::files::NamedTensor {
            name: "w".into(),
            shape: vec![elements as u64],
            values: crate::files::FloatBits::F32(vec![0; elements]),
        }])
    };
    let kind = crate::files::Format::Safetensors.content_type();
    let open = "/v1/tasks/heart/rounds/open/update?num_examples=5";
    assert!(upload(&served, open, kind, &tensor(3)).is_ok());
    let update = served.node.submitted.lock().unwrap().pop().unwrap();
    assert_eq!((update.round, update.num_examples, update.claims), (None, 5, None));
    let claims = "/v1/tasks/heart/rounds/1/update?num_examples=5&epsilon_milli=1000";
    for (path, kind, body, expected) in [
        (open, "text/html", tensor(3), (415, "content_type")),
        (open, kind, b"not a file".to_vec(), (422, "bad_update")),
        (open, kind, tensor(2000), (413, "too_long")),
        (claims, kind, tensor(3), (400, "bad_parameter")),
        ("/v1/tasks/heart/rounds/1/update", kind, tensor(3), (400, "bad_parameter")),
        ("/v1/tasks/liver/rounds/1/update?num_examples=1", kind, tensor(3), (404, "unknown_task")),
    ] {
        let (status, code) = upload(&served, path, kind, &body).expect_err(path);
        assert_eq!((status, code.as_str()), expected, "{path}");
    }
}

#[test]
fn scores_are_handed_to_the_node_for_the_round_that_they_name() {
    let served = served();
    let classes = vec![ClassLoss { loss_micro: 9, num_examples: 2 }];
    let candidate = Digest::of(b"m");
    let score = CandidateScore { candidate, loss_micro: 7, num_examples: 2, classes };
    let classes = &serde_json::to_value(&score).expect("a score is JSON")["classes"];
    assert_eq!(*classes, serde_json::json!([{ "loss_micro": 9, "num_examples": 2 }]));
    let body = EvaluationBody { scores: vec![score] };
    let post = |path: &str| served.client.post::<Submitted>(path, &body);
    let submitted = post("/v1/tasks/heart/rounds/1/evaluation").unwrap();
    assert_eq!(submitted.transaction, Digest::of(b"evaluation"));
    for (path, expected) in [
        ("/v1/tasks/heart/rounds/2/evaluation", (409, "refused")),
        ("/v1/tasks/liver/rounds/1/evaluation", (404, "unknown_task")),
        ("/v1/tasks/heart/rounds/open/evaluation", (400, "bad_parameter")),
    ] {
        match post(path) {
            Err(ClientError::Refused { status, body }) => {
                assert_eq!((status, body.code.as_str()), expected, "{path}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn the_api_describes_itself_and_its_health() {
    let served = served();
    let document: Value = served.client.get("/v1/openapi.json").unwrap();
    let paths = document["paths"].as_object().unwrap();
    for path in ["/v1/status", "/v1/tasks/{task}/rounds/{round}/update", "/v1/events"] {
        assert!(paths.contains_key(path), "{path} is not described");
    }
    let host = "Host: localhost\r\n";
    assert_eq!(get(served.address, "/readyz", host).0, 503);
    let (status, metrics) = get(served.address, "/metrics", host);
    assert_eq!(status, 200);
    assert!(metrics.contains("fedledger_log_entries") && metrics.ends_with("# EOF\n"), "{metrics}");
}

#[test]
fn events_begin_where_the_reader_stopped() {
    let served = served();
    let mut stream = TcpStream::connect(served.address).unwrap();
    let request = "GET /v1/events?from=7 HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = std::io::BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("id: ") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut reader, &mut line).unwrap(), 0);
    }
    assert_eq!(line.trim(), "id: 1");
}
