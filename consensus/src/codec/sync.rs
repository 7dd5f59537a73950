//! Sync: requests for decided blocks and their answers.

use bytes::Bytes;
use fedledger_ledger::block::CommitCertificate;
use fedledger_ledger::codec::{from_canonical, to_canonical};
use fedledger_ledger::ids::Height;
use malachitebft_app_channel::app::types::codec::{Codec, HasEncodedLen};
use malachitebft_app_channel::app::types::sync::{RawDecidedValue, Request, Response, Status};
use malachitebft_core_types::{ExtendedCommitCertificate, ExtendedCommitSignature, Round};
use malachitebft_peer::PeerId;
use malachitebft_sync::{ValueRequest, ValueResponse};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::wire::{check_count, number};
use super::{WireCodec, WireError, MESSAGE_BYTES_MAX};
use crate::context::{Address, Ctx, EngineHeight};
use crate::transport::SYNC_RESPONSE_BYTES_MAX;

/// Most blocks in one answer. The engine asks for fewer.
pub(crate) const SYNC_BLOCKS_MAX: usize = 16;

/// The ledger's certificate of an engine's.
///
/// # Errors
/// When the certificate has no consensus round.
pub(crate) fn ledger_certificate(
    certificate: &ExtendedCommitCertificate<Ctx>,
) -> Result<CommitCertificate, WireError> {
    let signatures = certificate.commit_signatures.iter().map(|s| (s.address.0, s.signature));
    Ok(CommitCertificate::new(
        certificate.height.into(),
        number("commit certificate", certificate.round)?,
        certificate.value_id,
        signatures,
    ))
}

/// The engine's certificate of a ledger's.
pub(crate) fn engine_certificate(
    certificate: &CommitCertificate,
) -> ExtendedCommitCertificate<Ctx> {
    let signature = |(address, s): &_| ExtendedCommitSignature::new(Address(*address), *s, None);
    ExtendedCommitCertificate {
        height: certificate.height.into(),
        round: Round::new(certificate.round),
        value_id: certificate.block,
        commit_signatures: certificate.signatures.iter().map(signature).collect(),
    }
}

#[derive(Encode, Decode)]
struct WireStatus {
    #[n(0)]
    peer: ByteVec,
    #[n(1)]
    tip: Height,
    #[n(2)]
    first: Height,
}

#[derive(Encode, Decode)]
struct WireRequest {
    #[n(0)]
    first: u64,
    #[n(1)]
    last: u64,
}

#[derive(Encode, Decode)]
struct WireResponse {
    #[n(0)]
    first: u64,
    #[n(1)]
    blocks: Vec<(ByteVec, CommitCertificate)>,
}

impl Codec<Status<Ctx>> for WireCodec {
    type Error = WireError;

    fn decode(&self, bytes: Bytes) -> Result<Status<Ctx>, WireError> {
        let wire: WireStatus = from_canonical("status", &bytes, MESSAGE_BYTES_MAX)?;
        Ok(Status {
            peer_id: PeerId::from_bytes(&wire.peer).map_err(|_| WireError::Peer)?,
            tip_height: wire.tip.into(),
            history_min_height: wire.first.into(),
        })
    }

    fn encode(&self, status: &Status<Ctx>) -> Result<Bytes, WireError> {
        let wire = WireStatus {
            peer: status.peer_id.to_bytes().into(),
            tip: status.tip_height.into(),
            first: status.history_min_height.into(),
        };
        Ok(to_canonical(&wire).into())
    }
}

impl Codec<Request<Ctx>> for WireCodec {
    type Error = WireError;

    fn decode(&self, bytes: Bytes) -> Result<Request<Ctx>, WireError> {
        let wire: WireRequest = from_canonical("sync request", &bytes, MESSAGE_BYTES_MAX)?;
        let range = EngineHeight(wire.first)..=EngineHeight(wire.last);
        Ok(Request::ValueRequest(ValueRequest::new(range)))
    }

    fn encode(&self, request: &Request<Ctx>) -> Result<Bytes, WireError> {
        let Request::ValueRequest(request) = request;
        let wire = WireRequest { first: request.range.start().0, last: request.range.end().0 };
        Ok(to_canonical(&wire).into())
    }
}

impl Codec<Response<Ctx>> for WireCodec {
    type Error = WireError;

    fn decode(&self, bytes: Bytes) -> Result<Response<Ctx>, WireError> {
        let wire: WireResponse = from_canonical("sync response", &bytes, SYNC_RESPONSE_BYTES_MAX)?;
        check_count("blocks in a sync response", wire.blocks.len(), SYNC_BLOCKS_MAX)?;
        let value = |(block, certificate): (ByteVec, CommitCertificate)| {
            RawDecidedValue::new(Vec::from(block).into(), engine_certificate(&certificate))
        };
        let values = wire.blocks.into_iter().map(value).collect();
        Ok(Response::ValueResponse(ValueResponse::new(EngineHeight(wire.first), values)))
    }

    fn encode(&self, response: &Response<Ctx>) -> Result<Bytes, WireError> {
        let Response::ValueResponse(response) = response;
        let block = |value: &RawDecidedValue<Ctx>| {
            let certificate = ledger_certificate(&value.certificate)?;
            Ok((ByteVec::from(value.value_bytes.to_vec()), certificate))
        };
        let blocks = response.values.iter().map(block).collect::<Result<_, WireError>>()?;
        Ok(to_canonical(&WireResponse { first: response.start_height.0, blocks }).into())
    }
}

impl HasEncodedLen<Response<Ctx>> for WireCodec {
    fn encoded_len(&self, response: &Response<Ctx>) -> Result<usize, WireError> {
        Ok(self.encode(response)?.len())
    }
}
