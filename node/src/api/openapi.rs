//! The description of the API in OpenAPI 3.1.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::OpenApi;
use utoipa::{Modify, OpenApi as _};

use super::{blobs, chain, changes, events, health, members, onset, tasks, updates};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "fedledger node",
        description = "The node of one institution in a federated training consortium. Digests and \
            keys are lower-case hexadecimal, times are milliseconds since 1970 (UTC), errors have \
            the form `ErrorBody`. Reading needs no credentials; POST needs the bearer token of the \
            file api.token in the node's data directory.",
    ),
    paths(
        health::healthz, health::readyz, health::metrics, health::status, health::genesis, members::list,
        tasks::list, tasks::show, tasks::rounds, tasks::round, updates::submit, updates::evaluate,
        updates::announce, onset::onset,
        chain::transaction,
        chain::submit, chain::entries, chain::entry, chain::block, chain::state,
        blobs::blob, blobs::model, blobs::import, changes::list, changes::propose, changes::approve,
        events::events,
    ),
    modifiers(&TokenScheme),
    tags(
        (name = "node", description = "the node itself"),
        (name = "consortium", description = "members and changes"),
        (name = "training", description = "tasks, rounds, updates, models"),
        (name = "ledger", description = "entries, blocks and state, with proofs"),
    )
)]
struct Document;

struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = openapi.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The document.
pub fn document() -> OpenApi {
    Document::openapi()
}

pub(super) async fn serve() -> Json<OpenApi> {
    Json(document())
}
