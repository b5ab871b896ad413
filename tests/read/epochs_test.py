import multiprocessing
import pickle

import pytest

from kinetics_clips.read.epochs import SharedEpoch


def follow(epoch: SharedEpoch, questions, answers) -> None:
    while questions.get():
        answers.put(epoch.number)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_that_is_started_follows(method):
    context = multiprocessing.get_context(method)
    questions, answers = context.Queue(), context.Queue()
    epoch = SharedEpoch(3)
    process = context.Process(target=follow, args=(epoch, questions, answers))
    process.start()
    for number in (3, 4, 1 << 40):
        epoch.number = number
        questions.put(True)
        assert answers.get(timeout=60) == number
    questions.put(False)
    process.join()


def test_a_pickled_one_goes_its_own_way():
    epoch = SharedEpoch(5)
    copy = pickle.loads(pickle.dumps(epoch))
    epoch.number = 6
    assert (epoch.number, copy.number) == (6, 5)
