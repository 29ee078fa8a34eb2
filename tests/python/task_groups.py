from asyncio import TaskGroup, timeout

from twin import *


async def _group(body):
    async with TaskGroup() as group:
        return await body(group)


def _nothing(*children):
    """A body that only makes children."""

    async def body(group):
        for child in children:
            group.create_task(child)

    return body


async def a_group_ends_after_all_children_those_of_children_too():
    async def parent(group):
        group.create_task(works("grandchild", 3))
        log("parent done")

    async def body(group):
        group.create_task(works("child", 1))
        group.create_task(parent(group))
        log("body done")

    await _group(body)
    log(now())


async def a_failure_cancels_the_siblings_and_the_body():
    async def body(group):
        group.create_task(fails("a", 1))
        group.create_task(cleans("b", 3))
        await hangs("body")

    await outcome("group", _group(body))
    log(f"{now()}, count {me()}")


async def a_failure_after_the_body_cancels_the_siblings():
    await outcome("group", _group(_nothing(fails("a", 1), cleans("b", 3), works("c", 1))))
    log(f"{now()}, count {me()}")


async def a_body_that_swallows_runs_to_its_end_and_the_group_fails():
    async def body(group):
        group.create_task(fails("a", 1))
        log(await swallows("body", 3, "swallowed"))
        await sleep(1)
        log(f"{now()}, body done, count {me()}")
        return 7

    await outcome("group", _group(body))
    log(f"{now()}, count {me()}")


async def failures_come_in_the_order_of_the_ends_and_the_bodys_last():
    async def body(group):
        group.create_task(fails_in_cleanup("slow", 3))
        group.create_task(fails_in_cleanup("fast", 1))
        await sleep(1)
        raise Failure("body")

    await outcome("group", _group(body))
    log(now())


async def a_nested_group_is_a_failure_like_any_other():
    async def body(group):
        group.create_task(_group(_nothing(fails("inner", 1))))

    await outcome("outer", _group(body))


async def a_child_that_is_cancelled_by_itself_is_no_failure():
    async def cancels_itself():
        current_task().cancel()
        await hangs("itself")

    async def body(group):
        group.create_task(works("a", 1))
        b = group.create_task(hangs("b"))
        group.create_task(cancels_itself())
        await settle(2)
        b.cancel()

    await outcome("group", _group(body))
    log(now())


async def a_failure_of_the_body_cancels_the_children():
    async def body(group):
        group.create_task(cleans("a", 2))
        group.create_task(hangs("b"))
        await sleep(1)
        raise Failure("body")

    await outcome("group", _group(body))
    log(f"{now()}, count {me()}")


async def a_body_that_awaits_a_failing_child_is_cancelled_there():
    async def body(group):
        child = group.create_task(fails("child", 1))
        try:
            await child
        except BaseException as error:
            log(f"body: {told(error)}, count {me()}")
            raise

    await outcome("group", _group(body))
    log(f"count {me()}")


async def a_request_from_outside_cancels_the_children_and_goes_on():
    async def body(group):
        group.create_task(cleans("a", 3))
        await cleans("body", 1)

    async def inside():
        try:
            await _group(body)
        except BaseException as error:
            log(f"{told(error)}, count {me()}")
            raise

    task = create_task(inside())
    await settle(2)
    task.cancel()
    await outcome("task", task)
    log(now())


async def a_request_from_outside_after_the_body():
    task = create_task(outcome("group", _group(_nothing(cleans("a", 3), hangs("b")))))
    await settle(2)
    task.cancel()
    await task
    log(f"{now()}, count {task.cancelling()}")


async def nested_groups_end_from_the_inside():
    async def inner(group):
        group.create_task(cleans("inner child", 3))
        await hangs("inner body")

    async def outer(group):
        group.create_task(cleans("outer child", 1))
        try:
            await _group(inner)
        finally:
            log(f"{now()}, inner group has ended")

    task = create_task(outcome("outer", _group(outer)))
    await settle(3)
    task.cancel()
    await task
    log(now())


async def failures_in_the_cleanup_win_over_a_request_which_meets_the_next_await():
    async def inside():
        await outcome("group", _group(_nothing(fails_in_cleanup("a", 1), cleans("b", 3))))
        log(f"{now()}, count {me()}")
        await outcome("next", sleep(10))
        log(f"{now()}, count {me()}")

    task = create_task(inside())
    await settle(2)
    task.cancel()
    await task
    log(now())


