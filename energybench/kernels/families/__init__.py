"""The operators by family: sizes in ``shape.py``, closed-form counts in ``counts.py``, the call in ``launch.py``.

The folders stand beside no function of the same name (`energybench.kernels.gru`), which importing them would replace.
"""
