//! What the ledger makes of a transaction that was just sent.

use std::time::Duration;

use fedledger_ledger::entry::Receipt;
use fedledger_ledger::ids::Digest;

use crate::api::types::{describe_rejection, TransactionStatus};
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};

/// How long the command line waits for a block that holds its transaction. A consortium that
/// decides at all does so in a second or two.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until a block holds the transaction. What a person is told besides, when none did in time:
/// the node goes on offering it.
///
/// # Errors
/// When the contract refused it, or the node cannot be asked.
pub(super) fn settle(client: &Client, transaction: Digest) -> Result<&'static str, Failure> {
    let mut receipt = None;
    let followed = client.follow_entries(PATIENCE, || {
        let status: TransactionStatus = client.get(&format!("/v1/transactions/{transaction}"))?;
        if let TransactionStatus::Included { receipt: found, .. } = status {
            receipt = Some(found);
        }
        Ok(receipt.is_some())
    });
    match (receipt, followed) {
        (Some(Receipt::Refused { rejection }), _) => {
            let message = format!("the ledger refused it: {}", describe_rejection(&rejection));
            Err(Failure::new(Exit::Refused, message))
        }
        (Some(Receipt::Accepted), _) => Ok(""),
        (None, Err(ClientError::TimedOut)) => {
            Ok("\nNo block has it yet; this node goes on offering it.")
        }
        (None, followed) => followed.map(|()| "").map_err(Failure::from),
    }
}
