//! Changes by vote: proposed, approved, applied at the end of the block in which more than two
//! thirds of the active members have approved.

use fedledger_ledger::entry::{EntryBody, Rejection};
use fedledger_ledger::governance::{Change, KeyRole, MemberSpec};
use fedledger_ledger::ids::{quorum, Digest, MemberId};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::limits::{CHANGES_OPEN_PER_MEMBER_MAX, CHANGE_WINDOW_MS};

use crate::change_check::{check_change, ChangeFault};
use crate::context::Context;
use crate::records::{ChangeRecord, KeyRecord, KeyUse, MemberRecord, MemberStatus};
use crate::round::{release, roll_back, start_task};
use crate::state_key;

/// Puts a change to the vote, with the proposer's approval.
pub(crate) fn propose(
    context: &mut Context<'_>,
    member: &MemberId,
    change: &Change,
) -> Result<(), Rejection> {
    drop_expired(context);
    let digest = change.digest();
    if pending(context, &digest).is_some() {
        return Err(Rejection::AlreadyProposed);
    }
    let invalid = |fault: ChangeFault| Rejection::InvalidChange { detail: fault.to_string() };
    let open = context.state.changes();
    let own = open.iter().filter_map(|digest| pending(context, digest));
    if own.filter(|record| record.proposer == *member).count() >= CHANGES_OPEN_PER_MEMBER_MAX {
        return Err(invalid(ChangeFault::TooManyOpen { max: CHANGES_OPEN_PER_MEMBER_MAX }));
    }
    check_change(&context.state, change).map_err(invalid)?;
    let record = ChangeRecord {
        change: change.clone(),
        proposer: member.clone(),
        proposed: context.height,
        expires: context.time.after(CHANGE_WINDOW_MS),
        approvals: vec![member.clone()],
    };
    context.state.put(&state_key::change(&digest), &record);
    context.state.list_insert(state_key::CHANGES, digest);
    Ok(())
}

/// Adds a member's approval.
pub(crate) fn approve(
    context: &mut Context<'_>,
    member: &MemberId,
    digest: &Digest,
) -> Result<(), Rejection> {
    drop_expired(context);
    let mut record = pending(context, digest).ok_or(Rejection::UnknownChange)?;
    let Err(at) = record.approvals.binary_search(member) else {
        return Err(Rejection::AlreadyApproved);
    };
    record.approvals.insert(at, member.clone());
    context.state.put(&state_key::change(digest), &record);
    Ok(())
}

fn pending(context: &Context<'_>, digest: &Digest) -> Option<ChangeRecord> {
    context.state.get(&state_key::change(digest))
}

fn remove(context: &mut Context<'_>, digest: &Digest) {
    context.state.remove(&state_key::change(digest));
    context.state.list_remove(state_key::CHANGES, digest);
}

fn drop_expired(context: &mut Context<'_>) {
    for digest in context.state.changes() {
        if pending(context, &digest).is_some_and(|record| record.expires <= context.time) {
            remove(context, &digest);
            let detail = "it was not approved in time".to_owned();
            context.record(EntryBody::ChangeDropped { digest, detail });
        }
    }
}

/// Applies the changes that a quorum of the active members has approved, by digest. They are
/// checked again, because a change before them may have taken away what they rest on.
pub(crate) fn apply_approved(context: &mut Context<'_>) {
    for digest in context.state.changes() {
        let Some(record) = pending(context, &digest) else { continue };
        let active = context.state.active_members();
        let counts = |id: &&MemberId| active.iter().any(|member| member.spec.id == **id);
        if record.approvals.iter().filter(counts).count() < quorum(active.len()) {
            continue;
        }
        remove(context, &digest);
        match check_change(&context.state, &record.change) {
            Ok(()) => apply(context, record, digest),
            Err(fault) => {
                let detail = fault.to_string();
                context.record(EntryBody::ChangeDropped { digest, detail });
            }
        }
    }
}

fn apply(context: &mut Context<'_>, record: ChangeRecord, digest: Digest) {
    let ChangeRecord { change, approvals, .. } = record;
    context.record(EntryBody::ChangeApplied { change: change.clone(), digest, approvals });
    match &change {
        Change::AdmitMember { member } => admit(context, member),
        Change::SuspendMember { member, .. } => {
            set_status(context, member, MemberStatus::Suspended);
        }
        Change::ReinstateMember { member, .. } => {
            set_status(context, member, MemberStatus::Active);
        }
        Change::RotateKey { member, role, key } => rotate(context, member, *role, *key),
        Change::CreateTask { task } => start_task(context, task),
        Change::ReleaseQuarantine { task, member, .. } => release(context, task, member),
        Change::RollBack { task, round, without, replay, .. } => {
            roll_back(context, task, *round, without, *replay);
        }
    }
}

/// Adds a member to the state, with keys that count from the next height on.
pub(crate) fn admit(context: &mut Context<'_>, spec: &MemberSpec) {
    let keys = [
        (KeyRole::Member, spec.keys.member),
        (KeyRole::Validator, spec.keys.validator),
        (KeyRole::Network, spec.keys.network),
    ];
    let valid_from = context.height.next();
    let record = MemberRecord {
        spec: spec.clone(),
        status: MemberStatus::Active,
        admitted: context.height,
        keys: keys
            .iter()
            .map(|&(role, key)| KeyRecord { role, key, valid_from, valid_until: None })
            .collect(),
    };
    for (role, key) in keys {
        let key_use = KeyUse { member: spec.id.clone(), role };
        context.state.put(&state_key::public_key(&key), &key_use);
    }
    context.state.put(&state_key::member(&spec.id), &record);
    context.state.list_insert(state_key::MEMBERS, spec.id.clone());
}

fn member_record(context: &Context<'_>, member: &MemberId) -> MemberRecord {
    context.state.member(member).expect("the change was checked")
}

fn set_status(context: &mut Context<'_>, member: &MemberId, status: MemberStatus) {
    let record = MemberRecord { status, ..member_record(context, member) };
    context.state.put(&state_key::member(member), &record);
}

fn rotate(context: &mut Context<'_>, member: &MemberId, role: KeyRole, key: PublicKey) {
    let mut record = member_record(context, member);
    let (valid_until, valid_from) = (Some(context.height), context.height.next());
    let present = record.keys.iter_mut().filter(|old| old.role == role);
    present.filter(|old| old.valid_until.is_none()).for_each(|old| old.valid_until = valid_until);
    record.keys.push(KeyRecord { role, key, valid_from, valid_until: None });
    match role {
        KeyRole::Member => record.spec.keys.member = key,
        KeyRole::Validator => record.spec.keys.validator = key,
        KeyRole::Network => record.spec.keys.network = key,
    }
    context.state.put(&state_key::member(member), &record);
    context.state.put(&state_key::public_key(&key), &KeyUse { member: member.clone(), role });
}

#[cfg(test)]
mod tests;
