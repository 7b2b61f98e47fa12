# pragma version 0.4.3
# pragma evm-version london
# pragma optimize gas
"""
@title DecisionLedger
@license Apache-2.0
@notice An append-only chain of hashes ("leaves") for each origin: one incarnation of one site's spool.
    The contract recomputes every head itself and takes nothing but the exact continuation, so that a
    retry cannot duplicate and a gap cannot hide. It holds no record and nothing of a patient.

        head(0) = SHA-256("dicomward/origin/v1" || chain id, 32 || this contract, 20 || origin, 32)
        head'   = SHA-256(head || leaf)

@dev A receipt key belongs to an origin for as long as the origin lives; another key comes with a successor.
    So what a receipt is checked against never depends on when it was signed.
"""

MAX_LEAVES: constant(uint256) = 1024
MAX_CID: constant(uint256) = 64
DOMAIN: constant(Bytes[19]) = b"dicomward/origin/v1"


struct Origin:
    writer: address
    receipt_key: bytes32
    count: uint256
    head: bytes32
    closed: bool
    predecessor: bytes32
    agreed: uint256
    successor: bytes32
    opened: uint256
    published: uint256


event Opened:
    origin: indexed(bytes32)
    writer: indexed(address)
    predecessor: indexed(bytes32)
    receipt_key: bytes32
    agreed: uint256
    head: bytes32


event Anchored:
    origin: indexed(bytes32)
    first: indexed(uint256)
    head: bytes32
    leaves: DynArray[bytes32, MAX_LEAVES]


event Closed:
    origin: indexed(bytes32)
    successor: indexed(bytes32)
    count: uint256
    agreed: uint256


event WriterRotated:
    origin: indexed(bytes32)
    writer: indexed(address)


event Published:
    origin: indexed(bytes32)
    first: indexed(uint256)
    count: uint256
    cid: Bytes[MAX_CID]


event RegistrarProposed:
    candidate: indexed(address)


event RegistrarChanged:
    registrar: indexed(address)


registrar: public(address)
candidate: public(address)
deployed: public(uint256)  # block: nothing of this contract is older
origin_count: public(uint256)
origin_at: public(HashMap[uint256, bytes32])  # in the order in which they were opened
origins: HashMap[bytes32, Origin]


@deploy
def __init__(registrar: address):
    assert registrar != empty(address), "registrar"
    self.registrar = registrar
    self.deployed = block.number
    log RegistrarChanged(registrar=registrar)


@external
def propose_registrar(candidate: address):
    """@notice First of two steps: name who may take over. The zero address withdraws."""
    assert msg.sender == self.registrar, "not the registrar"
    self.candidate = candidate
    log RegistrarProposed(candidate=candidate)


@external
def accept_registrar():
    """@notice Second step, by the candidate: proves that somebody holds the new key."""
    assert msg.sender == self.candidate, "not the candidate"
    self.registrar = msg.sender
    self.candidate = empty(address)
    log RegistrarChanged(registrar=msg.sender)


@internal
@view
def _genesis(origin: bytes32) -> bytes32:
    return sha256(concat(DOMAIN, convert(chain.id, bytes32), convert(self, bytes20), origin))


@internal
def _open(origin: bytes32, writer: address, receipt_key: bytes32, predecessor: bytes32, agreed: uint256):
    assert origin != empty(bytes32), "origin"
    assert writer != empty(address), "writer"
    assert receipt_key != empty(bytes32), "receipt key"
    assert self.origins[origin].opened == 0, "origin exists"
    head: bytes32 = self._genesis(origin)
    self.origins[origin] = Origin(
        writer=writer,
        receipt_key=receipt_key,
        count=0,
        head=head,
        closed=False,
        predecessor=predecessor,
        agreed=agreed,
        successor=empty(bytes32),
        opened=block.number,
        published=0,
    )
    self.origin_at[self.origin_count] = origin
    self.origin_count += 1
    log Opened(
        origin=origin,
        writer=writer,
        predecessor=predecessor,
        receipt_key=receipt_key,
        agreed=agreed,
        head=head,
    )


