"""Networks whose calls are timed without a meter: what calibrates the intervals of predicted times."""

from __future__ import annotations

from energybench.workloads.network_rows import conv_net, gru_sequence_model, separable_conv_net, transformer_encoder
from energybench.workloads.workload import Workload
from energybench.workloads.zoo_rows import published_network


def networks_to_time(*, gpu: bool = False, dtype: str = "float32") -> list[Workload]:
    """Ten networks, the small ones at several sizes; on a GPU in larger batches. None is sealed.

    Nine networks are the fewest for a conformal interval at 90 %.
    """
    batch = 16 if gpu else 1
    return [
        *(conv_net(n * batch, h, dtype=dtype) for n, h in ((1, 32), (1, 64), (1, 128), (4, 64))),
        *(separable_conv_net(n * batch, h, dtype=dtype) for n, h in ((1, 48), (1, 96), (2, 128))),
        *(gru_sequence_model(t, b * batch, dtype=dtype) for t, b in ((8, 1), (32, 4), (64, 16))),
        *(transformer_encoder(b * batch, s, dtype=dtype) for b, s in ((1, 32), (2, 64), (1, 192), (4, 128))),
        *(
            published_network(name, n * batch, s, dtype=dtype)
            for name, n, s in (
                ("vgg16", 1, 224),
                ("mobilenet_v2", 1, 224),
                ("vit_b16", 1, 224),
                ("mixer_b16", 1, 224),
                ("gpt2_prefill", 1, 64),
                ("gru_lm", 4, 16),
            )
        ),
    ]
