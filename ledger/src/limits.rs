//! Every limit on what arrives from outside, with its reason.

/// Longest member or task id, in bytes. Ids are typed by people and printed in tables.
pub const ID_BYTES_MAX: usize = 32;
/// Longest chain id, in bytes: what a CometBFT header allows.
pub const CHAIN_ID_BYTES_MAX: usize = 50;
/// Most members in a consortium. The consensus engine and the contract are designed for 4 to 100.
pub const MEMBERS_MAX: usize = 128;
/// Most public keys that a verifier keeps decoded: all that a large consortium uses for some years.
pub const KEYS_CACHED_MAX: usize = 1_024;
/// Most transactions that a node remembers to have a valid signature: 1 MB, and many blocks.
pub const SIGNATURES_REMEMBERED_MAX: usize = 16_384;
/// Longest transaction in bytes. With its envelope it must fit one entry.
pub const TRANSACTION_BYTES_MAX: usize = 60_000;
/// Longest opening of a commitment in bytes: ids, digest and salt with their CBOR heads.
pub const OPENING_BYTES_MAX: usize = 256;
/// Longest entry in bytes: a C2SP entry tile prefixes each with a 16-bit length.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// Longest block body in bytes. It travels in proposal parts and is kept by every node.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Most transactions in one block, so that checking their signatures stays under half a second.
pub const BLOCK_TRANSACTIONS_MAX: usize = 2_000;
/// Most decisions in one block: one for each of many tasks that close at once.
pub const BLOCK_DECISIONS_MAX: usize = 64;
/// Longest genesis document in bytes: 128 members and a few tasks with a thousand tensors each.
pub const GENESIS_BYTES_MAX: usize = 8 << 20;
/// Most tensors in one task's schema; a ResNet-152 has 932 with its buffers.
pub const TENSORS_MAX: usize = 1_024;
/// Longest tensor name in bytes.
pub const TENSOR_NAME_BYTES_MAX: usize = 128;
/// Most dimensions of one tensor.
pub const TENSOR_DIMENSIONS_MAX: usize = 8;
/// Most parameters in one task, over all of its tensors.
pub const PARAMETERS_MAX: u64 = 50_000_000;
/// Longest free text (descriptions, reasons) in bytes.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Most candidate aggregates that evaluators are asked to score in one round.
pub const CANDIDATES_MAX: usize = 8;
/// Fewest classes that evaluators report a loss for, where a task asks for it: one is the whole.
pub const CLASSES_MIN: usize = 2;
/// Most classes that evaluators report a loss for: each says a little more of a hospital's patients.
pub const CLASSES_MAX: usize = 16;
/// Longest name of a class in bytes. It is printed in a sentence.
pub const CLASS_NAME_BYTES_MAX: usize = 64;
/// Largest `num_examples` a member may declare: far above any hospital, far below overflow.
pub const NUM_EXAMPLES_MAX: u64 = 1 << 40;
/// Longest update or model blob in bytes: `PARAMETERS_MAX` values of four bytes and the header.
pub const BLOB_BYTES_MAX: u64 = PARAMETERS_MAX * 4 + (1 << 20);
/// Longest network address of a member, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 256;
/// Most network addresses of a member.
pub const ADDRESSES_MAX: usize = 16;
/// Longest canonical task in bytes: with its proposal's envelope it must fit one entry. A thousand
/// tensors with names of 30 bytes stay below.
pub const TASK_BYTES_MAX: usize = 50_000;
/// Most rounds of a task: more than a century of hourly rounds.
pub const ROUNDS_MAX: u64 = 1_000_000;
/// Most rounds of a task whose updates can be replayed: what the contract keeps a record of.
pub const ROUNDS_KEPT_MAX: usize = 128;
/// Longest phase of a round in milliseconds of block time: a year.
pub const WINDOW_MS_MAX: u64 = 365 * 24 * 3_600_000;
/// Most tasks that run at once: each is looked at in every block.
pub const TASKS_RUNNING_MAX: usize = 64;
/// Most changes of one proposer that wait for approval at once, so that no member can crowd out
/// the others.
pub const CHANGES_OPEN_PER_MEMBER_MAX: usize = 8;
/// How long a change waits for approval, in milliseconds of block time: 30 days.
pub const CHANGE_WINDOW_MS: u64 = 30 * 24 * 3_600_000;
/// Largest loss that an evaluator may report, in millionths: a mean loss of a million.
pub const LOSS_MICRO_MAX: u64 = 1_000_000_000_000;
