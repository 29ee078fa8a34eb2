"""How many turns of the loop lie between a cause and its effect: prints `hops.txt`, whose numbers `conformance/hops.rs`
asserts of ours. Run by a test where a CPython is found.

    python3.13 tests/reference/hops.py
"""

import asyncio
import time
from asyncio import create_task, current_task, gather, get_running_loop, shield, sleep, timeout, wait_for


class Hops:
    """Counts turns; started by the trigger before it acts, so that the count comes first in every later turn."""

    def start(self):
        self.count, self.counting = 0, True
        get_running_loop().call_soon(self.tick)

    def tick(self):
        if self.counting:
            self.count += 1
            get_running_loop().call_soon(self.tick)

    def stop(self):
        self.counting = False
        return self.count


def future():
    return get_running_loop().create_future()


async def nothing():
    pass


async def awaits(awaitable):
    return await awaitable


async def group(*children, fails=False):
    async with asyncio.TaskGroup() as tasks:
        for child in children:
            tasks.create_task(child)
        if fails:
            await future()


async def group_body_awaits(child):
    async with asyncio.TaskGroup() as tasks:
        await tasks.create_task(child)


async def fails_after(awaitable):
    await awaitable
    raise ValueError


async def within(seconds, make):
    async with timeout(seconds):
        await make()


async def from_trigger(name, make, trigger):
    """Turns from the trigger to the resumption of who awaits `make()`."""
    hops = Hops()

    async def waiter():
        try:
            await make()
        except BaseException:
            pass
        print(f"{name}: {hops.stop()}")

    task = create_task(waiter())
    for _ in range(5):
        await sleep(0)
    get_running_loop().call_soon(lambda: (hops.start(), trigger(task)))
    await asyncio.wait([task])


async def after_set(name, make):
    awaited = future()
    await from_trigger(name, lambda: make(awaited), lambda _: awaited.set_result(None))


async def after_cancel(name, make):
    await from_trigger(f"cancelled: {name}", make, lambda task: task.cancel())


async def of_await(name, make):
    hops = Hops()
    hops.start()
    try:
        await make()
    except TimeoutError:
        pass
    print(f"{name}: {hops.stop()}")


async def from_deadline(name, make):
    """Turns from the deadline of a timeout to where its awaiter goes on."""
    hops, loop = Hops(), get_running_loop()
    when = loop.time() + 0.1

    async def waiter():
        try:
            async with asyncio.timeout_at(when):
                await make()
        except TimeoutError:
            print(f"deadline: {name}: {hops.stop()}")

    task = create_task(waiter())
    for _ in range(3):
        await sleep(0)
    loop.call_at(when - 0.001, time.sleep, 0.01)  # so that both are due in one turn
    loop.call_at(when - 0.0005, hops.start)
    await task


async def main():
    await after_set("future", awaits)
    await after_set("task", lambda f: create_task(awaits(f)))
    await after_set("gather", lambda f: gather(awaits(f)))
    await after_set("wait_for(future)", lambda f: wait_for(f, 10))
    await after_set("wait_for(task)", lambda f: wait_for(create_task(awaits(f)), 10))
    await after_set("shield", lambda f: shield(create_task(awaits(f))))
    await after_set("group", lambda f: group(awaits(f)))
    await after_set("group, body awaits the child", lambda f: group_body_awaits(awaits(f)))
    await after_set("group, child fails", lambda f: group(fails_after(f), fails=True))
    for name, make in [
        ("sleep", lambda: sleep(100)),
        ("timeout", lambda: within(10, future)),
        ("shield", lambda: shield(create_task(awaits(future())))),
        ("task", lambda: create_task(awaits(future()))),
        ("gather", lambda: gather(awaits(future()), awaits(future()))),
        ("group", lambda: group(awaits(future()))),
    ]:
        await after_cancel(name, make)
        if name != "timeout":
            await from_deadline(name, make)
    done = future()
    done.set_result(None)
    ended = create_task(nothing())
    await ended
    await of_await("sleep(0)", lambda: sleep(0))
    await of_await("new task", lambda: create_task(nothing()))
    await of_await("gather of one that does nothing", lambda: gather(nothing()))
    await of_await("group of one that does nothing", lambda: group(nothing()))
    await of_await("shield of a coroutine that does nothing", lambda: shield(nothing()))
    await of_await("wait_for(coroutine)", lambda: wait_for(nothing(), 1))
    await of_await("wait_for(new task)", lambda: wait_for(create_task(nothing()), 1))
    await of_await("timeout(0)", lambda: within(0, future))
    await of_await("wait_for(future, 0)", lambda: wait_for(future(), 0))
    for name, make in [
        ("done future", lambda: done),
        ("ended task", lambda: ended),
        ("gather()", gather),
        ("gather(ended)", lambda: gather(ended)),
        ("shield(ended)", lambda: shield(ended)),
        ("wait_for(done)", lambda: wait_for(done, 1)),
        ("empty group", group),
    ]:
        await of_await(name, make)


asyncio.run(main())
