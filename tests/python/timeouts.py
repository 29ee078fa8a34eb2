from asyncio import timeout, timeout_at

from twin import *


async def _within(when, body):
    async with timeout_at(when) if when is not None else timeout(None):
        return await body


async def _limited(delay, body):
    async with timeout(delay):
        return await body


async def without_limit_it_never_ends():
    await outcome("timeout", _limited(None, works("body", 1000, 7)))
    log(now())


async def it_takes_a_time_of_the_loop():
    await sleep(5)
    await outcome("timeout_at", _within(7, hangs("body")))
    log(now())


async def leaving_takes_its_timer_back_even_when_that_is_due():
    loop = asyncio.get_running_loop()
    f = future()
    loop.call_later(1, skip, 5)
    loop.call_later(2, lambda: (log("result"), f.set_result(7)))

    async def body():
        async with timeout(100):
            await f
        log(f"left, count {me()}")

    await outcome("body", body())
    await sleep(200)
    log(f"count {me()}")


async def a_time_that_is_over_from_the_start_disturbs_only_what_suspends():
    await sleep(5)
    await outcome("ready", _within(2, _ready()))
    await outcome("suspends", _within(2, hangs("body")))
    await outcome("none left", _limited(0, _ready()))
    await outcome("none left", _limited(0, hangs("body")))
    await outcome("negative", _limited(-1, hangs("body")))
    log(f"{now()}, count {me()}")


async def _ready():
    return 7


async def its_request_counts_inside_and_not_after():
    async def body():
        try:
            await sleep(100)
        finally:
            log(f"inside {me()}")

    await outcome("timeout", _limited(1, body()))
    log(f"after {me()}")


async def a_request_from_outside_wins_over_the_timeout():
    async def inside(first):
        try:
            await _limited(2, cleans("body", 3))
        except BaseException as error:
            log(f"{told(error)}, count {me()}")

    for request_first in (True, False):
        task = create_task(inside(request_first))
        await settle(1)
        await sleep(1 if request_first else 3)
        task.cancel()
        await task
        log(now())


async def a_request_in_the_turn_of_the_deadline_wins():
    loop = asyncio.get_running_loop()

    async def inside():
        try:
            await _limited(2, hangs("body"))
        except BaseException as error:
            log(f"{told(error)}, count {me()}")

    for due in (1.5, 2.5):
        start = loop.time()
        task = create_task(inside())
        await settle(1)
        loop.call_at(start + 1, skip, 5)
        loop.call_at(start + due, lambda: log(f"request: {task.cancel()}"))
        await task


async def a_body_that_swallows_the_end_of_its_time_gives_its_value():
    await outcome("timeout", _limited(1, swallows("body", 3, 7)))
    log(f"{now()}, count {me()}")


async def another_error_replaces_the_timeout():
    await outcome("timeout", _limited(1, fails_in_cleanup("body", 3)))
    log(f"{now()}, count {me()}")


async def a_timeout_in_a_cleanup_works():
    async def inside():
        try:
            await sleep(100)
        except CancelledError:
            log(f"cleanup, count {me()}")
            await outcome("cleanup", _limited(2, hangs("goodbye")))
            log(f"{now()}, count {me()}")
            raise

    task = create_task(inside())
    await settle(1)
    task.cancel()
    await outcome("task", task)


async def of_nested_timeouts_that_end_together_the_outer_one_is_over():
    async def inner():
        await outcome("inner", _limited(2, hangs("body")))
        log(f"in between, count {me()}")

    async def passes():
        try:
            return await _limited(2, hangs("body"))
        except CancelledError:
            log(f"passes the inner one, count {me()}")
            raise

    await outcome("outer", _limited(2, passes()))
    log(f"{now()}, count {me()}")


async def an_inner_timeout_leaves_the_outer_one_alone():
    async def body():
        await outcome("inner", _limited(1, hangs("body")))
        log(f"{now()}, count {me()}")
        await hangs("after")

    await outcome("outer", _limited(5, body()))
    log(f"{now()}, count {me()}")


async def an_outer_timeout_passes_an_inner_one():
    async def body():
        try:
            await _limited(5, cleans("body", 1))
        except BaseException as error:
            log(f"inner: {told(error)}, count {me()}")
            raise

    await outcome("outer", _limited(1, body()))
    log(f"{now()}, count {me()}")


async def an_outer_timeout_during_the_cleanup_for_an_inner_one():
    async def body():
        try:
            await _limited(1, cleans("body", 100))
        except BaseException as error:
            log(f"inner: {told(error)}, count {me()}")
            raise

    await outcome("outer", _limited(5, body()))
    log(f"{now()}, count {me()}")


async def a_timeout_waits_for_the_task_it_cancelled():
    await outcome("timeout", _limited(1, create_task(cleans("child", 3))))
    log(now())


async def a_deadline_can_be_moved_while_the_body_runs():
    async with timeout(None) as limit:
        log(told(limit.when()))
        limit.reschedule(5)
        await sleep(4)
        limit.reschedule(8)
        await sleep(3)
        limit.reschedule(None)
        await sleep(100)
        log(f"expired: {limit.expired()}")
    log(now())
    try:
        async with timeout(100) as limit:
            limit.reschedule(asyncio.get_running_loop().time() + 1)
            await hangs("body")
    except TimeoutError:
        log(f"{now()}, expired: {limit.expired()}")


async def a_deadline_moved_to_the_past_is_over_two_turns_later():
    async def body(limit):
        await sleep(1)
        ticks(3)
        limit.reschedule(0)
        await hangs("body")

    try:
        async with timeout(100) as limit:
            await body(limit)
    except TimeoutError:
        log("over")
    await settle(3)


async def a_deadline_cannot_be_moved_before_and_after():
    limit = timeout(1)
    for state in ("before", "after"):
        try:
            limit.reschedule(5)
        except RuntimeError:
            log(f"refused {state}")
        if state == "before":
            try:
                async with limit:
                    try:
                        await sleep(100)
                    finally:
                        log(f"expired: {limit.expired()}")
                        try:
                            limit.reschedule(5)
                        except RuntimeError:
                            log("refused while it ends")
            except TimeoutError:
                log("over")


run_scenarios(globals())
