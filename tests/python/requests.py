from twin import *


async def a_request_runs_none_of_the_tasks_code():
    task = create_task(hangs("task"))
    await settle(1)
    log(f"accepted: {task.cancel()}")
    log(f"done: {task.done()}")
    await settle(1)
    log(f"cancelled: {task.cancelled()}")
    log(f"accepted: {task.cancel()}, count {task.cancelling()}")


async def a_task_asked_before_its_first_step_never_runs():
    task = create_task(cleans("task", 5))
    waits = create_task(outcome("waits", task))
    ticks(3)
    task.cancel()
    log(f"cancelled: {task.cancelled()}")
    await waits
    log(now())
    await settle(3)


async def what_a_task_waits_for_is_cancelled_at_once_and_the_task_goes_on_a_turn_later():
    waited_for = future()
    task = create_task(outcome("task", waited_for))
    await settle(1)
    ticks(2)
    task.cancel()
    log(f"future cancelled: {waited_for.cancelled()}")
    await settle(2)


async def a_request_wins_over_a_result_that_was_not_taken_yet():
    waited_for = future()
    task = create_task(outcome("task", waited_for))
    await settle(1)
    waited_for.set_result(1)  # the task is queued to resume
    task.cancel()
    await task
    log(f"the future keeps {waited_for.result()}")


async def who_asks_itself_goes_on_until_it_suspends():
    async def itself():
        current_task().cancel()
        settled = future()
        settled.set_result(7)
        log(f"passes {await settled}")
        await outcome("itself", sleep(0))
        log(f"count {me()}")
        await sleep(1)  # not disturbed
        return "fine"

    await outcome("task", create_task(itself()))
    log(now())


async def who_returns_without_suspending_after_a_request_is_cancelled():
    async def itself():
        current_task().cancel()
        return "fine"

    await outcome("task", create_task(itself()))


async def a_second_request_ends_the_cleanup_and_the_count_is_two():
    task = create_task(cleans("task", 5))
    await settle(1)
    task.cancel()
    await sleep(1)
    task.cancel()
    await outcome("waits", task)
    log(f"{now()}, count {task.cancelling()}")


async def several_requests_before_it_hears_of_one_are_one_cancellation():
    task = create_task(cleans("task", 5))
    await settle(1)
    log(f"{task.cancel()} {task.cancel()} {task.cancel()}")
    await outcome("waits", task)
    log(f"{now()}, count {task.cancelling()}")


async def unwinding_goes_outwards_and_every_cleanup_is_awaited():
    async def level(name, inner):
        try:
            await inner
        finally:
            log(f"{name} cleans up")
            await sleep(1)
            log(f"{name} clean")

    task = create_task(level("outer", level("middle", hangs("inner"))))
    await settle(1)
    task.cancel()
    await outcome("task", task)
    log(now())


async def a_failure_and_a_value_in_the_cleanup_are_the_outcome():
    fails = create_task(fails_in_cleanup("fails", 1))
    returns = create_task(swallows("returns", 2, 7))
    await settle(1)
    fails.cancel()
    returns.cancel()
    await outcome("fails", fails)
    await outcome("returns", returns)
    log(f"{returns.cancelled()}, count {returns.cancelling()}")


async def a_future_that_others_cancel_is_no_request_to_who_waits_for_it():
    waited_for = future()

    async def waits():
        await outcome("waits", waited_for)
        log(f"count {me()}")
        return "fine"

    task = create_task(waits())
    await settle(1)
    waited_for.cancel()
    await outcome("task", task)


run_scenarios(globals())