async def the_count_after_a_failed_group_is_what_it_was():
    async def inside():
        try:
            await sleep(100)
        except CancelledError:
            await outcome("group", _group(_nothing(fails("a", 1), hangs("b"))))
            log(f"count {me()}")

    task = create_task(inside())
    await settle(1)
    task.cancel()
    await outcome("task", task)


async def requests_while_a_group_aborts_are_only_counted():
    async def inside():
        await outcome("group", _group(_nothing(fails("a", 1), cleans("b", 5))))
        log(f"{now()}, count {me()}")
        await outcome("next", sleep(10))

    task = create_task(inside())
    await sleep(2)
    task.cancel()
    await sleep(1)
    task.cancel()
    log(f"count {task.cancelling()}")
    await task
    log(now())


async def a_second_request_from_outside_does_not_ask_the_children_again():
    async def inside():
        await outcome("group", _group(_nothing(cleans("a", 5))))
        log(f"{now()}, count {me()}")

    task = create_task(inside())
    await settle(2)
    task.cancel()
    await sleep(1)
    task.cancel()
    await task


async def children_are_refused_after_the_end_and_while_it_aborts():
    kept = []

    def tries(group, when):
        child = works("never", 0)
        try:
            group.create_task(child)
            log(f"{when}: taken")
        except RuntimeError:
            child.close()
            log(f"{when}: refused")

    async def late(group):
        await sleep(2)
        group.create_task(works("late", 1))
        log(f"{now()}, while it waits: taken")

    async def body(group):
        kept.append(group)
        group.create_task(late(group))

    await _group(body)
    tries(kept.pop(), f"{now()}, after the end")

    async def aborting(group):
        try:
            await sleep(100)
        except CancelledError:
            tries(group, "while it aborts")
            raise

    async def body(group):
        group.create_task(aborting(group))
        await sleep(1)
        raise Failure("body")

    await outcome("group", _group(body))


async def a_failure_outside_ends_the_inner_group_first():
    async def inner(group):
        group.create_task(cleans("inner child", 3))
        await hangs("inner body")

    async def outer(group):
        group.create_task(fails("outer child", 1))
        try:
            await _group(inner)
        except BaseException as error:
            log(f"{now()}, inner: {told(error)}, count {me()}")
            raise

    await outcome("outer", _group(outer))
    log(f"{now()}, count {me()}")


async def two_groups_whose_children_fail_in_the_same_turn():
    async def inner(group):
        group.create_task(fails("inner child", 1))
        await hangs("inner body")

    async def outer(group):
        group.create_task(fails("outer child", 1))
        try:
            await _group(inner)
        except BaseException as error:
            log(f"inner: {told(error)}, count {me()}")
            raise

    await outcome("outer", _group(outer))
    log(f"{now()}, count {me()}")


async def a_group_whose_time_is_over_cancels_its_children_and_waits():
    async def limited(*children):
        async with timeout(1):
            await _group(_nothing(*children))

    await outcome("timeout", limited(cleans("a", 3), hangs("b")))
    log(f"{now()}, count {me()}")
    await outcome("timeout", limited(fails_in_cleanup("c", 3)))
    log(f"{now()}, count {me()}")
    await outcome("next", sleep(1))


async def a_failure_is_noticed_a_turn_later_and_ends_the_group_after_that():
    f = future()

    async def child():
        await f
        log("child fails")
        raise Failure("child")

    async def body(group):
        group.create_task(child())

    task = create_task(outcome("group", _group(body)))
    await settle(3)
    ticks(5)
    f.set_result(None)
    await settle(5)


async def the_value_of_the_body_and_of_children_come_out():
    async def body(group):
        a = group.create_task(works("a", 2, 1))
        b = group.create_task(works("b", 1, 2))
        return await a + await b

    await outcome("group", _group(body))


async def a_group_in_a_group_that_fails_by_a_sibling_of_its_task():
    async def nested():
        await _group(_nothing(cleans("grandchild", 3)))

    await outcome("outer", _group(_nothing(nested(), fails("sibling", 1))))
    log(now())


async def a_body_that_cancels_its_own_task():
    async def body(group):
        group.create_task(cleans("child", 1))
        await sleep(1)
        current_task().cancel()
        await sleep(10)

    task = create_task(outcome("group", _group(body)))
    await task
    log(f"{now()}, count {task.cancelling()}")


run_scenarios(globals())
