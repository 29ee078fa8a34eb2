from asyncio import InvalidStateError

from twin import *


def _done_futures():
    """The three ways in which a future can be done."""
    futures = [future(), future(), future()]
    futures[0].set_result(1)
    futures[1].set_exception(Failure("broken"))
    futures[1].exception()  # looked at, so that nobody is told
    futures[2].cancel()
    return futures


def _try(name, call):
    try:
        log(f"{name}: {told(call())}")
    except BaseException as error:
        log(f"{name}: {told(error)}")


async def a_future_is_pending_finished_or_cancelled():
    for f in [future(), *_done_futures()]:
        log(f"{f.done()} {f.cancelled()}")


async def result_and_exception_say_how_a_future_ended():
    for f in [future(), *_done_futures()]:
        _try("result", f.result)
        _try("exception", f.exception)


async def a_done_future_refuses_another_outcome_and_keeps_its_own():
    for f in _done_futures():
        _try("set_result", lambda: f.set_result(2))
        _try("set_exception", lambda: f.set_exception(Failure("late")))
        _try("still", f.result)


async def a_pending_future_is_cancelled_at_once_and_a_done_one_not_at_all():
    f = future()
    f.add_done_callback(lambda f: log(f"callback, cancelled: {f.cancelled()}"))
    log(f"cancel: {f.cancel()}")
    log(f"cancelled: {f.cancelled()}")
    log(f"cancel again: {f.cancel()}")
    await sleep(0)
    for f in _done_futures():
        log(f"{f.cancel()}")


async def callbacks_run_once_each_in_order_of_registration_and_never_at_once():
    f = future()
    for line in ["a", "b", "c"]:
        f.add_done_callback(lambda f, line=line: log(f"{line}: {f.result()}"))
    asyncio.get_running_loop().call_soon(log, "queued before the result")
    f.set_result(7)
    log("result set")
    await settle(3)


async def a_callback_added_to_a_done_future_runs_in_the_next_turn():
    f = future()
    f.set_result(None)
    f.add_done_callback(lambda _: log("callback"))
    log("added")
    await sleep(0)
    log("next turn")


async def a_removed_callback_does_not_run_and_a_queued_one_cannot_be_recalled():
    f = future()

    def kept(_):
        log("kept")

    def removed(_):
        log("removed")

    f.add_done_callback(kept)
    f.add_done_callback(removed)
    log(f"{f.remove_done_callback(removed) > 0} {f.remove_done_callback(removed) > 0}")
    f.set_result(None)
    log(f"{f.remove_done_callback(kept) > 0}")
    await sleep(0)


async def a_failing_callback_does_not_stop_the_later_ones():
    f = future()

    def fails(_):
        log("first")
        raise Failure("callback")

    f.add_done_callback(fails)
    f.add_done_callback(lambda _: log("second"))
    f.set_result(None)
    await sleep(0)
    log("the task goes on")


async def an_awaiting_task_has_its_place_among_the_callbacks():
    f = future()
    f.add_done_callback(lambda _: log("callback before the await"))

    async def awaits():
        await f
        log("task")

    task = create_task(awaits())
    await settle(1)
    f.add_done_callback(lambda _: log("callback after the await"))
    f.set_result(None)
    await settle(1)
    await task


async def all_tasks_that_await_one_future_wake_in_the_order_in_which_they_began():
    f = future()

    async def awaits(line):
        log(f"{line}: {await f}")

    tasks = [create_task(awaits(line)) for line in ["a", "b", "c"]]
    await settle(1)
    f.set_result(5)
    await settle(1)
    log(f"{tasks[2].done()}")


async def awaiting_a_done_future_does_not_yield():
    asyncio.get_running_loop().call_soon(log, "next turn")
    for name, f in zip(["finished", "failed", "cancelled"], _done_futures()):
        await outcome(name, f)
    await settle(1)


async def cancelling_an_awaiter_cancels_the_future_for_everybody():
    f = future()

    async def awaits(name):
        await outcome(name, f)
        log(f"{name}: {me()}")

    tasks = [create_task(awaits(name)) for name in ["a", "b"]]
    await settle(1)
    tasks[0].cancel()
    log(f"future cancelled: {f.cancelled()}")
    asyncio.get_running_loop().call_soon(log, "callback")
    await settle(1)


async def a_callback_may_look_at_the_future_and_add_another():
    f = future()

    def looks(f):
        log(f"{f.result()}")
        f.add_done_callback(lambda f: log(f"{f.result() + 1}"))
        log("added")

    f.add_done_callback(looks)
    f.set_result(1)
    await settle(1)
    log("next turn")
    await settle(1)


run_scenarios(globals())
