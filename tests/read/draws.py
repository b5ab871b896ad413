"""Draws that a test chooses, in NumPy's values or in TensorFlow's."""

import numpy as np
import tensorflow.experimental.numpy as tnp


class Recorded:
    """Gives out what it is told to, and records of how many it could choose."""

    def __init__(self, *values, module=np):
        self.values, self.module, self.highs = list(values), module, []

    def integers(self, high):
        self.highs.append(int(high))
        return self.module.asarray(self.values.pop(0), self.module.int32)

    def random(self):
        return self.module.asarray(self.values.pop(0), self.module.float64)


class InGraph(Recorded):
    def __init__(self, *values):
        super().__init__(*values, module=tnp)
