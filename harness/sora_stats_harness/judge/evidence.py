"""
Keeps evidence within a bound: parts of responses that prove findings, and responses that may still have to prove one.

Code that may need a response later keeps an `EvidenceExchange`. The store keeps the newest bodies as they are,
compresses older ones that are still referenced, and drops the oldest when memory runs short. Request, times, head,
length and hash always stay. The proof of a finding is cut out when the finding is made: the connection's own bytes, or
a bounded part around the fault. Everything together takes at most `MAX_EVIDENCE_BYTES`.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Final
from weakref import ref

import msgspec

from ..api.exchange import Excerpt, Exchange, Headers, Request
from .check import Place
from .excerpts import ElementIndex, WantedPart, cut_body

if TYPE_CHECKING:
    from ..api.zstd import ZstdCompressor, ZstdDict  # slow to import, and many runs compress nothing

MAX_EVIDENCE_BYTES: Final = 64 << 20
"""The memory for the evidence of a run, not counting the response that is being judged."""

PIECE_BYTES: Final = 64 << 10
"""The most bytes of a body, and of a head, in a proof: five times the size of a connection."""

SHARED_PROOFS: Final = 1536
"""How many kinds of findings share the remaining memory for proofs: more than are listed one by one."""

SMALL_BODY_BYTES: Final = 1 << 10
"""A body up to this size is not compressed."""

BLOCK_BYTES: Final = 256 << 10
"""The part of a compressed body that can be decompressed separately."""

OVERHEAD_BYTES: Final = 512
"""The size that is counted for an exchange without bodies and head."""

MAX_INDEXES: Final = 4
"""For how many arrays the places of their elements are remembered."""


class PackedBody:
    """
    A body, compressed in blocks.

    Args:
        body: Its bytes.
        compressor: Compresses a block.
        known: The compressor's dictionary.
        pause: Called between blocks of a large body.
    """

    __slots__ = ("_blocks", "_known", "length", "size")

    def __init__(self, body: bytes, compressor: ZstdCompressor, known: ZstdDict, pause: Callable[[], None]) -> None:
        self._known = known
        self.length: int = len(body)
        self._blocks: list[bytes] = []
        for start in range(0, len(body), BLOCK_BYTES):
            if start:
                pause()
            block = body[start : start + BLOCK_BYTES]
            self._blocks.append(compressor.compress(block, compressor.FLUSH_FRAME))
        self.size: int = OVERHEAD_BYTES + sum(map(len, self._blocks))

    def read(self, start: int, stop: int) -> bytes:
        """Decompress some of the bytes."""
        from ..api.zstd import ZstdDecompressor

        first = start // BLOCK_BYTES
        blocks = self._blocks[first : -(-stop // BLOCK_BYTES)]
        data = b"".join(ZstdDecompressor(self._known).decompress(block) for block in blocks)
        return data[start - first * BLOCK_BYTES : stop - first * BLOCK_BYTES]

    def hash(self, pause: Callable[[], None]) -> str:
        """The SHA-256 of all: worked out for the few that are shown or let go, and not for each that is packed."""
        digest = hashlib.sha256()
        for start in range(0, self.length, BLOCK_BYTES):
            digest.update(self.read(start, start + BLOCK_BYTES))
            pause()
        return digest.hexdigest()


class EvidenceExchange(msgspec.Struct, eq=False, weakref=True):
    """An exchange whose body is compressed, and finally dropped, when memory runs short."""

    exchange: Exchange
    """Without a body once that was packed; once that was let go too, its `excerpt` tells length and hash."""
    packed: PackedBody | None = None
    sha256: str | None = None
    """The body's hash, once it was requested."""
    proofs: dict[Excerpt | None, Exchange] | None = None
    """The parts that prove findings; all findings about one connection share a part."""

    @property
    def request(self) -> Request:
        """What was sent."""
        return self.exchange.request

    @property
    def sent_ns(self) -> int:
        """When it was sent."""
        return self.exchange.sent_ns

    @property
    def received_ns(self) -> int:
        """When the response had arrived."""
        return self.exchange.received_ns

    @property
    def key(self) -> tuple[str, int]:
        """How findings refer to it."""
        return self.exchange.key

    @property
    def is_whole(self) -> bool:
        """Whether its body is available."""
        response = self.exchange.response
        return self.packed is not None or response is None or response.excerpt is None


