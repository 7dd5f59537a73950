//! The end of the demonstration: somebody who trusts none of the hospitals checks the ledger.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{bail, Context as _};
use fedledger_ledger::ids::Height;

use super::screen::Screen;
use crate::audit::{audit, export, DataDir, Depth, ExportFile, LedgerSource as _};
use crate::config::{Config, Home};
use crate::devnet::Devnet;

/// Takes the ledger of one hospital as a file, verifies it from genesis, recomputes every round,
/// and then bends one byte of a copy to see that it does not pass. Returns whether all of that came
/// out as it should.
pub(super) fn check(devnet: &Devnet, dir: &Path, screen: &Screen) -> anyhow::Result<bool> {
    let node = &devnet.nodes[0];
    let home = Home::new(&node.home);
    let genesis = home.genesis()?;
    let file = dir.join("ledger.fedledger");
    {
        let data = home.data_dir(&Config::load(&home.config_file(), [])?);
        let source = DataDir::open(&data, &genesis)?;
        let (blocks, blobs) = export(&source, &file, |_| {})?;
        screen.exported(&node.member, &file, blocks, blobs);
    }
    let source = ExportFile::open(&file)?;
    let report = audit(&source, Some(genesis.digest()), Depth::Replay, |_| {})
        .context("the ledger does not verify")?;
    screen.verified(&report);
    let complete = report.incomplete.is_empty();

    let bent = dir.join("bent.fedledger");
    let (offset, height) = bend(&file, &bent)?;
    let named = match ExportFile::open(&bent)
        .map_err(anyhow::Error::from)
        .and_then(|source| Ok(audit(&source, Some(genesis.digest()), Depth::Verify, |_| {})?))
    {
        Ok(_) => bail!("a ledger with a changed byte passed verification"),
        Err(error) => error.to_string(),
    };
    screen.tampering(offset, height, &named);
    Ok(complete && named.contains(&format!("block {height}")))
}

/// Copies the file and changes one byte in the middle of a block half-way through the chain.
fn bend(file: &Path, bent: &Path) -> anyhow::Result<(u64, Height)> {
    let source = ExportFile::open(file)?;
    let height = Height(source.height()?.0.div_ceil(2));
    let (at, length) = source.place_of_block(height).context("the chain has no blocks")?;
    let offset = at + length / 2;
    std::fs::copy(file, bent)?;
    let mut copy = OpenOptions::new().read(true).write(true).open(bent)?;
    let mut byte = [0u8];
    copy.seek(SeekFrom::Start(offset))?;
    copy.read_exact(&mut byte)?;
    byte[0] ^= 1;
    copy.seek(SeekFrom::Start(offset))?;
    copy.write_all(&byte)?;
    copy.sync_all()?;
    Ok((offset, height))
}
