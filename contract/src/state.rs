//! Typed reading and writing of the state.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use fedledger_ledger::codec::to_canonical;
use fedledger_ledger::ids::{Digest, MemberId, Nonce, RoundNumber, TaskId};
use fedledger_ledger::log::{Frontier, LogHead, LOG_HEAD_KEY};
use fedledger_ledger::state::{StateRead, Writes};
use fedledger_ledger::task::TaskSpec;
use minicbor::{Decode, Encode};

use crate::history::{MemberHistory, Past};
use crate::records::{
    ChainHead, CommitmentRecord, EvaluationRecord, MemberRecord, PastRound, ReplayPlan,
    RoundRecord, TaskProgress, TrustRecord,
};
use crate::state_key;

/// The state with writes on top that are not applied yet, read and written by type.
pub struct StateView<'a> {
    base: &'a dyn StateRead,
    writes: Writes,
    decoded: RefCell<Decoded>,
}

/// Records that are asked for again and again in one block and seldom change, as they were decoded.
/// Writing one of them forgets it.
#[derive(Default)]
struct Decoded {
    member_ids: Option<Rc<Vec<MemberId>>>,
    members: BTreeMap<MemberId, Option<Rc<MemberRecord>>>,
    specs: BTreeMap<TaskId, Option<Rc<TaskSpec>>>,
}

impl Decoded {
    fn forget(&mut self, key: &str) {
        if key == state_key::MEMBERS {
            self.member_ids = None;
        } else if key.starts_with("member/") {
            self.members.clear();
        } else if key.starts_with("task/") && key.ends_with("/spec") {
            self.specs.clear();
        }
    }
}

impl<'a> StateView<'a> {
    /// A view without writes.
    pub fn new(base: &'a dyn StateRead) -> Self {
        Self { base, writes: Writes::new(), decoded: RefCell::default() }
    }

    /// What was written through this view.
    pub fn into_writes(self) -> Writes {
        self.writes
    }

    /// The record under `key`, if there is one.
    ///
    /// # Panics
    /// When the value is not of the type that the contract writes under this key: the state is not
    /// one that the contract made.
    pub fn get<T: for<'b> Decode<'b, ()>>(&self, key: &str) -> Option<T> {
        let bytes = match self.writes.get(key.as_bytes()) {
            Some(written) => written.clone(),
            None => self.base.get(key.as_bytes()),
        }?;
        match minicbor::decode(&bytes) {
            Ok(value) => Some(value),
            Err(error) => panic!("the state holds another type under `{key}`: {error}"),
        }
    }

    pub(crate) fn put<T: Encode<()>>(&mut self, key: &str, value: &T) {
        self.decoded.get_mut().forget(key);
        self.writes.insert(key.as_bytes().to_vec(), Some(to_canonical(value)));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.decoded.get_mut().forget(key);
        self.writes.insert(key.as_bytes().to_vec(), None);
    }

    /// Where the chain stands; nothing before genesis.
    pub fn chain_head(&self) -> Option<ChainHead> {
        self.get(state_key::CHAIN_HEAD)
    }

    /// The right edge of the log.
    ///
    /// # Panics
    /// When the state holds something else under its key.
    pub fn log_frontier(&self) -> Frontier {
        let written = self.writes.get(LOG_HEAD_KEY).cloned();
        written.unwrap_or_else(|| self.base.get(LOG_HEAD_KEY)).map_or_else(
            Frontier::default,
            |bytes| {
                let head = LogHead::from_bytes(&bytes).expect("the contract wrote the log's head");
                head.frontier().clone()
            },
        )
    }

    pub(crate) fn put_log_frontier(&mut self, frontier: &Frontier) {
        self.writes.insert(LOG_HEAD_KEY.to_vec(), Some(frontier.head().to_bytes()));
    }

    /// A list of ids or digests; empty when it was never written.
    pub(crate) fn list<T: for<'b> Decode<'b, ()>>(&self, key: &str) -> Vec<T> {
        self.get(key).unwrap_or_default()
    }

    /// Adds to a sorted list.
    pub(crate) fn list_insert<T>(&mut self, key: &str, item: T)
    where
        T: Ord + Encode<()> + for<'b> Decode<'b, ()>,
    {
        let mut list = self.list::<T>(key);
        if let Err(at) = list.binary_search(&item) {
            list.insert(at, item);
            self.put(key, &list);
        }
    }

    /// Takes out of a list.
    pub(crate) fn list_remove<T>(&mut self, key: &str, item: &T)
    where
        T: Ord + Encode<()> + for<'b> Decode<'b, ()>,
    {
        let mut list = self.list::<T>(key);
        list.retain(|other| other != item);
        self.put(key, &list);
    }

    /// A counter; 0 when it was never written.
    pub fn counter(&self, key: &str) -> u64 {
        self.get(key).unwrap_or(0)
    }

    /// Adds one to a counter and returns it.
    pub(crate) fn count_up(&mut self, key: &str) -> u64 {
        let next = self.counter(key) + 1;
        self.put(key, &next);
        next
    }

    /// A member.
    pub fn member(&self, id: &MemberId) -> Option<MemberRecord> {
        self.get(&state_key::member(id))
    }

    /// Every member ever admitted, by id.
    pub fn members(&self) -> Vec<MemberRecord> {
        self.members_shared().iter().map(|member| (**member).clone()).collect()
    }

