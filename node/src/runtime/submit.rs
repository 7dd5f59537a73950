//! What this node says on the ledger, for its member.

use fedledger_contract::canonical::{NamedTensor, Schema};
use fedledger_contract::records::TaskStatus;
use fedledger_contract::state::StateView;
use fedledger_ledger::commitment::{Salt, UpdateOpening};
use fedledger_ledger::entry::Phase;
use fedledger_ledger::ids::{Digest, RoundNumber};
use fedledger_ledger::limits::{NUM_EXAMPLES_MAX, TRANSACTION_BYTES_MAX};
use fedledger_ledger::transaction::{Action, Transaction, TransactionBody};

use super::{Node, Signing};
use crate::api::types::{SubmitError, SubmitUpdate, SubmittedUpdate, TransactionStatus};

impl Node {
    pub(super) fn signing(&self) -> Result<&Signing, SubmitError> {
        self.member.as_ref().ok_or(SubmitError::NotAMember)
    }

    /// Signs an action, makes it durable, and hands it to the mempool and to the other members.
    /// Returns the transaction's digest.
    ///
    /// # Errors
    /// When the node cannot speak for a member, the action is too long, or too many wait already.
    pub async fn submit_action(&self, action: Action) -> Result<Digest, SubmitError> {
        let signing = self.signing()?;
        let outbox = signing.outbox.lock().await;
        self.sign_and_send(signing, &outbox, action).await
    }

    pub(super) async fn sign_and_send(
        &self,
        signing: &Signing,
        outbox: &super::Outbox,
        action: Action,
    ) -> Result<Digest, SubmitError> {
        let body = TransactionBody {
            chain_id: self.genesis().chain_id.clone(),
            member: signing.id.clone(),
            nonce: self.chain.next_nonce(&signing.id),
            action,
        };
        let transaction = Transaction::sign(body, &signing.key);
        let bytes = transaction.to_bytes();
        if bytes.len() > TRANSACTION_BYTES_MAX {
            let (found, max) = (bytes.len(), TRANSACTION_BYTES_MAX);
            return Err(SubmitError::TooLong { found, max });
        }
        let waiting = self.chain.waiting_of(&signing.id);
        if waiting >= fedledger_consensus::chain::MEMBER_TRANSACTIONS_MAX {
            return Err(SubmitError::Busy { pending: waiting });
        }
        outbox.put(&transaction).map_err(|error| {
            self.fail(&error);
            SubmitError::Storage { reason: error.to_string() }
        })?;
        let digest = transaction.digest();
        if let Err(error) = self.chain.submit(transaction) {
            // Its own key was rotated away, say: it can never stand in a block.
            return Err(SubmitError::NotReady { reason: error.to_string() });
        }
        if let Err(error) = self.network.publish_transaction(bytes).await {
            tracing::debug!(%error, "a transaction waits for members to connect");
        }
        Ok(digest)
    }

    /// Takes a transaction that was signed elsewhere into the mempool and hands it on.
    ///
    /// # Errors
    /// When it cannot stand in any block or there is no room for it.
    pub async fn submit_signed(&self, transaction: Transaction) -> Result<Digest, SubmitError> {
        let (digest, bytes) = (transaction.digest(), transaction.to_bytes());
        self.chain
            .submit(transaction)
            .map_err(|error| SubmitError::NotTaken { reason: error.to_string() })?;
        // If it is a reveal, it says which blob to fetch.
        self.work.notify_one();
        if let Err(error) = self.network.publish_transaction(bytes).await {
            tracing::debug!(%error, "a transaction waits for members to connect");
        }
        Ok(digest)
    }

    /// Takes an update from the member's trainer: quantises it, keeps it, holds it back from
    /// everyone, and commits to it on the ledger under a random salt. Handing in the very same
    /// update again gives the same answer and signs nothing.
    ///
    /// # Errors
    /// When the update is not one of this task and round, or the member has committed to another.
    pub async fn submit_update(
        &self,
        submit: SubmitUpdate,
    ) -> Result<SubmittedUpdate, SubmitError> {
        let signing = self.signing()?;
        // From here to the end nobody else can commit for this member.
        let outbox = signing.outbox.lock().await;
        let open = self.open_round(&submit)?;
        let max = NUM_EXAMPLES_MAX;
        if submit.num_examples == 0 || submit.num_examples > max {
            return Err(SubmitError::NumExamples { found: submit.num_examples, max });
        }
        let bytes = canonical_bytes(&open.schema, &submit.tensors)?;
        let update = Digest::of(&bytes);
        let round = open.round;
        if let Some((transaction, committed)) = self.own_commitment(signing, &submit.task, round) {
            let opening = self.held_back.opening(&committed);
            if opening.is_some_and(|opening| opening.update == update) {
                return Ok(SubmittedUpdate { transaction, update, commitment: committed, round });
            }
            return Err(SubmitError::AlreadyCommitted { round, committed });
        }
        let storage = |error: String| {
            self.fail(&error);
            SubmitError::Storage { reason: error }
        };
        // Held back before it is there, so that nobody can see it in between.
        let opening = UpdateOpening {
            chain_id: self.genesis().chain_id.clone(),
            task: submit.task.clone(),
            round,
            member: signing.id.clone(),
            update,
            salt: Salt([0; 32]),
        };
        let commitment =
            self.held_back.add(&opening).map_err(|error| storage(error.to_string()))?;
        self.blobs().put(&bytes).map_err(|error| storage(error.to_string()))?;
        let action = Action::CommitUpdate {
            task: submit.task,
            round,
            base_model: open.base_model,
            commitment,
            num_examples: submit.num_examples,
            byte_length: bytes.len() as u64,
            claims: submit.claims,
            attestation: submit.attestation,
        };
        let transaction = self.sign_and_send(signing, &outbox, action).await?;
        Ok(SubmittedUpdate { transaction, update, commitment, round })
    }

