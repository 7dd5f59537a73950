//! `fedledger init`: keys and settings for a new node.

use clap::Args;
use fedledger_ledger::governance::MemberSpec;
use fedledger_ledger::ids::MemberId;

use super::context::Context;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::files::write_new;
use crate::keys::{make_private_folder, NodeKeys};

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Id of the institution: a-z, 0-9 and '-', never used by anybody before.
    #[arg(long, value_name = "ID")]
    member: MemberId,
    /// Its name, for people.
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// Multiaddr at which other members can dial the node, such as
    /// /dns4/node.example.org/tcp/8470; repeat for more.
    #[arg(long = "address", value_name = "MULTIADDR", conflicts_with = "dial_only")]
    addresses: Vec<String>,
    /// Multiaddr to listen on, in place of port 8470 on all interfaces; repeat for more.
    #[arg(long = "listen", value_name = "MULTIADDR", conflicts_with = "dial_only")]
    listen: Vec<String>,
    /// The node only dials out: it stands behind a firewall.
    #[arg(long)]
    dial_only: bool,
    /// Address of the HTTP API.
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<std::net::SocketAddr>,
}

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<Exit, Failure> {
    let home = context.home()?;
    let mut config = Config::default();
    config.node.member = args.member.to_string();
    config.network.dial_only = args.dial_only;
    config.network.external.clone_from(&args.addresses);
    if args.dial_only {
        config.network.listen.clear();
    } else if !args.listen.is_empty() {
        config.network.listen.clone_from(&args.listen);
    }
    if let Some(address) = args.http {
        config.http.address = address;
    }
    // What is about to be written is what a start will read: refused now rather than then.
    let text = config.to_text();
    Config::parse(&home.config_file(), &text, [])?;
    if !args.dial_only && args.addresses.is_empty() {
        return Err(Failure::usage("other members need to know where to dial this node")
            .hint("give --address MULTIADDR, or --dial-only for a node behind a firewall"));
    }
    if home.config_file().exists() {
        let message = format!("{} exists already", home.config_file().display());
        return Err(Failure::usage(message).hint("give the new node a home of its own: --home DIR"));
    }
    make_private_folder(home.path())?;
    let keys = NodeKeys::create(home.path())?;
    write_new(&home.config_file(), text.as_bytes())?;
    let member = MemberSpec {
        id: args.member.clone(),
        name: args.name.clone(),
        keys: keys.public(),
        addresses: args.addresses.clone(),
    };
    let entry = serde_json::to_string_pretty(&member).expect("a member entry is plain data");
    let entry_file = home.path().join("member.json");
    write_new(&entry_file, format!("{entry}\n").as_bytes())?;
    context.output.print(&member, |_| {
        format!(
            "Keys and settings are in {}.\nBack up {} offline: keys are never made again.\n\n\
             Send this entry ({}) to the other members:\n\n{entry}",
            home.path().display(),
            crate::keys::keys_dir(home.path()).display(),
            entry_file.display(),
        )
    })?;
    Ok(Exit::Ok)
}
