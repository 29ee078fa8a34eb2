from asyncio import timeout, wait_for
from contextvars import Context, ContextVar, copy_context

from twin import *

V = ContextVar("v")


def _see_and_set(new):
    seen = V.get(None)
    V.set(new)
    return seen


def _logs(who):
    return lambda *_: log(f"{who} sees {_see_and_set(99)}")


async def callbacks_copy_the_context_at_registration_and_keep_their_changes():
    loop = asyncio.get_running_loop()
    V.set(1)
    loop.call_soon(_logs("call_soon"))
    V.set(2)
    loop.call_later(1, _logs("call_later"))
    V.set(3)
    loop.call_at(loop.time() + 2, _logs("call_at"))
    V.set(4)
    loop.call_soon_threadsafe(_logs("call_soon_threadsafe"))
    V.set(5)
    await sleep(3)
    log(f"the task sees {V.get()}")


async def timers_and_done_callbacks_take_a_context_of_their_own_too():
    loop = asyncio.get_running_loop()
    context = Context()
    V.set(1)
    context.run(V.set, 10)
    loop.call_later(1, _logs("call_later"), context=context)
    loop.call_at(loop.time() + 2, _logs("call_at"), context=context)
    await sleep(3)
    context.run(V.set, 20)
    task = create_task(settle(0))
    task.add_done_callback(_logs("the task's"), context=context)
    done = future()
    done.add_done_callback(_logs("the future's"), context=context)
    done.set_result(None)
    await settle(3)
    log(f"{context[V]} {V.get()}")


async def done_callbacks_copy_the_context_at_registration_not_at_completion():
    done = future()

    async def sets():
        V.set(77)

    task = create_task(sets())
    V.set(1)
    done.add_done_callback(_logs("the future's"))
    V.set(2)
    task.add_done_callback(_logs("the task's"))
    V.set(3)
    done.set_result(None)
    await task
    await settle(1)
    log(f"the task sees {V.get()}")


async def two_tasks_may_share_one_context():
    async def sees(new):
        return _see_and_set(new)

    V.set(1)
    context = copy_context()
    first = create_task(sees(2), context=context)
    second = create_task(sees(3), context=context)
    log(f"{await first} {await second} {context[V]} {V.get()}")


async def what_is_awaited_in_the_task_itself_shares_its_context():
    async def coroutine(new):
        await sleep(0)
        V.set(new)

    await coroutine(1)
    log(str(V.get()))
    async with timeout(1):
        await coroutine(2)
    log(str(V.get()))
    await wait_for(coroutine(3), 1)
    log(str(V.get()))


async def a_task_copies_the_context_when_it_is_created():
    async def body():
        log(f"the task sees {_see_and_set(10)}")
        await sleep(0)
        log(f"and then {V.get()}")

    V.set(1)
    task = create_task(body())
    V.set(2)
    await sleep(0)
    log(f"its creator sees {V.get()}")
    await task
    log(f"and then {V.get()}")


async def what_is_made_a_task_has_a_copy():
    async def body(name, new):
        log(f"{name} sees {_see_and_set(new)}")

    V.set(1)
    await asyncio.gather(body("a", 2), body("b", 3))
    await asyncio.shield(body("shielded", 4))
    async with asyncio.TaskGroup() as group:
        group.create_task(body("child", 5))
    await asyncio.wait_for(create_task(body("task", 6)), 1)
    log(f"the task sees {V.get()}")


run_scenarios(globals())
