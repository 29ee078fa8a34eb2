import socket
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, open_connection, start_server

from twin import *


def _fed(data, limit=2**16, eof=True):
    reader = StreamReader(limit)
    reader.feed_data(data)
    if eof:
        reader.feed_eof()
    return reader


async def _read(name, coroutine):
    """Logs what a read gives."""
    try:
        log(f"{name}: {(await coroutine).decode()!r}")
    except IncompleteReadError as error:
        log(f"{name}: incomplete {error.partial.decode()!r} of {error.expected}")
    except LimitOverrunError:
        log(f"{name}: over the limit")
    except ValueError:
        log(f"{name}: the line is too long")
    except OSError as error:
        log(f"{name}: {error}")


async def read_gives_what_is_there_and_at_the_end_nothing():
    reader = _fed(b"abcdef")
    await _read("none", reader.read(0))
    await _read("two", reader.read(2))
    await _read("many", reader.read(100))
    await _read("more", reader.read(100))
    log(f"at eof: {reader.at_eof()}")
    await _read("all", _fed(b"the rest").read(-1))


async def readexactly_gives_all_or_an_error_with_what_there_was():
    reader = _fed(b"abcdef", limit=2)  # the limit does not matter
    await _read("four", reader.readexactly(4))
    await _read("none", reader.readexactly(0))
    await _read("four", reader.readexactly(4))
    await _read("rest", reader.read())


async def readuntil_includes_the_separator_and_leaves_what_is_over_the_limit():
    reader = _fed(b"one--two--three")
    await _read("first", reader.readuntil(b"--"))
    await _read("second", reader.readuntil(b"--"))
    await _read("third", reader.readuntil(b"--"))
    await _read("rest", reader.read())
    reader = _fed(b"0123456789--", limit=5)
    await _read("long", reader.readuntil(b"--"))
    await _read("still there", reader.readexactly(12))
    reader = _fed(b"0123456789", limit=5, eof=False)
    await _read("endless", reader.readuntil(b"--"))
    await _read("still there", reader.readexactly(10))


async def readuntil_takes_several_separators_of_which_the_earliest_end_wins():
    reader = _fed(b"one\r\ntwo\nthree\n")
    for name in "abc":
        await _read(name, reader.readuntil((b"\r\n", b"\n")))


async def readline_gives_lines_and_drops_those_that_are_too_long():
    reader = _fed(b"one\ntwo")
    for name in "abc":
        await _read(name, reader.readline())
    reader = _fed(b"12345\n1234567\nshort\n", limit=5)
    for name in "abc":
        await _read(name, reader.readline())
    reader = _fed(b"1234567", limit=5, eof=False)
    await _read("without an end", reader.readline())
    reader.feed_data(b"after\n")
    await _read("after", reader.readline())


async def an_error_comes_before_what_is_buffered_and_every_time():
    reader = _fed(b"abcdef\n", eof=False)
    reader.set_exception(OSError("broken"))
    await _read("read", reader.read(3))
    await _read("readline", reader.readline())
    await _read("readexactly", reader.readexactly(1))


async def a_read_that_waits_is_woken_by_what_comes_and_by_the_end():
    reader = StreamReader()

    async def reads():
        for name in "abc":
            await _read(name, reader.read(10))

    task = create_task(reads())
    await settle(2)
    for data in (b"one", b"two"):
        log(f"feeds {data.decode()}")
        reader.feed_data(data)
        await settle(3)
    log("ends")
    reader.feed_eof()
    await task


class _Notes(asyncio.Protocol):
    def __init__(self, name, lines, keep_open=False):
        self.name, self.lines, self.keep_open = name, lines, keep_open
        self.lost = future()

    def note(self, line):
        self.lines.append(f"{self.name} {line}")

    def connection_made(self, transport):
        self.transport = transport
        self.note("made")

    def data_received(self, data):
        self.note(f"data {data.decode()}")
        if self.name == "server":
            self.transport.write(data.upper())

    def eof_received(self):
        self.note("eof")
        return self.keep_open

    def connection_lost(self, error):
        self.note(f"lost {error}")
        self.lost.set_result(None)


async def _connected(keep_open):
    """A server's protocol and a client's at the two ends of a pair of sockets."""
    loop, lines = asyncio.get_running_loop(), []
    here, there = socket.socketpair()
    _, server = await loop.connect_accepted_socket(lambda: _Notes("server", lines, keep_open), here)
    _, client = await loop.connect_accepted_socket(lambda: _Notes("client", lines), there)
    return server, client, lines


def _log_sides(lines):
    """Side by side: which comes first among the two is the kernel's."""
    for line in sorted(lines, key=lambda line: line.split()[0]):
        log(line)


async def a_protocol_hears_of_its_connection_in_order():
    server, client, lines = await _connected(keep_open=False)
    client.transport.write(b"hello")
    client.transport.write_eof()
    await server.lost
    await client.lost
    _log_sides(lines)


async def a_protocol_that_keeps_its_side_open_may_still_write():
    server, client, lines = await _connected(keep_open=True)
    client.transport.write_eof()
    while len(lines) < 3:
        await sleep(0)
    server.transport.write(b"still here")
    server.transport.close()
    await server.lost
    await client.lost
    _log_sides(lines)


async def an_aborted_transport_loses_its_connection_in_a_later_turn():
    server, client, lines = await _connected(keep_open=False)
    server.transport.abort()
    log(f"closing {server.transport.is_closing()}, lost {server.lost.done()}")
    server.transport.abort()  # once more changes nothing
    await server.lost
    await client.lost
    _log_sides(lines)


async def _server(callback):
    server = await start_server(callback, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def _until_it_ends(reader, writer):
    writer.write(b"hello")
    await reader.read()
    writer.close()


async def a_closed_server_keeps_its_connections_and_is_waited_for_until_the_last_one_is_gone():
    server, port = await _server(_until_it_ends)
    reader, writer = await open_connection("127.0.0.1", port)
    await _read("greeting", reader.readexactly(5))
    log(f"serving {server.is_serving()}")
    server.close()
    server.close()  # once more changes nothing
    log(f"serving {server.is_serving()}")
    waiter = create_task(server.wait_closed())
    await settle(20)
    log(f"waited for {waiter.done()}")
    writer.write_eof()
    await waiter
    log("closed")
    await _read("the end", reader.read())
    writer.close()


async def serve_forever_ends_with_its_request_and_closes_the_server():
    server, port = await _server(_until_it_ends)
    task = create_task(server.serve_forever())
    await settle(5)
    try:
        await server.serve_forever()
    except RuntimeError:
        log("twice is an error")
    task.cancel()
    await outcome("serve_forever", task)
    log(f"serving {server.is_serving()}")
    try:
        await server.serve_forever()
    except RuntimeError:
        log("on a closed one it is an error")


run_scenarios(globals(), asyncio.SelectorEventLoop)
