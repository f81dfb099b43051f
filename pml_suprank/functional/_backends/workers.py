"""Independent pieces of work in as many threads as torch uses."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_all(
    function: Callable[[Task], Result], tasks: Sequence[Task], device: torch.device
) -> list[Result]:
    """Return ``function(task)`` for all tasks, in their order, computed without gradients or autocast.

    On the CPU the tasks share torch's threads, each task on one of them: many small operations gain nothing from
    threads of their own. The result does not depend on the number of threads.
    """
    inference = torch.is_inference_mode_enabled()

    def work(task: Task) -> Result:
        with (
            torch.inference_mode(inference),
            torch.no_grad(),
            torch.autocast(device.type, enabled=False),
        ):
            return function(task)

    count = torch.get_num_threads()
    threads = min(count, len(tasks)) if device.type == "cpu" else 1
    if threads == 1:
        return [work(task) for task in tasks]
    try:
        with ThreadPoolExecutor(threads, "rank", torch.set_num_threads, (1,)) as pool:
            return list(pool.map(work, tasks))
    finally:
        # what the workers set is also the default of threads to come
        torch.set_num_threads(count)