class EvidenceStore:
    """
    All evidence of one judge.

    A quarter of it is for bodies as they came; older ones that are still held are packed, to some 10 % of their size. Another quarter is for
    proofs as large as they come, and three eighths are shared out among those after them, so that the last kind of finding
    has its proof too. What is not used so is for packed bodies.

    Args:
        limit_bytes: The limit for all evidence together.
    """

    def __init__(self, limit_bytes: int = MAX_EVIDENCE_BYTES) -> None:
        self._limit = limit_bytes
        self._raw_limit = self._free_proofs = limit_bytes // 4
        self._proof_limit = limit_bytes // 8 * 5
        self._portion = limit_bytes // 64
        """How many raw bodies are compressed at a time."""
        self._raw_bytes = self._newest_bytes = 0
        self.is_portion_full: bool = False
        """Whether there is something to do for `settle`."""
        self._newest: list[EvidenceExchange] = []
        """The portion that grows; its bytes are counted whether or not anybody else holds them."""
        self._portions: deque[tuple[int, list[ref[EvidenceExchange]]]] = deque()
        self._packed: dict[ref[EvidenceExchange], int] = {}
        """The compressed bodies that are still referenced, the oldest first, with their sizes."""
        self._packed_bytes = self._proof_bytes = 0
        self._current: EvidenceExchange | None = None
        self._indexes: list[tuple[ref[EvidenceExchange], ElementIndex | None]] = []
        self._packing: tuple[ZstdCompressor, ZstdDict] | None = None
        self.released: int = 0
        """How many bodies were dropped although they were still referenced."""

    @property
    def size(self) -> int:
        """The counted size of everything that is kept."""
        return self._raw_bytes + self._newest_bytes + self._packed_bytes + self._proof_bytes

    # -- responses that may still have to prove something -------------------------------------------------------------

    def add_exchange(self, exchange: Exchange) -> EvidenceExchange:
        """Add the exchange that is judged next."""
        held = self._current = EvidenceExchange(exchange)
        self._newest.append(held)
        response = exchange.response  # the size is that of `_raw_size`
        size = self._newest_bytes + (OVERHEAD_BYTES if response is None else OVERHEAD_BYTES + len(response.body))
        self._newest_bytes = size
        if size > self._portion:
            self.is_portion_full = True
        return held

    def settle(self, pause: Callable[[], None]) -> None:
        """After the current exchange, if the portion is full: compress bodies beyond the limit, and drop the rest."""
        self._current = None
        if self.is_portion_full:
            self.is_portion_full = False
            self._portions.append((self._newest_bytes, [*map(ref, self._newest)]))
            self._raw_bytes += self._newest_bytes
            self._newest, self._newest_bytes = [], 0
            if self._raw_bytes > self._raw_limit:
                self._bound_raw(pause)
            self._release(pause)

    def _bound_raw(self, pause: Callable[[], None]) -> None:
        """Count what is still held of the bodies as they came, and pack the oldest where that is too much all the same."""
        portions, self._portions, self._raw_bytes = self._portions, deque(), 0
        for _, portion in portions:
            sizes = [0 if (held := each()) is None else _raw_size(held.exchange) for each in portion]
            if size := sum(sizes):
                self._portions.append((size, [*compress(portion, sizes)]))
                self._raw_bytes += size
        enough = self._raw_limit * 3 // 4  # so that the next look is some time off
        while self._raw_bytes > (enough if len(self._portions) > 1 else self._raw_limit):
            size, oldest = self._portions.popleft()
            self._raw_bytes -= size
            for each in oldest:
                if (aged := each()) is not None:
                    self._pack(aged, pause)

    def _pack(self, held: EvidenceExchange, pause: Callable[[], None]) -> None:
        exchange = held.exchange
        response = exchange.response
        if response is None or not response.body or response.excerpt is not None:
            return
        if len(response.body) <= SMALL_BODY_BYTES:
            self._watch(held, OVERHEAD_BYTES + len(response.body))
            return
        if self._packing is None:
            from ..api.zstd import ZstdCompressor, ZstdDict

            # Responses are much alike, so the first one serves as the dictionary for the others.
            known = ZstdDict(response.body[:PIECE_BYTES], is_raw=True)
            self._packing = ZstdCompressor(level=1, zstd_dict=known.as_digested_dict), known
        packed = held.packed = PackedBody(response.body, *self._packing, pause)
        held.exchange = _without_body(exchange, packed.length, "")
        self._watch(held, packed.size)

    def _watch(self, held: EvidenceExchange, size: int) -> None:
        self._packed[ref(held, self._forget)] = size
        self._packed_bytes += size

    def _forget(self, kept: ref[EvidenceExchange]) -> None:
        self._packed_bytes -= self._packed.pop(kept, 0)

    def _release(self, pause: Callable[[], None]) -> None:
        while self.size > self._limit and self._packed:
            kept = next(iter(self._packed))
            self._packed_bytes -= self._packed.pop(kept)
            if (held := kept()) is not None:
                body = _HeldBody(held)
                held.exchange, held.packed = _without_body(held.exchange, body.length, body.hash(pause)), None
                self.released += 1

    # -- what proves a finding ----------------------------------------------------------------------------------------

    def prove(
        self,
        exchanges: Sequence[Exchange | EvidenceExchange],
        wrong: Exchange | EvidenceExchange,
        *,
        connection_id: str | None = None,
        place: Place = (),
        offset: int | None = None,
    ) -> tuple[Exchange, ...]:
        """
        Cut the proof of a finding out of exchanges.

        Args:
            exchanges: The earlier first.
            wrong: The one of them that went wrong.
            connection_id: The connection whose bytes are wanted; None if the finding isn't about one.
            place: The place in the body of the wrong one.
            offset: The byte in that body, if `place` doesn't say.
        """
        if self._proof_bytes < self._free_proofs:
            most = PIECE_BYTES
        else:
            share = (self._proof_limit - self._free_proofs) // SHARED_PROOFS // max(1, len(exchanges))
            most = max(0, min(share, self._proof_limit - self._proof_bytes) - OVERHEAD_BYTES)
        proof = []
        for each in exchanges:
            wanted = WantedPart(connection_id=connection_id, most_bytes=most)
            if each.key == wrong.key:
                wanted = WantedPart(connection_id=connection_id, most_bytes=most, place=place, offset=offset)
            proof.append(self._keep(self._held(each), wanted))
        self._release(lambda: None)
        return tuple(proof)

    def cut(self, held: EvidenceExchange, connection_id: str) -> Exchange:
        """The exchange with only one connection's bytes as its body."""
        return self._cut_out(held, WantedPart(connection_id=connection_id, most_bytes=PIECE_BYTES))

    def _held(self, exchange: Exchange | EvidenceExchange) -> EvidenceExchange:
        if isinstance(exchange, EvidenceExchange):
            return exchange
        current = self._current
        return current if current is not None and current.exchange is exchange else EvidenceExchange(exchange)

    def _keep(self, held: EvidenceExchange, wanted: WantedPart) -> Exchange:
        cut = self._cut_out(held, wanted)
        told = None if cut.response is None else cut.response.excerpt
        proofs = held.proofs
        if proofs is None:
            proofs = held.proofs = {}
        known = proofs.get(told)
        if known is None:
            known = proofs[told] = cut
            self._proof_bytes += _proof_size(cut)
        return known

    def _cut_out(self, held: EvidenceExchange, wanted: WantedPart) -> Exchange:
        exchange, most = held.exchange, wanted.most_bytes
        request, response = exchange.request, exchange.response
        if request.body is not None and len(request.body) > max(most, self._free_proofs - self._proof_bytes):
            request = msgspec.structs.replace(request, body=None)
        if response is not None:
            body = _HeldBody(held)
            response = cut_body(response, body, wanted, lambda: self._index(held, body))
            if (headers := _bound_headers(response.headers, most)) is not response.headers:
                response = msgspec.structs.replace(response, headers=headers)
        if request is exchange.request and response is exchange.response:
            return exchange
        return msgspec.structs.replace(exchange, request=request, response=response)

    def _index(self, held: EvidenceExchange, body: _HeldBody) -> ElementIndex | None:
        for kept, index in self._indexes:
            if kept() is held:
                return index
        index = ElementIndex.of(body.read(0, body.length))
        self._indexes = [(ref(held), index), *self._indexes[: MAX_INDEXES - 1]]
        return index


