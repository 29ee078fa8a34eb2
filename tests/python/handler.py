from contextvars import ContextVar

from twin import *

WHO = ContextVar("who")


async def the_handler_runs_in_the_context_of_the_task_or_callback_concerned():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: log(f"{WHO.get()}: {context['exception']}"))

    async def fails_as(who, what):
        WHO.set(who)
        raise Failure(what)

    def callback():
        WHO.set("callback")
        raise Failure("c")

    WHO.set("creator")
    create_task(fails_as("task", "a"))
    unseen = create_task(fails_as("unseen", "b"))
    loop.call_soon(callback)
    await settle(2)
    log("the handle goes")
    del unseen
    log(f"the task is {WHO.get()}")


async def a_handler_that_fails_harms_nobody_and_is_used_again():
    def handler(_, context):
        log(f"handled {context['message']}")
        raise Failure("the handler fails")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(handler)
    loop.call_exception_handler({"message": "first"})
    loop.call_exception_handler({"message": "second"})
    await sleep(0)
    log("goes on")


run_scenarios(globals())
