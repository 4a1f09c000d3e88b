"""The processes of a distributed training among themselves: what they tell each other, and that they end together.

Each holds a TCP connection to rank 0. The operating system notices there that a process or a machine is gone, however
long a step takes; MindSpore's collectives know only how long they have waited. Before `join`, and where a training is
one process, every function here answers for a process that is alone.
"""

from __future__ import annotations

import contextlib
import hmac
import itertools
import os
import pickle
import queue
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn, TypeVar

T = TypeVar("T")
SILENCE = 30  # seconds without an answer of its system after which a machine counts as gone
STOPPING = 40  # seconds from a request to stop until the process ends in any case
_HEADER = struct.Struct("!cQ")  # of a frame: its kind, bytes of its content
_MESSAGE, _ERROR, _STOP, _STOP_AT, _KNOWN, _CLOSE = b"m", b"e", b"s", b"t", b"k", b"c"
_PLACE = struct.Struct("!H64s16s")  # where rank 0 listens: port, address, and a token that lets in


class _Peer:
    """A connection to another rank; the messages from it land in `received`."""

    def __init__(self, connection: socket.socket):
        self.connection, self.name = connection, ""
        self.received: queue.SimpleQueue = queue.SimpleQueue()
        self.sending = threading.Lock()
        self.gone = threading.Event()
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = {"TCP_NODELAY": 1, "TCP_KEEPIDLE": SILENCE // 3, "TCP_KEEPINTVL": SILENCE // 6, "TCP_KEEPCNT": 4}
        options["TCP_USER_TIMEOUT"] = 1000 * SILENCE
        for name, value in options.items():
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, kind: bytes, content: bytes = b"") -> None:
        with self.sending, contextlib.suppress(OSError):  # the thread that receives finds out that the peer is gone
            self.connection.sendall(_HEADER.pack(kind, len(content)))
            self.connection.sendall(content)

    def frame(self) -> tuple[bytes, bytes]:
        """Return the next (kind, content); (b"", b"") where the connection has ended."""
        try:
            kind, size = _HEADER.unpack(_read(self.connection, _HEADER.size))
            return kind, _read(self.connection, size)
        except OSError:
            return b"", b""


def _read(connection: socket.socket, size: int) -> bytes:
    content = bytearray(size)
    view, done = memoryview(content), 0
    while done < size:
        count = connection.recv_into(view[done:])
        if not count:
            raise ConnectionError("the connection has ended")
        done += count
    return bytes(content)


class _Group:
    """All ranks; `peers` are the others for rank 0, in their order, and rank 0 alone for the others."""

    def __init__(self, rank: int, size: int, name: str, peers: list[_Peer], end: Callable[[], None]):
        self.rank, self.size, self.name, self.peers, self.end = rank, size, name, peers, end
        self.failing = threading.Lock()  # held by the thread that says why this process ends
        self.stop_requested = threading.Event()
        self.stop_at: int | None = None
        self.known: queue.SimpleQueue = queue.SimpleQueue()  # an entry for each rank that knows `stop_at`
        for peer in peers:
            threading.Thread(target=self._receive, args=(peer,), daemon=True).start()

    def _receive(self, peer: _Peer) -> None:
        while True:
            kind, content = peer.frame()
            if kind == _MESSAGE:
                peer.received.put(content)
            elif kind == _ERROR:
                code, _, text = content.decode().partition(" ")
                self._end_for_another(int(code), text, peer)
            elif kind == _STOP:
                self.stop_requested.set()
            elif kind == _STOP_AT:
                self.stop_at = int(content)
                peer.send(_KNOWN)
            elif kind == _KNOWN:
                self.known.put(peer)
            elif kind == _CLOSE:
                return
            else:
                break
        text = f"{peer.name} has ended or is out of reach, so all processes end; --resume continues the training"
        self._end_for_another(1, text, peer)

    def _end_for_another(self, code: int, text: str, peer: _Peer) -> NoReturn:
        self.failing.acquire()  # for good
        peer.gone.set()  # or about to be
        self.tell_others(code, text, peer)
        with contextlib.suppress(OSError):
            os.write(2, f"error: {text}\n".encode())
        end(code)

    def tell_others(self, code: int, text: str, but: _Peer | None = None) -> None:
        for peer in self.peers:
            if peer is not but:
                peer.send(_ERROR, f"{code} {text}".encode())

    def gather(self, value: bytes) -> list[bytes]:
        if self.rank:
            self.peers[0].send(_MESSAGE, value)
            return pickle.loads(self.broadcast(b""))
        values = [value, *(peer.received.get() for peer in self.peers)]  # for as long as the peers live
        self.broadcast(pickle.dumps(values))
        return values

    def broadcast(self, value: bytes) -> bytes:
        if self.rank:
            return self.peers[0].received.get()
        for peer in self.peers:
            peer.send(_MESSAGE, value)
        return value

    def stops_after(self, step: int) -> bool:
        if self.rank == 0 and self.stop_requested.is_set() and self.stop_at is None:
            # The others are in the next step at most, which they cannot finish without this rank
            self.stop_at = step + 1
            for peer in self.peers:
                peer.send(_STOP_AT, str(self.stop_at).encode())
            for _ in self.peers:
                self.known.get()
        return self.stop_at is not None and step >= self.stop_at


