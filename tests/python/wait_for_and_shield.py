from asyncio import shield, wait_for

from twin import *


async def what_is_no_task_runs_in_the_callers():
    caller = current_task()

    async def inner():
        await sleep(1)
        log(f"same task: {current_task() is caller}")
        return 7

    await outcome("wait_for", wait_for(inner(), 2))
    await outcome("without limit", wait_for(inner(), None))


async def at_the_end_of_the_time_it_cancels_and_waits():
    task = create_task(cleans("inner", 5))
    await outcome("wait_for", wait_for(task, 2))
    log(f"{now()}, inner cancelled: {task.cancelled()}, count {me()}")


async def a_task_that_swallows_the_end_of_the_time_gives_its_value():
    await outcome("wait_for", wait_for(create_task(swallows("inner", 5, 7)), 2))
    log(f"{now()}, count {me()}")


async def a_failure_in_the_cleanup_replaces_the_timeout():
    await outcome("wait_for", wait_for(create_task(fails_in_cleanup("inner", 5)), 2))
    log(f"{now()}, count {me()}")


async def without_any_time_what_is_done_gives_its_result():
    f = future()
    f.set_result(7)
    await outcome("future", wait_for(f, 0))
    task = create_task(works("inner", 0, 8))
    await settle(2)
    await outcome("task", wait_for(task, 0))
    await outcome("negative", wait_for(task, -1))


async def without_any_time_a_running_task_is_cancelled_and_awaited():
    task = create_task(cleans("inner", 5))
    await settle(1)
    await outcome("wait_for", wait_for(task, 0))
    log(now())
    task = create_task(swallows("other", 5, 7))
    await settle(1)
    await outcome("wait_for", wait_for(task, 0))
    log(now())


async def without_any_time_what_has_not_begun_never_begins():
    async def body():
        log("never")
        return 7

    await outcome("coroutine", wait_for(body(), 0))
    await outcome("task", wait_for(create_task(body()), 0))
    log(f"count {me()}")


async def a_result_that_was_not_taken_when_the_time_was_over_is_lost():
    f = future()
    loop = asyncio.get_running_loop()
    loop.call_later(1, skip, 5)
    loop.call_later(2, lambda: (log("result"), f.set_result(7)))  # due in the same turn as the deadline
    await outcome("wait_for", wait_for(f, 3))
    log(told(f.result()))


async def a_result_that_was_taken_in_time_is_kept():
    f = future()
    loop = asyncio.get_running_loop()
    loop.call_later(2, f.set_result, 7)
    await outcome("wait_for", wait_for(f, 2.5))


async def a_result_set_after_the_deadline_in_the_same_turn_is_refused():
    f = future()
    loop = asyncio.get_running_loop()

    def sets():
        try:
            f.set_result(7)
            log("accepted: True")
        except asyncio.InvalidStateError:
            log("accepted: False")

    loop.call_later(1, skip, 5)
    loop.call_later(3, sets)
    await outcome("wait_for", wait_for(f, 2))
    log(f"cancelled: {f.cancelled()}")


async def a_request_from_outside_goes_to_the_inner_task_and_is_no_timeout():
    inner = create_task(cleans("inner", 5))
    task = create_task(outcome("wait_for", wait_for(inner, 100)))
    await settle(2)
    task.cancel()
    await task
    log(f"{now()}, count {task.cancelling()}, inner {inner.cancelling()}")


async def a_shield_ends_at_once_and_its_task_goes_on():
    inner = create_task(works("inner", 3, 7))
    task = create_task(outcome("shield", shield(inner)))
    await settle(2)
    ticks(2)
    task.cancel()
    await task
    log(f"{now()}, inner {inner.cancelling()}")
    await outcome("inner", inner)


async def a_shielded_task_survives_a_timeout():
    inner = create_task(works("inner", 3, 7))
    await outcome("wait_for", wait_for(shield(inner), 1))
    log(now())
    await outcome("inner", inner)


async def without_any_time_the_shield_of_what_is_done_gives_its_result():
    done = create_task(works("inner", 0, 7))
    await settle(2)
    await outcome("task", wait_for(shield(done), 0))
    f = future()
    f.set_result(8)
    await outcome("future", wait_for(shield(f), -1))


async def without_any_time_the_shield_of_a_running_task_ends_and_the_task_goes_on():
    inner = create_task(works("inner", 3, 7))
    await settle(1)
    ticks(5)
    await outcome("wait_for", wait_for(shield(inner), 0))
    log(f"{now()}, inner {inner.cancelling()}, count {me()}")
    await outcome("inner", inner)


async def without_any_time_a_shielded_coroutine_becomes_a_task_that_survives():
    await outcome("wait_for", wait_for(shield(works("inner", 3)), 0))
    await sleep(4)


async def a_request_while_the_shield_without_any_time_ends_is_no_timeout():
    inner = create_task(works("inner", 3, 7))
    task = create_task(outcome("wait_for", wait_for(shield(inner), 0)))
    await settle(1)
    task.cancel()
    await task
    log(f"{now()}, inner {inner.cancelling()}")
    await outcome("inner", inner)


async def a_shield_whose_task_is_cancelled_by_others_is_cancelled():
    inner = create_task(cleans("inner", 1))
    task = create_task(outcome("shield", shield(inner)))
    await settle(2)
    inner.cancel()
    await task
    log(f"{now()}, count {task.cancelling()}")


async def a_shield_of_what_is_done_takes_no_turn():
    inner = create_task(works("inner", 0, 7))
    await settle(2)
    ticks(1)
    await outcome("shield", shield(inner))
    await settle(1)


async def a_shielded_coroutine_becomes_a_task_that_survives():
    task = create_task(outcome("shield", shield(works("inner", 3))))
    await settle(2)
    task.cancel()
    await task
    await sleep(4)


async def a_shield_in_a_group_keeps_its_task_from_the_groups_end():
    inner = create_task(works("inner", 3, 7))

    async def child():
        await shield(inner)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
            group.create_task(fails("sibling", 1))
    except* Failure as group:
        log(told(group))
    log(now())
    await outcome("inner", inner)


run_scenarios(globals())
