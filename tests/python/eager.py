from asyncio import gather
from contextvars import ContextVar

from twin import *

V = ContextVar("v")


def _eager(coroutine, **options):
    return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True, **options)


async def the_first_step_runs_inside_the_call_up_to_its_first_suspension():
    async def body():
        log(f"{current_task().get_name()} begins")
        await sleep(0)
        log("ends")

    creator = current_task()
    task = _eager(body(), name="eager")
    log("the creator goes on")
    log(f"{current_task() is creator} {task.done()}")
    await task


async def one_that_does_not_suspend_is_done_at_once_and_its_callbacks_still_go_through_the_queue():
    task = _eager(settle(0))
    log(f"{task.done()}")
    asyncio.get_running_loop().call_soon(log, "queued before")
    task.add_done_callback(lambda _: log("done callback"))
    log("added")
    await task
    log("awaited without a turn")
    await settle(1)


async def one_that_was_cancelled_after_its_step_cleans_up_and_a_lazy_one_never_began():
    async def body(name):
        log(f"{name} begins")
        try:
            await future()
        except CancelledError:
            log(f"{name} cleans up")

    started, lazy = _eager(body("eager")), create_task(body("lazy"))
    log(f"{started.cancel()} {lazy.cancel()}")
    await outcome("eager", started)
    await outcome("lazy", lazy)


async def bodies_interleave_with_their_creator():
    async def body(name):
        log(f"{name}1")
        await sleep(0)
        log(f"{name}2")

    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    await gather(body("a"), body("b"))
    log("end")


async def the_step_runs_in_the_new_tasks_copy_of_the_context():
    async def body():
        log(f"the task sees {V.get()}")
        V.set(2)
        await sleep(0)
        log(f"and then {V.get()}")

    V.set(1)
    task = _eager(body())
    log(f"its creator sees {V.get()}")
    await task
    log(f"and then {V.get()}")


async def gathers_groups_and_shields_take_children_that_are_done_before_they_are_looked_at():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    asyncio.get_running_loop().call_soon(log, "next turn")

    async def gives(value):
        log(f"gives {value}")
        return value

    log(told(await gather(gives(1), gives(2))))
    log(told(await asyncio.shield(gives(3))))
    async with asyncio.TaskGroup() as group:
        children = [group.create_task(gives(4)), group.create_task(works("late", 1, 5))]
        log(f"{children[0].done()} {children[1].done()}")
    log(told([child.result() for child in children]))


async def a_factory_decides_where_none_is_given():
    loop = asyncio.get_running_loop()
    log(f"{loop.get_task_factory() is None}")
    loop.set_task_factory(asyncio.eager_task_factory)
    log(f"{create_task(settle(0)).done()} {create_task(settle(1)).done()}")
    log(f"{asyncio.ensure_future(settle(0)).done()}")
    loop.set_task_factory(None)
    log(f"{create_task(settle(0)).done()}")


run_scenarios(globals())
