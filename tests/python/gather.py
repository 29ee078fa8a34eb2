from asyncio import gather

from twin import *


async def results_come_in_the_order_of_the_arguments():
    log(told(await gather(works("slow", 3, 1), works("fast", 1, 2), works("middle", 2, 3))))


async def work_starts_at_the_call_and_in_order():
    async def child(name):
        log(f"{name} starts")

    gathering = gather(child("a"), child("b"), child("c"))
    log("called")
    await settle(1)
    log("before the await")
    await gathering


async def the_same_future_given_twice_gives_its_result_in_both_places():
    f = future()
    asyncio.get_running_loop().call_later(1, f.set_result, 7)
    log(told(await gather(f, works("other", 2, 0), f)))


async def without_anything_to_wait_for_it_does_not_suspend():
    done = create_task(works("child", 0, 1))
    await settle(3)
    ticks(1)
    log(told(await gather()))
    log(told(await gather(done)))
    await settle(1)


async def the_first_error_ends_it_and_the_others_run_on():
    asyncio.get_running_loop().set_exception_handler(lambda *_: log("reported"))
    gathering = gather(works("a", 3), fails("b", 1), fails("c", 2), works("d", 4))
    await outcome("gather", gathering)
    log(now())
    del gathering
    await sleep(5)


async def with_outcomes_as_values_it_waits_for_all():
    await outcome("gather", gather(works("a", 3, 1), fails("b", 1), works("c", 2, 3), return_exceptions=True))
    log(now())


async def a_child_cancelled_by_itself_ends_it_at_once():
    a, b = create_task(hangs("a")), create_task(works("b", 2))
    gathering = create_task(outcome("gather", gather(a, b)))
    await settle(2)
    a.cancel()
    await gathering
    log(f"{now()}, count {gathering.cancelling()}")
    await b


async def a_request_goes_to_every_child_in_order_that_has_not_ended():
    ended = create_task(works("ended", 1))

    async def gathers():
        await gather(hangs("a"), ended, hangs("b"), hangs("c"))

    task = create_task(gathers())
    await sleep(2)
    task.cancel()
    await outcome("task", task)


async def after_a_request_the_first_child_that_ends_cancelled_ends_it():
    task = create_task(outcome("gather", gather(cleans("slow", 5), hangs("fast"), cleans("middle", 3))))
    await settle(2)
    task.cancel()
    await task
    log(now())
    await sleep(6)


async def after_a_request_with_outcomes_as_values_it_waits_for_all():
    gathering = gather(cleans("slow", 5), hangs("fast"), cleans("middle", 3), return_exceptions=True)
    task = create_task(outcome("gather", gathering))
    await settle(2)
    task.cancel()
    await task
    log(now())


async def after_a_request_it_ends_cancelled_though_every_child_swallowed_it():
    for flag in (False, True):
        gathering = gather(swallows("a", 1, 1), swallows("b", 2, 2), return_exceptions=flag)
        task = create_task(outcome("gather", gathering))
        await settle(2)
        task.cancel()
        await task
        log(f"{now()}, count {task.cancelling()}")


async def after_a_request_a_failure_ends_it_as_well():
    task = create_task(outcome("gather", gather(fails_in_cleanup("a", 1), cleans("b", 2))))
    await settle(2)
    task.cancel()
    await task
    log(now())
    await sleep(2)


async def a_request_that_comes_after_an_error_leaves_the_others_alone():
    async def gathers():
        await outcome("gather", gather(fails("a", 1), works("b", 3)))
        await hangs("after")

    task = create_task(gathers())
    await sleep(2)
    task.cancel()
    await sleep(2)
    log(told(task.cancelled()))


async def a_request_wins_over_results_that_were_not_taken_yet():
    child = create_task(works("child", 1, 7))
    gathering = gather(child)
    child.add_done_callback(lambda _: log(f"accepted: {task.cancel()}"))  # comes after the gathering's own
    task = create_task(outcome("gather", gathering))
    await task


async def dropped_it_leaves_its_children_running():
    gather(works("a", 1), works("b", 2))
    await sleep(3)


run_scenarios(globals())
