"""Pools of threads of which Ctrl-C leaves none behind."""

import threading
from concurrent.futures import ThreadPoolExecutor


class ThreadPool(ThreadPoolExecutor):
    """A pool that starts all of its threads when it is made.

    Python's own pool starts a thread at a call of `submit` and notes it afterwards. A KeyboardInterrupt in between
    leaves a thread that `shutdown` does not wait for. Here another thread starts them, since signals interrupt the
    main thread alone.

    Args:
        n: Number of threads.
        name: Beginning of their names.
    """

    def __init__(self, n: int, name: str) -> None:
        super().__init__(n, name)
        starter = threading.Thread(target=self._start, args=(n,), name=f"{name}: start")
        try:
            starter.start()
            starter.join()
        except BaseException:
            self.shutdown(wait=False)
            raise

    def _start(self, n: int) -> None:
        all_run = threading.Barrier(n)
        try:
            for _ in range(n):
                self.submit(all_run.wait)
        except RuntimeError:  # it was shut down meanwhile
            all_run.abort()
