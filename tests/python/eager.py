from asyncio import gather

from twin import *


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


run_scenarios(globals())