_group: _Group | None = None


def join(rank: int, size: int, exchange: Callable[[bytes], bytes], end: Callable[[], None] = lambda: None) -> None:
    """Connect this process to the others of a training; from then on all end when one does, in failure or unforeseen.

    `exchange` is called by all ranks with the same number of bytes, and returns those of rank 0. `end` is called before
    this process ends because another has.
    """
    global _group
    host = socket.gethostname()
    if rank == 0:
        address, token = _own_address(), secrets.token_bytes(16)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.create_server((address, 0), family=family, backlog=size) as listener:
            exchange(_PLACE.pack(listener.getsockname()[1], address.encode(), token))
            name = f"rank 0 on {host} ({address})"
            peers = _accept(listener, size, token, name)
    else:
        port, address, token = _PLACE.unpack(exchange(bytes(_PLACE.size)))
        place = address.rstrip(b"\0").decode(), port
        connection = socket.create_connection(place, timeout=SILENCE)
        name = f"rank {rank} on {host} ({connection.getsockname()[0]})"
        connection.sendall(token)
        peers = [_Peer(connection)]
        peers[0].send(_MESSAGE, pickle.dumps((rank, name)))
        peers[0].name = peers[0].frame()[1].decode()
    _group = _Group(rank, size, name, peers, end)


def _own_address() -> str:
    """Return this machine's address on the way to the scheduler, which is the way to the other machines."""
    host, port = os.environ.get("MS_SCHED_HOST", "127.0.0.1"), int(os.environ.get("MS_SCHED_PORT", 8118))
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(place)
        return probe.getsockname()[0]


def _accept(listener: socket.socket, size: int, token: bytes, name: str) -> list[_Peer]:
    peers: dict[int, _Peer] = {}
    listener.settimeout(SILENCE)
    while len(peers) < size - 1:
        connection, _ = listener.accept()
        connection.settimeout(SILENCE)
        with contextlib.suppress(OSError):  # of somebody else, such as one who looks which ports are open
            if hmac.compare_digest(_read(connection, len(token)), token):
                peer = _Peer(connection)
                rank, peer.name = pickle.loads(peer.frame()[1])
                peer.send(_MESSAGE, name.encode())
                peers[rank] = peer
    return [peers[rank] for rank in sorted(peers)]


def own_name() -> str:
    """Return the rank of this process and its machine, for messages."""
    return _group.name if _group else "this process"


def count() -> int:
    """Return the number of ranks."""
    return _group.size if _group else 1


def gather(value: T) -> list[T]:
    """Return the values of all ranks, in their order; all must call it."""
    return list(map(pickle.loads, _group.gather(pickle.dumps(value)))) if _group else [value]


def from_first(make: Callable[[], T]) -> T:
    """Return what `make` gives on rank 0, which alone calls it."""
    if not _group:
        return make()
    return pickle.loads(_group.broadcast(b"" if _group.rank else pickle.dumps(make())))


def barrier() -> None:
    """Wait until all ranks are here, for as long as they live: a collective would not wait longer than its limit."""
    gather(None)


def share(items: Iterable[T]) -> Iterator[T]:
    """Yield the part of `items` that falls to this rank: all parts together are all items."""
    return itertools.islice(items, _group.rank, None, _group.size) if _group else iter(items)


def request_stop() -> None:
    """Ask all ranks to stop after the same step; a process that has not done so after `STOPPING` seconds ends."""
    if not _group:
        return
    if _group.rank == 0:
        _group.stop_requested.set()
    else:  # a signal's handler must not wait for the lock of whom it interrupts
        threading.Thread(target=_group.peers[0].send, args=(_STOP,), daemon=True).start()
    timer = threading.Timer(STOPPING, _end_unstopped, args=(_group,))
    timer.daemon = True
    timer.start()


def _end_unstopped(group: _Group) -> None:
    text = "was asked to end and had no time to save; --resume continues from the last checkpoint"
    leave(1, text)
    os.write(2, f"error: {group.name} {text}\n".encode())
    end(1)


def stops_after(step: int) -> bool:
    """Whether all ranks stop after so many steps, because one was asked to; all must call it after every step."""
    return _group.stops_after(step) if _group else False


def leave(code: int, text: str) -> None:
    """Let the others end too, with an exit code and a reason; waits for ever where this process is ending already."""
    if not _group:
        return
    _group.failing.acquire()  # for good
    _group.tell_others(code, f"{_group.name}: {text}")


def end(code: int) -> NoReturn:
    """End this process, after `leave`, without waiting for the others as MindSpore does."""
    if _group:
        if _group.rank:
            _group.peers[0].gone.wait(3)  # msrun kills the others of its machine when one ends: rank 0 speaks first
        _group.end()
    os._exit(code)


def close() -> None:
    """Part from the others: from then on each ends by itself."""
    for peer in _group.peers if _group else ():
        peer.send(_CLOSE)
