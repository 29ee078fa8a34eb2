from threading import Thread

from twin import *


def _in_a_thread(function):
    """As if it had run between two lines of the scenario."""
    thread = Thread(target=function)
    thread.start()
    thread.join()


async def calls_of_a_thread_keep_their_order_and_come_after_what_was_queued_before():
    loop = asyncio.get_running_loop()
    loop.call_soon(log, "queued before")

    def calls():
        for name in "abc":
            loop.call_soon_threadsafe(log, name)

    _in_a_thread(calls)
    log("the thread has gone")
    await settle(2)


async def a_call_that_was_taken_back_never_runs():
    loop = asyncio.get_running_loop()

    def calls():
        loop.call_soon_threadsafe(log, "a").cancel()
        loop.call_soon_threadsafe(log, "b")

    _in_a_thread(calls)
    await settle(2)


async def a_coroutine_sent_by_a_thread_is_a_task_in_its_turn():
    loop = asyncio.get_running_loop()
    create_task(works("mine", 0))
    _in_a_thread(lambda: asyncio.run_coroutine_threadsafe(works("sent", 0), loop))
    await sleep(1)


run_scenarios(globals())