class _HeldBody:
    """The body of a kept exchange, compressed or not."""

    def __init__(self, held: EvidenceExchange) -> None:
        self._held = held
        response = held.exchange.response
        self._body = b"" if response is None else response.body
        self.length = len(self._body) if held.packed is None else held.packed.length
        self.is_whole = held.is_whole

    def read(self, start: int, stop: int) -> bytes:
        packed = self._held.packed
        return self._body[start:stop] if packed is None else packed.read(start, stop)

    def hash(self, pause: Callable[[], None] = lambda: None) -> str:
        held, packed = self._held, self._held.packed
        if held.sha256 is None:
            held.sha256 = hashlib.sha256(self._body).hexdigest() if packed is None else packed.hash(pause)
        return held.sha256


def _raw_size(exchange: Exchange) -> int:
    """The bytes that an exchange is counted with while its body is as it came."""
    response = exchange.response
    return OVERHEAD_BYTES if response is None else OVERHEAD_BYTES + len(response.body)


def _without_body(exchange: Exchange, length: int, sha256: str) -> Exchange:
    response = exchange.response
    if response is None:
        return exchange
    told = Excerpt(of="text", length=length, sha256=sha256)
    return msgspec.structs.replace(exchange, response=msgspec.structs.replace(response, body=b"", excerpt=told))


def _bound_headers(headers: Headers, most: int) -> Headers:
    """The first header fields up to a size, since a response may have millions of them."""
    room = most
    for place, (name, value) in enumerate(headers):
        room -= len(name) + len(value)
        if room < 0:
            return headers[:place]
    return headers


def _proof_size(exchange: Exchange) -> int:
    """The size that is counted for a proof."""
    request, response = exchange.request, exchange.response
    size = OVERHEAD_BYTES + len(request.body or b"")
    if response is not None:
        size += len(response.body) + sum(len(name) + len(value) + 100 for name, value in response.headers)
        size += 0 if response.excerpt is None else 150 * len(response.excerpt.parts)
    return size
