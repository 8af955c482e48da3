"""The rating widget as a test reads it and clicks on it, without a browser."""

import time

import ipywidgets

from zo_dno.judges.rating_tasks import SKIPPED


def parts(widget):
    return [widget, *(part for child in getattr(widget, "children", ()) for part in parts(child))]


def buttons(box):
    return {part.description: part for part in parts(box) if isinstance(part, ipywidgets.Button)}


def words(box):
    return "\n".join(part.value for part in parts(box) if isinstance(part, ipywidgets.HTML))


def images(box):
    return [bytes(part.value) for part in parts(box) if isinstance(part, ipywidgets.Image)]


def until(happened, patience=300.0):
    ends = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)


def rate(run, task, rating):
    """Click the buttons of a rating."""
    if rating == SKIPPED:
        buttons(run.widget)["Skip"].click()
    elif task.mode == "rate":
        buttons(run.widget)[f"{rating:g}"].click()
    elif task.mode == "rank":
        choices = [one for one in parts(run.widget) if isinstance(one, ipywidgets.Button)][: len(task.shown)]
        for name in rating[:-1]:
            choices[task.shown.index(name)].click()
        buttons(run.widget)["Send this order"].click()
    else:
        buttons(run.widget)[str(task.shown.index(rating) + 1)].click()


def rate_all(run, rating_of):
    """Rate every task by a function of it, until the run has ended. Returns the number of ratings."""
    view, clicks = run._view, 0
    while run.running:
        task = view._task
        if task is None or not {"1", "-"} & {*buttons(run.widget)}:
            time.sleep(0.01)
            continue
        rate(run, task, rating_of(task))
        clicks += 1
    run._search.join()
    return clicks
