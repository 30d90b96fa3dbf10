"""Optimiser steps."""

from energybench.kernels.families.optimisers.launch import ADAM, MOMENTUM, SGD, adam_step, momentum_step, sgd_step
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (SGD, MOMENTUM, ADAM)

__all__ = ["OPERATORS", "adam_step", "momentum_step", "sgd_step"]