    /// The members that take part, by id.
    pub fn active_members(&self) -> Vec<MemberRecord> {
        let members = self.members_shared();
        members.iter().filter(|one| one.is_active()).map(|member| (**member).clone()).collect()
    }

    /// The ids of every member ever admitted, in order.
    pub(crate) fn member_ids(&self) -> Rc<Vec<MemberId>> {
        let known = self.decoded.borrow().member_ids.clone();
        known.unwrap_or_else(|| {
            let ids = Rc::new(self.list(state_key::MEMBERS));
            self.decoded.borrow_mut().member_ids = Some(Rc::clone(&ids));
            ids
        })
    }

    /// As [`StateView::member`], decoded once.
    pub(crate) fn member_shared(&self, id: &MemberId) -> Option<Rc<MemberRecord>> {
        if let Some(known) = self.decoded.borrow().members.get(id) {
            return known.clone();
        }
        let member = self.member(id).map(Rc::new);
        self.decoded.borrow_mut().members.insert(id.clone(), member.clone());
        member
    }

    /// As [`StateView::members`], each decoded once.
    pub(crate) fn members_shared(&self) -> Vec<Rc<MemberRecord>> {
        let ids = self.member_ids();
        let record = |id| self.member_shared(id).expect("a listed member has a record");
        ids.iter().map(record).collect()
    }

    /// As [`StateView::task_spec`], decoded once: a task can list a thousand tensors.
    pub(crate) fn task_spec_shared(&self, task: &TaskId) -> Option<Rc<TaskSpec>> {
        if let Some(known) = self.decoded.borrow().specs.get(task) {
            return known.clone();
        }
        let spec = self.task_spec(task).map(Rc::new);
        self.decoded.borrow_mut().specs.insert(task.clone(), spec.clone());
        spec
    }

    /// The last nonce that a member used; 0 before its first transaction.
    pub fn nonce(&self, member: &MemberId) -> Nonce {
        self.get(&state_key::nonce(member)).unwrap_or_default()
    }

    /// Every task ever created, by id.
    pub fn tasks(&self) -> Vec<TaskId> {
        self.list(state_key::TASKS)
    }

    /// The tasks that are running, by id.
    pub fn tasks_running(&self) -> Vec<TaskId> {
        self.list(state_key::TASKS_RUNNING)
    }

    /// A task as it was created.
    pub fn task_spec(&self, task: &TaskId) -> Option<TaskSpec> {
        self.get(&state_key::task_spec(task))
    }

    /// How far a task has come.
    pub fn task_progress(&self, task: &TaskId) -> Option<TaskProgress> {
        self.get(&state_key::task_progress(task))
    }

    /// The open round of a running task.
    pub fn round(&self, task: &TaskId) -> Option<RoundRecord> {
        self.get(&state_key::round(task))
    }

    /// What the decision of an earlier round rested on, while it is kept.
    pub fn past_round(&self, task: &TaskId, round: RoundNumber) -> Option<PastRound> {
        self.get(&state_key::past_round(task, round))
    }

    /// The rounds that are still to be replayed.
    pub fn replay_plan(&self, task: &TaskId) -> Option<ReplayPlan> {
        self.get(&state_key::replay_plan(task))
    }

    /// A member's commitment in the open round.
    pub fn commitment(&self, task: &TaskId, member: &MemberId) -> Option<CommitmentRecord> {
        self.get(&state_key::commitment(task, member))
    }

    /// All commitments of the open round, by member id.
    pub fn commitments(&self, task: &TaskId) -> Vec<(MemberId, CommitmentRecord)> {
        let ids = self.member_ids();
        let committed = |id: &MemberId| Some((id.clone(), self.commitment(task, id)?));
        ids.iter().filter_map(committed).collect()
    }

    /// A member's evaluation in the open round.
    pub fn evaluation(&self, task: &TaskId, member: &MemberId) -> Option<EvaluationRecord> {
        self.get(&state_key::evaluation(task, member))
    }

    /// A member's trust in a task.
    pub fn trust(&self, task: &TaskId, member: &MemberId) -> TrustRecord {
        self.get(&state_key::trust(task, member)).unwrap_or_default()
    }

    /// The round in which a member last announced a change of its data.
    pub fn notice(&self, task: &TaskId, member: &MemberId) -> Option<RoundNumber> {
        self.get(&state_key::notice(task, member))
    }

    /// What a task remembers of a member.
    pub fn history(&self, task: &TaskId, member: &MemberId) -> Option<MemberHistory> {
        self.get(&state_key::history(task, member))
    }

    /// What a task remembers of its members; nothing when it keeps no history.
    pub fn past(&self, spec: &TaskSpec) -> Option<Past> {
        let harm = spec.evaluation.as_ref().and_then(|evaluation| evaluation.harm);
        let mut past = Past::new(spec.history?, spec.initial_model).with_harm(harm);
        let ids: Vec<MemberId> = self.list(state_key::MEMBERS);
        let known =
            ids.into_iter().filter_map(|id| Some((id.clone(), self.history(&spec.id, &id)?)));
        past.members = known.collect();
        Some(past)
    }

    /// Digests of the changes that wait for approval.
    pub fn changes(&self) -> Vec<Digest> {
        self.list(state_key::CHANGES)
    }
}
