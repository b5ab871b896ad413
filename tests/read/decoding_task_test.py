import os

import numpy as np
import pytest

from kinetics_clips import ClipSpec
from kinetics_clips.read import decoding_task
from kinetics_clips.read.decoding_task import TASK, Parts, SharedMemory, Task


class Unpicklable(RuntimeError):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def batch() -> Parts:
    none = np.empty(0, np.uint8)
    return Parts(none, none, none, np.zeros((3, 4096), np.uint8))


def test_an_error_comes_back_as_it_is():
    parts = batch()
    assert decoding_task.errors_of(parts) == {}
    decoding_task.put_error(parts.errors[1], FileNotFoundError(2, "No such file", "a"))
    (error,) = decoding_task.errors_of(parts).values()
    with pytest.raises(FileNotFoundError, match=r"^\[Errno 2\] No such file: 'a'"):
        raise error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("x" * 100_000), "ValueError: xxx"),
        (Unpicklable("a", "b"), "Unpicklable: a and b"),
        (ValueError(lambda: None), "ValueError: <function"),
    ],
    ids=["large", "not to be unpickled", "not to be pickled"],
)
def test_of_an_error_that_does_not_fit_its_text_comes_back(error, text):
    parts = batch()
    decoding_task.put_error(parts.errors[1], error)
    found = decoding_task.errors_of(parts)[1]
    assert type(found) is RuntimeError
    assert str(found).startswith(text)


def test_the_parts_of_a_batch_do_not_overlap():
    spec = ClipSpec(length=3, crop=5, windows=2, crops="three")
    task = Task(*[0] * len(Task._fields))._replace(
        num_parts=4, num_clips=2, height=5, width=5
    )
    memory = np.zeros(decoding_task.num_bytes(spec, task), np.uint8)
    parts = decoding_task.parts(memory, spec, task)
    assert parts.video.shape == (2, 6, 3, 5, 5, 3)
    assert parts.frame_indices.shape == (2, 2, 3)
    for number, part in enumerate(parts, start=1):
        part[:] = number
    assert [int(part.max()) for part in parts] == [1, 2, 1, 4]
    assert [int(part.min()) for part in parts] == [1, 2, 1, 4]
    decoding_task.clear(parts)
    assert not parts.is_done.any()
    assert not decoding_task.errors_of(parts)


def test_the_tasks_of_a_batch_are_the_parts_of_its_clips():
    template = Task(*range(100, 100 + len(Task._fields)))
    template = template._replace(num_clips=2, num_parts=3)
    rows = decoding_task.of_batch(template, [(0, 7), (1, 8)], [5, (1 << 63) - 1])
    tasks = [Task(*TASK.unpack(row.tobytes())) for row in rows]
    assert tasks == [
        template._replace(
            number=3 * clip + part, which=clip, video=7 + clip, key=key, clip=clip,
            part=part,
        )
        for clip, key in enumerate([5, (1 << 63) - 1])
        for part in range(3)
    ]  # fmt: skip


def test_memory_is_free_when_nothing_refers_to_it_whoever_has_mapped_it():
    memory = SharedMemory(1 << 20)
    memory.array[:] = 1
    other = os.dup(memory.file.descriptor)
    assert os.fstat(other).st_blocks * 512 >= 1 << 20
    if not os.fork():
        del memory  # which must not free what the parent has
        os._exit(0)
    os.wait()
    assert (memory.array == 1).all()
    del memory
    assert os.fstat(other).st_blocks == 0
    os.close(other)
