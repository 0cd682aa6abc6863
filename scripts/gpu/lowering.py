"""What a training step would move through a GPU's memory, counted without a GPU.

    python scripts/gpu/lowering.py {29,50} {plain,coded} [BATCH] [--dense]

The network is traced under autocast on the CPU, in fake tensors. Then every device becomes cuda, the graphs of the
forward and the backward pass are lowered and fused by Inductor as for an H100, and nothing is compiled: what is
counted are the bytes that each fused kernel and each library call reads and writes. Caches are not modelled.

This goes through private names of torch; it ran with 2.11.0 and 2.14.1. It needs triton, which picks the fusions.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import copy
import types
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

import torch
import triton  # noqa: F401  Inductor would choose another back end, with other fusions
from torch import Tensor, nn
from torch._functorch.aot_autograd import aot_module, make_boxed_func
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch._inductor.compile_fx import view_to_reshape
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.fx_passes.replace_random import replace_random_passes
from torch._inductor.graph import GraphLowering
from torch._inductor.virtualized import V
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx import GraphModule
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

from coded_resnext import CodedResNeXt, coded_resnext29_10x11d, coded_resnext50_32x4d
from coded_resnext.network.block import CodedBottleneck

NETWORKS = {"29": (coded_resnext29_10x11d, 32), "50": (coded_resnext50_32x4d, 160)}  # and the side of their images

CUDA = torch.device("cuda:0")
H100 = types.SimpleNamespace(
    name="NVIDIA H100",
    major=9,
    minor=0,
    multi_processor_count=132,
    regs_per_multiprocessor=65536,
    warp_size=32,
    max_threads_per_multi_processor=2048,
    max_threads_per_block=1024,
    total_memory=80 * 2**30,
    L2_cache_size=50 * 2**20,
    shared_memory_per_block=49152,
    shared_memory_per_block_optin=232448,
    shared_memory_per_multiprocessor=233472,
    clock_rate=1980000,
    gcnArchName="",
    uuid="",
)
# What Inductor asks the device, answered as an H100 would.
PRETENCE: dict[str, Callable] = {
    "torch.cuda.is_available": lambda: True,
    "torch.cuda.current_device": lambda: 0,
    "torch.cuda.device_count": lambda: 1,
    "torch.cuda.get_device_properties": lambda device=None: H100,
    "torch.cuda._get_device_properties": lambda device=None: H100,
    "torch.cuda.get_device_capability": lambda device=None: (H100.major, H100.minor),
    "torch.cuda.is_bf16_supported": lambda *_, **__: True,
    "torch.cuda.is_current_stream_capturing": lambda: False,
    "torch.cuda._lazy_init": lambda: None,
    "torch._subclasses.fake_tensor.init_gpu_context": lambda *_: None,
    "torch._C._conv_determine_backend_memory_format": lambda *_, **__: torch.channels_last,  # as cuDNN does
}
# While the graph is traced: fake parameters are refused by default, and the block would take the CPU's forms.
TRACED = {
    "torch._dynamo.utils.assert_no_fake_params_or_buffers": lambda *_, **__: None,
    "coded_resnext.network.block.bound_by_memory": lambda u: u.dtype == torch.bfloat16,
}


@dataclass(frozen=True)
class Traffic:
    """What one pass launches and moves."""

    kernels: int
    bytes: int
    by_kind: dict[str, tuple[int, int]]  # kernels and bytes of each library call and of each kind of fused kernel


def training_traffic(model: CodedResNeXt, batch: int, side: int) -> dict[str, Traffic]:
    """Of a training step in bfloat16 and channels-last: the passes "forward" and "backward", for the whole batch.

    Args:
        model: stays without values: its parameters are replaced by fake ones.
        batch: images at once.
        side: height and width of an image.
    """
    model.to(memory_format=torch.channels_last).train()
    traffic: dict[str, Traffic] = {}
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, _answered(TRACED):
        _forget_values(model, fake)
        images = torch.empty(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
        step = aot_module(
            _Autocast(model),
            fw_compiler=_counter("forward", traffic),
            bw_compiler=_counter("backward", traffic),
            partition_fn=min_cut_rematerialization_partition,
            decompositions=select_decomp_table(),
        )
        logits, energies = step(images)
        (logits.float().sum() + sum(of_block.sum() for of_block in energies.values())).backward()
    return traffic


class _Autocast(nn.Module):
    def __init__(self, model: CodedResNeXt) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast("cpu", torch.bfloat16):
            return self.model(images, return_energies=True)


def _answered(answers: dict[str, Callable]) -> contextlib.ExitStack:
    """A context in which these functions, by their full names, are replaced."""
    stack = contextlib.ExitStack()
    for target, answer in answers.items():
        stack.enter_context(mock.patch(target, answer, create=True))
    return stack


def _forget_values(model: nn.Module, fake: FakeTensorMode) -> None:
    for module in model.modules():
        for store, wrap in ((module._parameters, nn.Parameter), (module._buffers, lambda tensor: tensor)):
            for key, value in list(store.items()):
                if value is not None:
                    store[key] = wrap(fake.from_tensor(value.data))


def _counter(name: str, traffic: dict[str, Traffic]) -> Callable:
    """A compiler that notes what the graph would move and hands it back as it was."""

    def compiler(original: GraphModule, examples: list, **_: object) -> Callable:
        with _answered(PRETENCE):
            traffic[name] = _count(copy.deepcopy(original), examples, is_backward=name == "backward")
        return make_boxed_func(original.forward)

    return compiler


def _count(graph: GraphModule, examples: list, is_backward: bool) -> Traffic:
    inputs, fake = _on_cuda(graph, examples)
    view_to_reshape(graph)
    with V.set_fake_mode(fake), V.set_debug_handler(DebugContext()):
        replace_random_passes(graph)
        lowering = GraphLowering(
            graph, example_inputs=inputs, is_inference=False, is_backward=is_backward, graph_id=int(is_backward)
        )
        with V.set_graph_handler(lowering):
            lowering.run(*inputs)
            lowering.init_wrapper_code()
            lowering._update_scheduler()
            total, kernels, _ = lowering.count_bytes()
    by_kind: dict[str, tuple[int, int]] = collections.defaultdict(lambda: (0, 0))
    for kernel, words in kernels:  # words of 4 bytes
        kind = getattr(getattr(kernel, "node", None), "python_kernel_name", None) or type(kernel).__name__
        count, moved = by_kind[kind]
        by_kind[kind] = count + 1, moved + round(4 * words)
    return Traffic(len(kernels), total, dict(by_kind))


def _on_cuda(graph: GraphModule, examples: list) -> tuple[list, FakeTensorMode]:
    """The graph's devices are rewritten in place; its inputs are made again as fake tensors on the GPU."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)

    def moved(example: object) -> object:
        if not isinstance(example, Tensor):
            return example
        shape, stride = map(int, example.shape), map(int, example.stride())
        meta = torch.empty_strided(tuple(shape), tuple(stride), dtype=example.dtype, device="meta")
        return FakeTensor(fake, meta, CUDA)

    inputs = [moved(example) for example in examples]
    for node in graph.graph.nodes:
        if node.op == "call_function" and "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": CUDA}
    graph.recompile()
    with torch.no_grad():
        FakeTensorProp(graph, fake).propagate_dont_convert_inputs(*inputs)
    return inputs, fake


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("form", choices=["plain", "coded"])
    parser.add_argument("batch", type=int, nargs="?", default=512)
    parser.add_argument("--dense", action="store_true", help="the 3x3 convolutions as dense ones, see network/dense.py")
    arguments = parser.parse_args()
    make, side = NETWORKS[arguments.network]
    model = make(coded=arguments.form == "coded")
    for module in model.modules():
        if isinstance(module, CodedBottleneck):
            module.dense = arguments.dense
    traffic = training_traffic(model, arguments.batch, side)

    def megabytes(moved: float) -> str:
        return f"{moved / arguments.batch / 1e6:8.2f} MB an image"

    for name, step in traffic.items():
        print(f"{name:48} {step.kernels:4d} {megabytes(step.bytes)}")
        for kind, (count, moved) in step.by_kind.items():
            print(f"    {kind:44} {count:4d} {megabytes(moved)}")
    print(f"{'total':53} {megabytes(sum(step.bytes for step in traffic.values()))}")


if __name__ == "__main__":
    main()
