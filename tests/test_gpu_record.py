"""What scripts/gpu/record.py reads out of a profile."""

import importlib.util

import pytest

from coded_resnext.paths import PACKAGE

SCRIPTS = PACKAGE.parents[1] / "scripts" / "gpu"
ZERO = "0.00%  0.000us  0.00%  0.000us  0.000us"
TABLE = f"""\
Name  Self CPU %  Self CPU  CPU total %  CPU total  CPU time avg  Self CUDA  (and five more)
aten::convolution  {ZERO}  0.000us  0.00%  3.503ms  94.669us  37
aten::cudnn_convolution  {ZERO}  3.503ms  14.80%  3.503ms  94.669us  37
aten::convolution_backward  {ZERO}  7.487ms  31.64%  7.487ms  202.348us  37
sm90_xmma_wgrad_indexed_implicit_gemm_bf16bf16...  {ZERO}  1.540ms  6.51%  1.540ms  128.330us  12
sm90_xmma_wgrad_indexed_implicit_gemm_bf16bf16...  {ZERO}  782.430us  3.31%  782.430us  130.405us  6
triton_poi_fused_relu_11  {ZERO}  557.695us  2.36%  557.695us  92.949us  6
aten::bmm  {ZERO}  213.824us  0.90%  213.824us  11.879us  18
Self CPU time total: 48.921ms
Self CUDA time total: 23.665ms
"""


def record_script():
    script = importlib.util.spec_from_file_location("gpu_record", SCRIPTS / "record.py")
    module = importlib.util.module_from_spec(script)
    script.loader.exec_module(module)
    return module


def test_rates_of_processes_side_by_side():
    text = "a/b: 20 images/s, compiled in 9 s\n=== turns: 2 processes, 41 images/s together\nat 3 s\n=== served: failed"
    assert record_script().summed_rates(text) == [{"how": "turns", "processes": 2, "images_per_second": 41}]
    alone = "=== alone: a/b, 17 images/s, 7.0 ms of CPU time a step"
    assert record_script().summed_rates(alone) == [{"how": "alone", "processes": 1, "images_per_second": 17}]


def test_operations_make_up_the_step_and_kernels_are_parts_of_them():
    module = record_script()
    times = {row["part"]: row["ms"] for row in module.profile(TABLE)}
    assert times["all"] == 23.665
    assert times["wgrad kernels"] == pytest.approx(2.322)
    whole = (*module.OPERATIONS.values(), module.REST)
    assert sum(times[part] for part in whole) == pytest.approx(times["all"])
    assert times[module.REST] == pytest.approx(23.665 - 3.503 - 7.487 - 0.214)
