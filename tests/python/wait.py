from asyncio import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, as_completed, wait

from twin import *


def _named(*tasks):
    for name, task in zip("abcdefgh", tasks):
        task.set_name(name)
    return tasks


def _names(tasks):
    """Sorted: the order of a set is undefined in Python (S80)."""
    return f"[{', '.join(sorted(task.get_name() for task in tasks))}]"


async def _waits(tasks, **options):
    done, pending = await wait(tasks, **options)
    log(f"{now()}: done {_names(done)}, pending {_names(pending)}")


def _three():
    return _named(create_task(works("a", 1)), create_task(fails("b", 2)), create_task(works("c", 3)))


async def what_is_done_and_what_is_not_comes_back_and_no_error():
    await _waits(_three())


async def the_first_one_that_ends_in_any_way_is_enough():
    await _waits(_three(), return_when=FIRST_COMPLETED)
    tasks = _named(create_task(hangs("a")), create_task(works("b", 5)))
    await settle(1)
    asyncio.get_running_loop().call_later(1, tasks[0].cancel)
    await _waits(tasks, return_when=FIRST_COMPLETED)
    tasks = _named(create_task(fails("a", 1)), create_task(works("b", 5)))
    await _waits(tasks, return_when=FIRST_COMPLETED)


async def the_first_error_is_enough_and_a_cancellation_is_none():
    a = create_task(hangs("a"))
    tasks = _named(a, create_task(works("b", 2)), create_task(fails("c", 3)), create_task(works("d", 4)))
    asyncio.get_running_loop().call_later(1, a.cancel)
    await _waits(tasks, return_when=FIRST_EXCEPTION)
    await _waits(_named(create_task(works("a", 1)), create_task(works("b", 2))), return_when=FIRST_EXCEPTION)


async def what_ends_before_the_waiter_goes_on_is_done_too():
    a, b = future(), future()

    async def awaits(f):
        await f

    tasks = _named(create_task(awaits(a)), create_task(awaits(b)))
    await settle(1)

    def first():
        a.set_result(None)
        asyncio.get_running_loop().call_soon(b.set_result, None)  # ends a turn later

    asyncio.get_running_loop().call_later(1, first)
    await _waits(tasks, return_when=FIRST_COMPLETED)


async def when_the_time_is_over_nothing_is_cancelled():
    tasks = _three()
    await _waits(tasks, timeout=2.5)
    await _waits(tasks, timeout=10)
    tasks = _named(create_task(works("a", 0)), create_task(works("b", 1)))
    await _waits(tasks, timeout=0)
    await _waits(tasks, timeout=None)


async def cancelling_the_waiter_leaves_the_children():
    tasks = _named(create_task(works("a", 1)), create_task(works("b", 2)))
    waiter = create_task(outcome("wait", wait(tasks)))
    await settle(2)
    waiter.cancel()
    await waiter
    log(f"count {waiter.cancelling()}, {tasks[0].cancelling()}")
    await sleep(3)


async def it_takes_two_turns_though_all_have_ended():
    tasks = _named(create_task(works("a", 0)))
    await settle(3)
    ticks(4)
    await wait(tasks)
    log("waited")
    await settle(3)


async def tasks_come_in_the_order_of_their_ends():
    tasks = _named(create_task(works("slow", 3, 1)), create_task(works("fast", 1, 2)), create_task(works("middle", 2, 3)))
    async for task in as_completed(tasks):
        log(f"{now()}: {task.get_name()} {task in tasks}, {await task}")


async def futures_become_tasks_at_the_call():
    completed = as_completed([works("a", 2, 1), works("b", 1, 2)])
    await sleep(5)
    log("only now")
    async for task in completed:
        log(told(await task))


async def a_failing_child_does_not_end_the_iteration():
    tasks = _named(create_task(fails("a", 1)), create_task(hangs("b")), create_task(works("c", 3, 3)))
    asyncio.get_running_loop().call_later(2, tasks[1].cancel)
    async for task in as_completed(tasks):
        await outcome(task.get_name(), task)


async def the_iteration_can_be_left_and_resumed():
    completed = as_completed([works("a", 1, 1), works("b", 2, 2), works("c", 3, 3)])
    async for task in completed:
        log(f"first {await task}")
        break
    await sleep(5)
    async for task in completed:
        log(f"then {await task}")


async def when_the_time_is_over_the_iteration_ends_and_the_children_go_on():
    completed = as_completed([works("a", 1, 1), works("b", 2, 2), works("c", 4, 3)], timeout=3)
    try:
        async for task in completed:
            log(f"{now()}: {await task}")
    except TimeoutError:
        log(f"{now()}: TimeoutError")
    await sleep(5)


async def what_has_ended_already_comes_before_the_end_of_the_time():
    completed = as_completed([works("a", 1, 1), works("b", 2, 2), works("c", 9, 3)], timeout=3)
    await sleep(5)
    try:
        async for task in completed:
            log(f"{now()}: {await task}")
    except TimeoutError:
        log(f"{now()}: TimeoutError")


run_scenarios(globals())
