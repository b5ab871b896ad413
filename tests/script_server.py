"""Starts processes in which TensorFlow and TFDS are imported already, by forking.

To import them takes most of the time of a short script. Each line of standard input is
a request in JSON: to run Python with some words, answered by the process's number, or
to wait for one, answered by its exit code. `processes.py` asks.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import sys
import types
import warnings

gc.disable()  # a third of the time goes into looking through what stays anyway
importlib.import_module("tensorflow")
importlib.import_module("tensorflow_datasets")
gc.freeze()
gc.enable()


def next_request() -> dict:
    """Returns in a fork for each request to run something."""
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        with warnings.catch_warnings():  # of threads, which those imports leave idle
            warnings.simplefilter("ignore")
            fork = os.fork()
        if not fork:
            return request
        print(fork, flush=True)
    sys.exit()


def run(words: list[str]) -> None:
    """Does what `python WORDS` does."""
    sys.orig_argv = [sys.executable, *words]
    if words[0] == "-c":
        sys.argv, sys.path[0] = ["-c", *words[2:]], ""
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), main.__dict__)
    elif words[0] == "-m":
        sys.argv, sys.path[0] = ["-m", *words[2:]], os.getcwd()
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = words, os.path.dirname(words[0])
        runpy.run_path(words[0], run_name="__main__")


request = next_request()
os.setsid()
signal.signal(signal.SIGINT, signal.default_int_handler)
for descriptor, path in enumerate([os.devnull, request["stdout"], request["stderr"]]):
    os.dup2(os.open(path, os.O_RDWR), descriptor)
os.environ.clear()
os.environ.update(request["environment"])
os.chdir(request["directory"])
run(request["words"])
