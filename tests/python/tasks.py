from asyncio import all_tasks, gather

from twin import *


def _names():
    return told(sorted(task.get_name() for task in all_tasks()))


async def a_task_starts_when_its_creator_suspends_and_tasks_start_in_order():
    async def body(line):
        log(line)

    tasks = [create_task(body(line)) for line in ["a", "b"]]
    asyncio.get_running_loop().call_soon(log, "callback")
    log("creator")
    await sleep(0)
    log(f"creator again, {tasks[1].done()}")


async def a_task_ends_with_its_value_or_its_failure():
    await outcome("value", create_task(works("inner", 1, 5)))
    task = create_task(fails("inner", 1))
    await outcome("failure", task)
    log(f"{task.done()} {task.cancelled()}")


async def a_raised_cancellation_ends_the_task_cancelled_though_nobody_asked():
    async def raises():
        raise CancelledError

    task = create_task(raises())
    await outcome("task", task)
    log(f"{task.done()} {task.cancelled()} {task.cancelling()}, awaiter {me()}")


async def current_task_is_the_one_being_stepped_and_none_in_a_callback():
    current_task().set_name("main")

    async def body():
        log(current_task().get_name())
        await sleep(0)
        log(current_task().get_name())

    task = create_task(body(), name="task")
    asyncio.get_running_loop().call_soon(lambda: log(f"in a callback: {current_task() is None}"))
    task.add_done_callback(lambda _: log(f"in a done callback: {current_task() is None}"))
    await task
    log(current_task().get_name())


async def all_tasks_holds_those_that_have_not_ended():
    current_task().set_name("main")
    ends = create_task(sleep(0), name="ends")
    stays = create_task(hangs("stays"), name="stays")
    log(_names())
    ends.add_done_callback(lambda _: log(f"callback: {_names()}"))
    await settle(2)
    log(_names())
    await settle(1)
    stays.cancel()
    log(_names())
    await settle(1)
    log(_names())


async def done_callbacks_of_a_task_run_in_order_in_the_turn_after_its_end():
    async def body():
        log("task")

    task = create_task(body())

    def removed(_):
        log("removed")

    task.add_done_callback(lambda _: log("first"))
    task.add_done_callback(removed)
    task.add_done_callback(lambda _: log("second"))
    log(f"{task.remove_done_callback(removed) > 0} {task.remove_done_callback(removed) > 0}")
    await settle(1)
    log("same turn")
    await settle(1)
    task.add_done_callback(lambda _: log("added when done"))
    log("not at once")
    await settle(1)


async def the_tasks_of_a_gather_start_in_order_before_it_is_awaited():
    async def body(line):
        log(line)

    gathering = gather(body("a"), body("b"))
    log("made")
    await settle(1)
    log("not awaited yet")
    await gathering


run_scenarios(globals())