    fn open_round(&self, submit: &SubmitUpdate) -> Result<OpenRound, SubmitError> {
        let task = || submit.task.clone();
        let view = StateView::new(self.store());
        let spec = view
            .task_spec(&submit.task)
            .ok_or_else(|| SubmitError::UnknownTask { task: task() })?;
        let progress = view.task_progress(&submit.task);
        let round = view.round(&submit.task);
        let (Some(progress), Some(record)) = (progress, round) else {
            return Err(SubmitError::TaskNotRunning { task: task() });
        };
        if progress.status != TaskStatus::Running {
            return Err(SubmitError::TaskNotRunning { task: task() });
        }
        if let Some(found) = submit.round.filter(|asked| *asked != record.round) {
            return Err(SubmitError::WrongRound { task: task(), found, expected: record.round });
        }
        if record.phase != Phase::Commit {
            let (round, phase) = (record.round, record.phase);
            return Err(SubmitError::WrongPhase { task: task(), round, phase });
        }
        let schema = Schema::of(&spec).expect("a task on the ledger has a valid schema");
        Ok(OpenRound { schema, round: record.round, base_model: record.base_model })
    }

    /// This member's commitment in a round, with its transaction: on the ledger, or signed and
    /// waiting.
    fn own_commitment(
        &self,
        signing: &Signing,
        task: &fedledger_ledger::ids::TaskId,
        round: RoundNumber,
    ) -> Option<(Digest, Digest)> {
        let on_ledger = StateView::new(self.store())
            .commitment(task, &signing.id)
            .filter(|record| record.round == round)
            .map(|record| (record.transaction, record.commitment));
        on_ledger.or_else(|| {
            self.chain.waiting().iter().find_map(|transaction| match &transaction.body.action {
                Action::CommitUpdate { task: its, round: of, commitment, .. }
                    if transaction.body.member == signing.id && its == task && *of == round =>
                {
                    Some((transaction.digest(), *commitment))
                }
                _ => None,
            })
        })
    }

    /// What has become of a transaction.
    pub fn transaction_status(&self, digest: &Digest) -> TransactionStatus {
        // Asked before the ledger is: a block in between takes it from here to there.
        let waiting = self.chain.is_waiting(digest);
        match self.store().transaction(digest) {
            Ok(Some(place)) => self.included(digest, place.height),
            Ok(None) if waiting => TransactionStatus::Pending,
            Ok(None) => TransactionStatus::Unknown,
            Err(error) => {
                self.fail(&error);
                TransactionStatus::Unknown
            }
        }
    }

    fn included(
        &self,
        digest: &Digest,
        height: fedledger_ledger::ids::Height,
    ) -> TransactionStatus {
        use fedledger_ledger::entry::{Entry, EntryBody};
        let store = self.store();
        let range = store
            .log_head_at(fedledger_ledger::ids::Height(height.0 - 1))
            .and_then(|before| Ok(before.size()..store.log_head_at(height)?.size()));
        let entries = range.and_then(|range| Ok((range.start, store.entries(range)?)));
        let (first, entries) = match entries {
            Ok(found) => found,
            Err(error) => {
                self.fail(&error);
                return TransactionStatus::Unknown;
            }
        };
        for (index, bytes) in (first..).zip(&entries) {
            let entry = Entry::from_bytes(bytes).expect("the store holds canonical entries");
            if let EntryBody::Transaction { transaction, receipt } = entry.body {
                if transaction.digest() == *digest {
                    return TransactionStatus::Included { height, index, receipt };
                }
            }
        }
        unreachable!("a block that holds a transaction records it");
    }
}

/// What an update has to fit.
struct OpenRound {
    schema: Schema,
    round: RoundNumber,
    base_model: Digest,
}

fn canonical_bytes(schema: &Schema, tensors: &[NamedTensor]) -> Result<Vec<u8>, SubmitError> {
    let values = schema.quantise(tensors).map_err(|error| SubmitError::BadUpdate {
        tensor: Some(error.tensor().to_owned()),
        reason: error.to_string(),
    })?;
    Ok(schema.encode(&values).expect("quantised values have the schema's length and range"))
}
