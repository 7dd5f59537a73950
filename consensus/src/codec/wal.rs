//! Entries of the engine's write-ahead log.

use bytes::Bytes;
use fedledger_ledger::block::ValidatorAddress;
use fedledger_ledger::codec::{from_canonical, to_canonical};
use malachitebft_app_channel::app::types::codec::Codec;
use malachitebft_app_channel::app::types::{ProposedValue, SignedConsensusMsg};
use malachitebft_core_types::{PolkaCertificate, Round, Validity};
use minicbor::{Decode, Encode};

use super::wire::{number, WireMessage, WirePolka, WireRef};
use super::{WireCodec, WireError, MESSAGE_BYTES_MAX};
use crate::context::{Address, Ctx, EngineHeight};

#[derive(Encode, Decode)]
struct WireValue {
    #[n(0)]
    height: u64,
    #[n(1)]
    round: u32,
    #[n(2)]
    proposer: ValidatorAddress,
    #[n(3)]
    block: WireRef,
    #[n(4)]
    valid: bool,
    #[n(5)]
    valid_round: Option<u32>,
}

impl Codec<SignedConsensusMsg<Ctx>> for WireCodec {
    type Error = WireError;

    fn decode(&self, bytes: Bytes) -> Result<SignedConsensusMsg<Ctx>, WireError> {
        let wire: WireMessage = from_canonical("vote or proposal", &bytes, MESSAGE_BYTES_MAX)?;
        Ok(wire.into())
    }

    fn encode(&self, message: &SignedConsensusMsg<Ctx>) -> Result<Bytes, WireError> {
        Ok(to_canonical(&WireMessage::of(message)?).into())
    }
}

impl Codec<PolkaCertificate<Ctx>> for WireCodec {
    type Error = WireError;

    fn decode(&self, bytes: Bytes) -> Result<PolkaCertificate<Ctx>, WireError> {
        from_canonical::<WirePolka>("polka certificate", &bytes, MESSAGE_BYTES_MAX)?.try_into()
    }

    fn encode(&self, polka: &PolkaCertificate<Ctx>) -> Result<Bytes, WireError> {
        Ok(to_canonical(&WirePolka::of(polka)?).into())
    }
}

impl Codec<ProposedValue<Ctx>> for WireCodec {
    type Error = WireError;

    fn decode(&self, bytes: Bytes) -> Result<ProposedValue<Ctx>, WireError> {
        let wire: WireValue = from_canonical("proposed value", &bytes, MESSAGE_BYTES_MAX)?;
        Ok(ProposedValue {
            height: EngineHeight(wire.height),
            round: Round::new(wire.round),
            valid_round: Round::from(wire.valid_round),
            proposer: Address(wire.proposer),
            value: wire.block.into(),
            validity: Validity::from_bool(wire.valid),
        })
    }

    fn encode(&self, value: &ProposedValue<Ctx>) -> Result<Bytes, WireError> {
        let wire = WireValue {
            height: value.height.0,
            round: number("proposed value", value.round)?,
            proposer: value.proposer.0,
            block: value.value.into(),
            valid: value.validity.is_valid(),
            valid_round: value.valid_round.as_u32(),
        };
        Ok(to_canonical(&wire).into())
    }
}
