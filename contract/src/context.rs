//! What the steps of one block share: the state with its writes, and the entries so far.

use fedledger_ledger::entry::{Entry, EntryBody};
use fedledger_ledger::ids::{ChainId, Height, TimeMs};
use fedledger_ledger::limits::ENTRY_BYTES_MAX;
use fedledger_ledger::log::{leaf_hash, Frontier};
use fedledger_ledger::state::{StateRead, Writes};

use crate::state::StateView;

/// One block in the making.
pub(crate) struct Context<'a> {
    pub state: StateView<'a>,
    pub height: Height,
    pub time: TimeMs,
    chain_id: ChainId,
    entries: Vec<Entry>,
    frontier: Frontier,
}

impl<'a> Context<'a> {
    pub fn new(base: &'a dyn StateRead, chain_id: ChainId, height: Height, time: TimeMs) -> Self {
        let state = StateView::new(base);
        let frontier = state.log_frontier();
        Self { state, height, time, chain_id, entries: Vec::new(), frontier }
    }

    /// The position in the log of the entry that is recorded next.
    pub fn next_log_index(&self) -> u64 {
        self.frontier.size()
    }

    /// Appends an entry and returns its position in the log.
    pub fn record(&mut self, body: EntryBody) -> u64 {
        let entry = Entry {
            version: Entry::VERSION,
            chain_id: self.chain_id.clone(),
            height: self.height,
            index: self.entries.len() as u32,
            time: self.time,
            body,
        };
        let bytes = entry.to_bytes();
        assert!(bytes.len() <= ENTRY_BYTES_MAX, "the limits of what goes into an entry add up");
        let log_index = self.frontier.size();
        self.frontier.push(leaf_hash(&bytes));
        self.entries.push(entry);
        log_index
    }

    /// Writes the log's head and hands out the writes and entries.
    pub fn finish(mut self) -> (Writes, Vec<Entry>) {
        self.state.put_log_frontier(&self.frontier);
        (self.state.into_writes(), self.entries)
    }
}
