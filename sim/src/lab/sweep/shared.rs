//! Runs that several combinations of a sweep are measured against, each played once.
//!
//! The runs without the attackers do not depend on the attack or its schedule, and plain averaging does
//! not depend on the contract. What one leads to follows from the members' data, who is hostile, how they
//! attack where they are there, and the task; so that is what it is kept under. Only the success of a
//! targeted attack is another for each attack: it is measured on the kept model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedledger_ledger::ids::Digest;
use fedledger_ledger::task::TaskSpec;
use serde::Serialize;

use crate::lab::acceptance::Acceptance;
use crate::lab::build::{consortium, fingerprint, with_parts, Built};
use crate::lab::contract::ContractChoice;
use crate::lab::file::{AttackerGroup, ChangeGroup, ScenarioFile, Source};
use crate::lab::results::{Bracket, RunResult, SeedResult};
use crate::lab::run::{seed_result, task_of, without_attackers, Cancel, Ended, RunError};
use crate::lab::sweep::Axes;
use crate::scenario::Scenario;

/// A consortium before anybody has a part.
struct Consortium {
    scenario: Scenario,
    fingerprint: Digest,
}

/// What has been read and played so far.
#[derive(Default)]
pub(super) struct Shared {
    consortia: Mutex<BTreeMap<(Digest, u64), Arc<Consortium>>>,
    ended: Mutex<BTreeMap<Digest, Arc<Ended>>>,
}

/// What a run follows from, beside the consortium.
#[derive(Serialize)]
struct Decisive<'a> {
    consortium: Digest,
    changes: &'a [ChangeGroup],
    seed: u64,
    hostile: &'a [usize],
    attackers: Option<&'a [AttackerGroup]>,
    task: &'a TaskSpec,
}

impl Shared {
    /// All runs of one seed, each measured at its end alone: it ends like that of
    /// [`crate::lab::run_seeds`], bit for bit.
    pub(super) fn seed(
        &self,
        source: &Source,
        seed: u64,
        cancel: &Cancel,
    ) -> Result<SeedResult, RunError> {
        let consortium = self.consortium(source, seed)?;
        let built = with_parts(source, consortium.scenario.clone())?;
        let end = |bracket| self.end(source, &built, bracket, cancel);
        let attacked = end(Bracket::Attacked)?;
        let runs = if built.scenario.hostile.is_empty() {
            let plain = end(Bracket::Plain)?;
            [attacked.clone(), attacked, plain.clone(), plain]
        } else {
            [attacked, end(Bracket::Absent)?, end(Bracket::Plain)?, end(Bracket::PlainAbsent)?]
        };
        Ok(seed_result(&built, runs, &|_| {}))
    }

    /// SHA-256 of the members' data for one seed.
    pub(super) fn fingerprint(&self, source: &Source, seed: u64) -> Result<Digest, RunError> {
        Ok(self.consortium(source, seed)?.fingerprint)
    }

    fn consortium(&self, source: &Source, seed: u64) -> Result<Arc<Consortium>, RunError> {
        let key = (consortium_key(&source.scenario), seed);
        let kept = locked(&self.consortia).get(&key).cloned();
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let scenario = consortium(source, seed)?;
        let fingerprint = fingerprint(&scenario);
        let made = Arc::new(Consortium { scenario, fingerprint });
        locked(&self.consortia).insert(key, Arc::clone(&made));
        Ok(made)
    }

    fn end(
        &self,
        source: &Source,
        built: &Built,
        bracket: Bracket,
        cancel: &Cancel,
    ) -> Result<RunResult, RunError> {
        let absent = without_attackers(built, bracket);
        let task = task_of(source, built, absent.as_ref(), bracket)?;
        let file = &source.scenario;
        let decisive = Decisive {
            consortium: consortium_key(file),
            changes: &file.changes,
            seed: built.scenario.seed,
            hostile: &built.scenario.hostile,
            attackers: absent.is_none().then_some(&file.attackers),
            task: &task,
        };
        let key = Digest::of(&serde_json::to_vec(&decisive).expect("settings have text keys"));
        let of = absent.as_ref().unwrap_or(built);
        let kept = locked(&self.ended).get(&key).cloned();
        let ended = match kept {
            Some(kept) => kept,
            None => {
                let played = Arc::new(Ended::play(of, task, cancel)?);
                locked(&self.ended).insert(key, Arc::clone(&played));
                played
            }
        };
        Ok(if absent.is_some() { ended.measured_by(of) } else { ended.run.clone() })
    }
}

/// A value that is whole whoever gave up while holding it: every write is a single insertion.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SHA-256 of what decides about data, model and training of a consortium.
fn consortium_key(file: &ScenarioFile) -> Digest {
    let decisive = ScenarioFile {
        title: String::new(),
        description: String::new(),
        seeds: Vec::new(),
        changes: Vec::new(),
        attackers: Vec::new(),
        contract: ContractChoice::default(),
        acceptance: Acceptance::default(),
        sweep: Axes::default(),
        ..file.clone()
    };
    Digest::of(&serde_json::to_vec(&decisive).expect("a scenario has text keys only"))
}
