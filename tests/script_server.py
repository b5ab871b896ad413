"""Runs scripts as processes in which TensorFlow and TFDS are imported already.

To import them takes most of the time of a short script. Each line of standard input is
a request in JSON; each of standard output is the exit code of its script, which runs in
a fork: to its very end, as a script does.
"""

import gc
import importlib
import json
import os
import sys
import warnings

gc.disable()  # a third of the time goes into looking through what stays anyway
importlib.import_module("tensorflow")
importlib.import_module("tensorflow_datasets")
gc.freeze()
gc.enable()


def next_request() -> dict:
    """Returns in a fork, for each request in another one, with what it is to run."""
    for line in sys.stdin:
        with warnings.catch_warnings():  # of threads, which those imports leave idle
            warnings.simplefilter("ignore")
            fork = os.fork()
        if not fork:
            return json.loads(line)
        _, status = os.waitpid(fork, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    sys.exit()


request = next_request()
for descriptor, path in enumerate([os.devnull, request["stdout"], request["stderr"]]):
    os.dup2(os.open(path, os.O_RDWR), descriptor)
os.environ.clear()
os.environ.update(request["environment"])
os.chdir(request["directory"])
sys.argv = ["-c", *request["arguments"]]
sys.path[0] = ""
exec(compile(request["script"], "<string>", "exec"), {"__name__": "__main__"})
