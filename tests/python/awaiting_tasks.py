from twin import *


async def a_request_goes_on_to_the_awaited_task_and_the_awaiter_waits_for_its_end():
    inner = create_task(cleans("inner", 5))
    outer = create_task(outcome("outer", inner))
    await settle(2)
    ticks(3)
    outer.cancel()
    log(f"outer {outer.cancelling()}, inner {inner.cancelling()}")
    await settle(3)
    log(f"outer done: {outer.done()}")
    await outer
    log(now())


async def a_chain_of_tasks_ends_from_its_end():
    a = create_task(hangs("a"))
    b = create_task(outcome("b", a))
    c = create_task(outcome("c", b))
    d = create_task(outcome("d", c))
    await settle(4)
    ticks(6)
    d.cancel()
    await settle(6)
    log(f"{a.cancelling()} {b.cancelling()} {c.cancelling()} {d.cancelling()}")


async def a_task_that_swallows_the_request_gives_its_value():
    async def outer():
        value = await create_task(swallows("inner", 5, 7))
        log(f"outer goes on with {value}, count {me()}")
        await sleep(1)  # not disturbed
        return "fine"

    task = create_task(outer())
    await settle(2)
    task.cancel()
    await outcome("outer", task)
    log(now())


async def a_failure_in_the_cleanup_of_the_awaited_task_is_the_awaiters():
    inner = create_task(fails_in_cleanup("inner", 5))
    outer = create_task(outcome("outer", inner))
    await settle(2)
    outer.cancel()
    await outer
    log(now())


async def a_task_cancelled_by_others_is_no_request_to_its_awaiter():
    async def outer(inner):
        await outcome("outer", inner)
        log(f"count {me()}")

    inner = create_task(hangs("inner"))
    outer = create_task(outer(inner))
    await settle(2)
    inner.cancel()
    await outer


async def a_second_request_goes_on_as_well():
    inner = create_task(cleans("inner", 5))
    outer = create_task(outcome("outer", inner))
    await settle(2)
    outer.cancel()
    await sleep(1)
    outer.cancel()
    log(f"outer {outer.cancelling()}, inner {inner.cancelling()}")
    await outer
    log(now())


async def a_request_wins_over_the_end_of_the_awaited_task():
    inner = create_task(works("inner", 1, 7))
    inner.add_done_callback(lambda _: log(f"accepted: {outer.cancel()}"))  # comes before the awaiter's own
    outer = create_task(outcome("outer", inner))
    await outer


async def what_is_awaited_without_a_task_hears_of_the_request_itself():
    async def innermost():
        await cleans("innermost", 5)

    async def middle():
        try:
            await innermost()
        except CancelledError:
            log(f"middle, count {me()}")
            raise

    task = create_task(middle())
    await settle(2)
    task.cancel()
    await outcome("task", task)
    log(now())


async def a_task_that_is_cancelled_before_it_awaits_another_asks_that_one():
    inner = create_task(cleans("inner", 5))

    async def outer():
        current_task().cancel()
        await outcome("outer", inner)
        log(now())

    await settle(1)
    await create_task(outer())


run_scenarios(globals())
