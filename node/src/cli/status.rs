//! `fedledger status`.

use super::context::Context;
use crate::api::types::NodeStatus;
use crate::exit::{Exit, Failure};
use crate::output::{fields, table, utc};

pub(super) fn run(context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let status: NodeStatus = client.get("/v1/status")?;
    context.output.print(&status, |status| text(status, client.url()))?;
    Ok(Exit::Ok)
}

fn text(status: &NodeStatus, url: &str) -> String {
    let member = status.member.as_ref().map_or("none (follows only)".into(), ToString::to_string);
    let mut signing = if status.signing { "signs votes" } else { "does not sign votes" }.to_owned();
    if status.syncing {
        signing += ", fetching blocks";
    }
    let connected = status.peers.iter().filter(|peer| peer.connected).count();
    let head = fields(&[
        ("node", url.to_owned()),
        ("chain id", status.chain_id.to_string()),
        ("member", member),
        ("height", format!("{} at {}", status.height, utc(status.tip_time.0))),
        ("log", format!("{} entries, root {}", status.log_size, status.log_root.short())),
        ("state root", status.state_root.to_string()),
        ("this node", signing),
        ("members", format!("{connected} of {} others connected", status.peers.len())),
        ("guarantee", status.guarantee.clone()),
    ]);
    let rows: Vec<Vec<String>> = status
        .peers
        .iter()
        .map(|peer| {
            vec![
                peer.member.to_string(),
                if peer.connected { "connected" } else { "not connected" }.into(),
                peer.height.map_or("-".into(), |height| height.to_string()),
                peer.address.clone().unwrap_or_else(|| "-".into()),
            ]
        })
        .collect();
    if rows.is_empty() {
        return head;
    }
    head + "\n" + &table(&["member", "connection", "height", "address"], &rows)
}