@external
def open_origin(origin: bytes32, writer: address, receipt_key: bytes32):
    """@notice Admit a new origin. Only the registrar, whose key is never on a site's host."""
    assert msg.sender == self.registrar, "not the registrar"
    self._open(origin, writer, receipt_key, empty(bytes32), 0)


@external
def succeed(origin: bytes32, successor: bytes32, agreed: uint256, receipt_key: bytes32):
    """
    @notice Close `origin` and open its successor under the same writer: for a spool that was lost or
        restored from a backup. `agreed` is how many leaves the site still stands by; the rest stay on the
        chain as evidence that they were lost.
    """
    writer: address = self.origins[origin].writer
    assert writer != empty(address), "unknown origin"
    assert msg.sender == writer or msg.sender == self.registrar, "not the writer"
    assert not self.origins[origin].closed, "closed"
    count: uint256 = self.origins[origin].count
    assert agreed <= count, "agreed"
    self.origins[origin].closed = True
    self.origins[origin].successor = successor
    log Closed(origin=origin, successor=successor, count=count, agreed=agreed)
    self._open(successor, writer, receipt_key, origin, agreed)


@external
def close_origin(origin: bytes32):
    """@notice Close an origin for good, without a successor: a site that ends."""
    assert msg.sender == self.registrar, "not the registrar"
    assert self.origins[origin].opened != 0, "unknown origin"
    assert not self.origins[origin].closed, "closed"
    self.origins[origin].closed = True
    count: uint256 = self.origins[origin].count
    log Closed(origin=origin, successor=empty(bytes32), count=count, agreed=count)


@external
def rotate_writer(origin: bytes32, writer: address):
    """@notice Replace the account that anchors, for example when its key may be known to others."""
    assert msg.sender == self.registrar, "not the registrar"
    assert writer != empty(address), "writer"
    assert self.origins[origin].opened != 0, "unknown origin"
    self.origins[origin].writer = writer
    log WriterRotated(origin=origin, writer=writer)


@external
def anchor(origin: bytes32, first: uint256, previous_head: bytes32, leaves: DynArray[bytes32, MAX_LEAVES]):
    """@notice Append leaves. Refuses anything but the exact continuation of what stands."""
    assert msg.sender == self.origins[origin].writer, "not the writer"
    assert not self.origins[origin].closed, "closed"
    assert first == self.origins[origin].count, "first"
    head: bytes32 = self.origins[origin].head
    assert previous_head == head, "previous head"
    assert len(leaves) != 0, "empty"
    for leaf: bytes32 in leaves:
        head = sha256(concat(head, leaf))
    self.origins[origin].count = first + len(leaves)
    self.origins[origin].head = head
    log Anchored(origin=origin, first=first, head=head, leaves=leaves)


@external
def publish(origin: bytes32, first: uint256, count: uint256, cid: Bytes[MAX_CID]):
    """
    @notice Say where the encrypted evidence for these leaves is kept. As with `anchor`, nothing but the exact
        continuation: evidence has no gap, and a retry says nothing twice. A closed origin's may still come.
    """
    assert msg.sender == self.origins[origin].writer, "not the writer"
    assert count != 0 and len(cid) != 0, "empty"
    assert first == self.origins[origin].published, "first"
    assert first + count <= self.origins[origin].count, "not anchored"
    self.origins[origin].published = first + count
    log Published(origin=origin, first=first, count=count, cid=cid)


@external
def republish(origin: bytes32, first: uint256, count: uint256, cid: Bytes[MAX_CID]):
    """@notice Name other content for leaves whose evidence was published: for other auditors, or after a loss."""
    assert msg.sender == self.origins[origin].writer, "not the writer"
    assert count != 0 and len(cid) != 0, "empty"
    assert first + count <= self.origins[origin].published, "not published"
    log Published(origin=origin, first=first, count=count, cid=cid)


@external
@view
def state(origin: bytes32) -> Origin:
    """@return The origin as it stands; `opened` is 0 where there is none."""
    return self.origins[origin]


@external
@view
def genesis(origin: bytes32) -> bytes32:
    """@return The head of this origin while it holds nothing."""
    return self._genesis(origin)
