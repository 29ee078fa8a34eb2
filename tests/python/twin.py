"""The vocabulary of the twins, and what runs them: virtual time, a trace on standard output.

Each file beside this one holds the twins of one file of tests in `../conformance`: a coroutine function is the twin of
the test of the same name, and both must give the trace in the `.trace` file. Needs CPython 3.13 or later.

    python3.13 tests/python/gather.py
"""

import asyncio
import sys
from asyncio import CancelledError, create_task, current_task, sleep


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next deadline whenever there is nothing else to do."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self._clock_resolution = 1e-9
        select = self._selector.select

        def select_or_jump(timeout):
            if timeout is None:
                raise RuntimeError("nothing will ever happen again")
            self.now += timeout
            return select(0)

        self._selector.select = select_or_jump

    def time(self):
        return self.now


class OrderedSet(dict):
    def add(self, item):
        self[item] = None

    def discard(self, item):
        self.pop(item, None)


def new_group(self, init=asyncio.TaskGroup.__init__):
    init(self)
    self._tasks = OrderedSet()  # children are cancelled in the order of creation (S118); CPython's is a set's


asyncio.TaskGroup.__init__ = new_group


class Failure(Exception):
    pass


printing = True


def log(line):
    if printing:
        print(f"    {line}")


def now():
    return f"{asyncio.get_running_loop().time():g}s"


def skip(seconds):
    """As if somebody had blocked the loop for so long."""
    asyncio.get_running_loop().now += seconds


def told(value):
    if isinstance(value, BaseExceptionGroup):
        return f"ExceptionGroup({', '.join(map(told, value.exceptions))})"
    if isinstance(value, Failure):
        return f"Failure({value})"
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, list):
        return f"[{', '.join(map(told, value))}]"
    return str(value)


def future():
    return asyncio.get_running_loop().create_future()


def me():
    return current_task().cancelling()


async def settle(turns):
    for _ in range(turns):
        await sleep(0)


def ticks(count):
    """Logs the turns that follow."""

    async def tick():
        for turn in range(count):
            log(f"turn {turn}")
            await sleep(0)

    return create_task(tick())


async def outcome(name, awaitable):
    """Awaits something and logs what came of it."""
    try:
        log(f"{name}: {told(await awaitable)}")
    except BaseException as error:
        log(f"{name}: {told(error)}")


async def works(name, delay, value=None):
    await sleep(delay)
    log(f"{name} done")
    return value


async def fails(name, delay):
    await sleep(delay)
    log(f"{name} fails")
    raise Failure(name)


async def hangs(name):
    """Waits for ever, and ends when cancelled."""
    try:
        await sleep(10000)
    except CancelledError:
        log(f"{name} cancelled")
        raise


async def cleans(name, delay):
    """Waits for ever; when cancelled, takes a while to clean up."""
    try:
        await sleep(10000)
    except CancelledError:
        log(f"{name} cleans up")
        await sleep(delay)
        log(f"{name} clean")
        raise


async def swallows(name, delay, value=None):
    """Waits for ever; when cancelled, returns a value after a while."""
    try:
        await sleep(10000)
    except CancelledError:
        log(f"{name} swallows")
        await sleep(delay)
        return value


async def fails_in_cleanup(name, delay):
    """Waits for ever; when cancelled, fails after a while."""
    try:
        await sleep(10000)
    except CancelledError:
        await fails(name, delay)


def run_scenarios(scope, loop_factory=VirtualLoop):
    """Runs the coroutine functions that a file defines, in order; what waits for sockets on a loop of real time."""
    global printing
    for name, scenario in list(scope.items()):
        if asyncio.iscoroutinefunction(scenario) and scenario.__module__ == "__main__" and not name.startswith("_"):
            print(name)
            printing = True
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                async def main():
                    global printing
                    await scenario()
                    printing = False  # what is left is cancelled now, which the tests do not look at

                # What nobody retrieved is reported as garbage; the traces say what matters.
                runner.get_loop().set_exception_handler(lambda loop, context: None)
                runner.run(main())
    sys.stdout.flush()
