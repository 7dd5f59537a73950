#!/usr/bin/env python3
"""Writes the golden vectors beside this file. It shares no code with the ledger.

Needs `cbor2` and `cryptography` from PyPI. Run `python3 generate.py`; the output is the same every
time, and the committed JSON is what tests read.
"""

import hashlib
import io
import json
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).parent


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def flip(data, bit=0):
    out = bytearray(data)
    out[bit // 8] ^= 1 << (bit % 8)
    return bytes(out)


# RFC 9162 section 2.1: the tree, its paths and its consistency proofs, as the RFC defines them.


def split(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(items):
    if not items:
        return sha(b"")
    if len(items) == 1:
        return sha(b"\x00", items[0])
    k = split(len(items))
    return sha(b"\x01", mth(items[:k]), mth(items[k:]))


def path(m, items):
    if len(items) == 1:
        return []
    k = split(len(items))
    if m < k:
        return path(m, items[:k]) + [mth(items[k:])]
    return path(m - k, items[k:]) + [mth(items[:k])]


def subproof(m, items, complete):
    if m == len(items):
        return [] if complete else [mth(items)]
    k = split(len(items))
    if m <= k:
        return subproof(m, items[:k], complete) + [mth(items[k:])]
    return subproof(m - k, items[k:], False) + [mth(items[:k])]


# Protobuf, as far as CometBFT's headers and votes need it.


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def pb_bytes(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data if data else b""


def pb_message(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def pb_varint(field, n):
    return varint(field << 3) + varint(n) if n else b""


def pb_sfixed64(field, n):
    return varint(field << 3 | 1) + n.to_bytes(8, "little") if n else b""


def block_id(block):
    return pb_bytes(1, block) + pb_message(2, pb_varint(1, 1) + pb_bytes(2, block))


def vote_bytes(chain_id, kind, height, round_, block):
    body = pb_varint(1, kind) + pb_sfixed64(2, height) + pb_sfixed64(3, round_)
    if block is not None:
        body += pb_message(4, block_id(block))
    body += pb_message(5, b"") + pb_bytes(6, chain_id.encode())
    return varint(len(body)) + body


def validators_hash(validators):
    return mth([pb_message(1, pb_bytes(1, key)) + pb_varint(2, power) for key, power in validators])


def address(key):
    return sha(key)[:20]


def header_hash(h):
    seconds, ms = divmod(h["time"], 1000)
    empty = pb_bytes(1, sha(b""))
    last = h["last_block_id"]
    return mth([
        pb_varint(1, 11) + pb_varint(2, 1),
        pb_bytes(1, h["chain_id"].encode()),
        pb_varint(1, h["height"]),
        pb_varint(1, seconds) + pb_varint(2, ms * 1_000_000),
        block_id(bytes.fromhex(last)) if last else pb_message(2, b""),
        empty,
        pb_bytes(1, bytes.fromhex(h["data_hash"])),
        pb_bytes(1, bytes.fromhex(h["validators_hash"])),
        pb_bytes(1, bytes.fromhex(h["next_validators_hash"])),
        pb_bytes(1, sha(b"fedledger/consensus-params/v1")),
        pb_bytes(1, bytes.fromhex(h["app_hash"])),
        empty,
        empty,
        pb_bytes(1, bytes.fromhex(h["proposer"])),
    ])


# The state tree: a binary trie over hashed keys with single-leaf subtrees cut short.


def state_root(pairs, depth=0):
    if not pairs:
        return b"SPARSE_MERKLE_PLACEHOLDER_HASH__"
    if len(pairs) == 1:
        (key, value), = pairs
        return sha(b"JMT::LeafNode", key, value)
    bit = lambda key: key[depth // 8] >> (7 - depth % 8) & 1
    left = state_root([p for p in pairs if not bit(p[0])], depth + 1)
    return sha(b"JMT::IntrnalNode", left, state_root([p for p in pairs if bit(p[0])], depth + 1))


# Canonical CBOR: maps by integer key without absent fields, variants as [index, [fields]].


def cbor(value):
    out = io.BytesIO()
    cbor2.CBOREncoder(out, canonical=True).encode(value)
    return out.getvalue()


def record(*fields):
    return {i: field for i, field in enumerate(fields) if field is not None}


def variant(index, *fields):
    fields = list(fields)
    while fields and fields[-1] is None:
        fields.pop()
    return [index, fields]


def key(seed):
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


def public(private):
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def hexes(items):
    return [item.hex() for item in items]


def votes():
    block = sha(b"a block")
    cases = []
    for chain_id, kind, height, round_, voted in [
        ("fedledger-1", 2, 1, 0, block),
        ("fedledger-1", 2, 7, 3, block),
        ("fedledger-1", 1, 7, 3, None),
        ("a", 1, 2**63 - 1, 2**31 - 1, None),
        ("x" * 50, 2, 2**40, 2**31 - 1, block),
    ]:
        cases.append({
            "chain_id": chain_id,
            "type": {1: "prevote", 2: "precommit"}[kind],
            "height": height,
            "round": round_,
            "block": voted.hex() if voted else None,
            "bytes": vote_bytes(chain_id, kind, height, round_, voted).hex(),
        })
    return {"valid": cases}


def validators():
    cases = []
    for powers in [[1], [1, 1, 1, 1], [3, 1, 7, 1, 3], [1, 200, 2**40]]:
        given = [(public(key(i + 1)), power) for i, power in enumerate(powers)]
        ordered = sorted(given, key=lambda v: (-v[1], address(v[0])))
        cases.append({
            "given": [{"key": k.hex(), "power": p} for k, p in given],
            "addresses": [address(k).hex() for k, _ in ordered],
            "hash": validators_hash(ordered).hex(),
            "bytes": cbor([record(k, p) for k, p in ordered]).hex(),
        })
    tampered = [
        ("power 0", [record(public(key(1)), 0)]),
        ("twice", [record(public(key(1)), 1), record(public(key(1)), 1)]),
        ("unusable key", [record(bytes(32), 1)]),
        ("out of order", [record(public(key(1)), 1), record(public(key(2)), 2)]),
        ("empty", []),
    ]
    return {"valid": cases, "tampered": [{"what": w, "bytes": cbor(v).hex()} for w, v in tampered]}


def commitment(*opening):
    return sha(b"fedledger/commitment/v1\0", cbor(record(*opening)))


def commitments():
    parts = ["chain_id", "task", "round", "member", "update", "salt"]
    good = ["fedledger-1", "heart", 3, "hospital-a", sha(b"update"), sha(b"salt")]
    longest = ["x" * 50, "t" * 32, 2**64 - 1, "m" * 32, sha(b""), bytes(32)]
    show = lambda opening: {name: part.hex() if isinstance(part, bytes) else part
                            for name, part in zip(parts, opening)}
    cases = [{**show(opening), "bytes": cbor(record(*opening)).hex(),
              "commitment": commitment(*opening).hex()} for opening in (good, longest)]
    tampered = []
    for at, other in enumerate(["fedledger-2", "lungs", 4, "hospital-b", sha(b"another"),
                                flip(sha(b"salt"))]):
        opening = good[:at] + [other] + good[at + 1:]
        tampered.append({"what": "another " + parts[at], **show(opening)})
    return {"valid": cases, "tampered": tampered}


def transaction_parts():
    bound = commitment("fedledger-1", "heart", 3, "hospital-a", sha(b"update"), sha(b"salt"))
    commit = variant(0, "heart", 3, sha(b"model"), bound, 303, 4096)
    claims = variant(0, "heart", 3, sha(b"model"), bound, 303, 4096,
                     record(1500, 5000, 1_000_000), sha(b"attestation"))
    attested = variant(0, "heart", 3, sha(b"model"), bound, 303, 4096, None, sha(b"attestation"))
    reveal = variant(1, "heart", 3, sha(b"update"), sha(b"salt"))
    scores = variant(2, "heart", 3, [record(sha(b"m1"), 693147, 61), record(sha(b"m2"), 0, 2**40)])
    approve = variant(4, sha(b"change"))
    for name, action in [("commit", commit), ("commit with claims", claims),
                         ("commit with attestation only", attested), ("reveal", reveal),
                         ("evaluation", scores), ("approve", approve)]:
        yield name, *signed(action)


def signed(action):
    body = record("fedledger-1", "hospital-a", 1, action)
    return body, key(7).sign(b"fedledger/transaction/v1\0" + cbor(body))


def evaluation_by_class(classes):
    return variant(2, "heart", 3, [record(sha(b"m1"), 693147, 61, classes),
                                   record(sha(b"m2"), 0, 61, classes)])


def transactions():
    cases, tampered = [], []
    by_class = evaluation_by_class([record(200_000, 40), record(1_634_000, 21), record(0, 0)])
    for name, body, signature in [*transaction_parts(), ("evaluation by class", *signed(by_class))]:
        data = cbor(record(body, signature))
        cases.append({
            "what": name,
            "bytes": data.hex(),
            "digest": sha(data).hex(),
            "member": "hospital-a",
            "nonce": 1,
            "key": public(key(7)).hex(),
            "signature": signature.hex(),
        })
    _, body, signature = next(transaction_parts())
    good = cbor(record(body, signature))
    no_domain = key(7).sign(cbor(body))
    proposal = key(7).sign(b"fedledger/proposal/v1\0" + cbor(body))
    another = record("fedledger-2", *[body[i] for i in range(1, 4)])
    order = 2**252 + 27742317777372353535851937790883648493
    lifted = int.from_bytes(signature[32:], "little") + order
    for what, data in [
        ("a bit of the signature", cbor(record(body, flip(signature)))),
        ("signature without domain", cbor(record(body, no_domain))),
        ("signature of another domain", cbor(record(body, proposal))),
        ("signature of another chain", cbor(record(another, signature))),
        ("signature with s + L", cbor(record(body, signature[:32] + lifted.to_bytes(32, "little")))),
        ("trailing byte", good + b"\x00"),
        ("cut short", good[:-1]),
        ("long integer", good.replace(b"\x02\x01\x03", b"\x02\x18\x01\x03", 1)),
        ("indefinite map", b"\xbf" + good[1:] + b"\xff"),
        ("unknown field", b"\xa3" + good[1:] + b"\x02\x00"),
        ("keys out of order", b"\xa2\x01" + cbor(signature) + b"\x00" + cbor(body)),
        ("duplicate key", b"\xa3" + good[1:] + b"\x01" + cbor(signature)),
        ("explicit null at the end", cbor(record(
            record("fedledger-1", "hospital-a", 1, [0, body[3][1] + [None, None]]), signature))),
        ("upper case in an id", good.replace(b"hospital-a", b"Hospital-a", 1)),
        ("explicit list of no classes", cbor(record(*signed(evaluation_by_class([]))))),
    ]:
        assert data != good, what
        tampered.append({"what": what, "bytes": data.hex(), "key": public(key(7)).hex()})
    return {"valid": cases, "tampered": tampered}


def blocks():
    ordered = sorted([public(key(i)) for i in range(1, 5)], key=address)
    set_hash = validators_hash([(k, 1) for k in ordered]).hex()
    items = [record(body, signature) for _, body, signature in transaction_parts()]
    cases, last = [], None
    for height, chosen in [(1, items[:1]), (2, items), (3, [])]:
        header = {
            "chain_id": "fedledger-1",
            "height": height,
            "time": 1_700_000_000_000 + 1_001 * height if height != 2 else 1_700_000_003_000,
            "last_block_id": last,
            "data_hash": mth([sha(cbor(item)) for item in chosen]).hex(),
            "validators_hash": set_hash,
            "next_validators_hash": set_hash,
            "app_hash": sha(b"state %d" % height).hex(),
            "proposer": address(ordered[0]).hex(),
        }
        raw = bytes.fromhex
        encoded = record(header["chain_id"], height, header["time"], raw(last) if last else None,
                         *[raw(header[name]) for name in [
                             "data_hash", "validators_hash", "next_validators_hash", "app_hash",
                             "proposer"]])
        last = header_hash(header).hex()
        message = vote_bytes("fedledger-1", 2, height, 0, raw(last))
        signers = sorted((address(public(key(i))), key(i).sign(message)) for i in (1, 2, 4))
        cases.append({
            "header": header,
            "hash": last,
            "bytes": cbor(record(encoded, record(chosen, []))).hex(),
            "validators": hexes(ordered),
            "certificate": cbor(record(height, 0, raw(last), [list(s) for s in signers])).hex(),
        })
    return {"valid": cases}


def log():
    entries = [b"entry %d" % i * (i % 3 + 1) for i in range(11)]
    inclusion, consistency, bad_inclusion, bad_consistency = [], [], [], []
    for size in [1, 2, 3, 7, 8, 11]:
        for index in range(size):
            inclusion.append({"index": index, "size": size,
                              "path": hexes(path(index, entries[:size]))})
        for first in range(1, size + 1):
            consistency.append({"first": first, "second": size,
                                "path": hexes(subproof(first, entries[:size], True))})
    good = path(4, entries)
    for what, index, size, bent in [
        ("another index", 5, 11, good), ("another size", 4, 6, good), ("too short", 4, 11, good[:-1]),
        ("too long", 4, 11, good + [sha(b"")]), ("a bit", 4, 11, [flip(good[0], 9)] + good[1:]),
        ("order", 4, 11, good[::-1]), ("index out of range", 11, 11, good), ("empty", 4, 11, []),
    ]:
        bad_inclusion.append({"what": what, "leaf": 4, "index": index, "size": size,
                              "path": hexes(bent)})
    good = subproof(6, entries, True)
    for what, first, second, bent in [
        ("another first size", 5, 11, good), ("another second size", 6, 7, good),
        ("too short", 6, 11, good[:-1]), ("too long", 6, 11, good + [sha(b"")]),
        ("a bit", 6, 11, good[:-1] + [flip(good[-1], 200)]), ("shrinking", 11, 6, good),
        ("empty", 6, 11, []),
    ]:
        bad_consistency.append({"what": what, "first": first, "second": second,
                                "path": hexes(bent)})
    return {
        "entries": hexes(entries),
        "leaf_hashes": hexes(sha(b"\x00", entry) for entry in entries),
        "roots": hexes(mth(entries[:size]) for size in range(len(entries) + 1)),
        "inclusion": inclusion,
        "consistency": consistency,
        "tampered_inclusion": bad_inclusion,
        "tampered_consistency": bad_consistency,
    }


def state():
    cases = []
    for count in [0, 1, 2, 3, 10, 40]:
        pairs = [(b"key/%d" % i, b"value %d" % (i * i)) for i in range(count)]
        cases.append({
            "pairs": [{"key": k.hex(), "value": v.hex()} for k, v in pairs],
            "root": state_root([(sha(k), sha(v)) for k, v in pairs]).hex(),
        })
    return {"valid": cases}


for name, make in [("votes", votes), ("validators", validators), ("commitments", commitments),
                   ("transactions", transactions),
                   ("blocks", blocks), ("log", log), ("state", state)]:
    (HERE / f"{name}.json").write_text(json.dumps(make(), indent=1) + "\n")
