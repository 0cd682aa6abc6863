"""Networks for other runtimes: `torch.export`, and ONNX files that carry their manifest.

What is exported is folded, reads normalised images (B, C, H, W) in float32 and gives logits; the energies, when they
are asked for, are outputs of their own, named after their blocks.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from .. import __version__
from ..data.prepare import Preparation
from ..errors import CheckpointError, Missing, NotEqual, Refused
from ..files import write_atomically
from ..network.model import CodedResNeXt
from .folding import fold
from .manifest import Manifest

OPSET = 20
INPUT, LOGITS, ENERGIES = "images", "logits", "energies of "  # names in the ONNX graph
ANY_BATCH = "batch"
METADATA = "coded_resnext"  # the key under which an ONNX file carries its manifest
SEAL = "coded_resnext_sha256"  # that of its last entry, the hash of all bytes before it
PRODUCERS = ("torch", "onnx", "onnxscript")
# Of the largest value, as for the cut itself: the same sums in float32, in the order of another library.
TOLERANCE = 1e-4
CHECK_BATCH = 2


class _Answers(nn.Module):
    """A network whose outputs are tensors, not a dictionary."""

    def __init__(self, network: CodedResNeXt, energies: bool) -> None:
        super().__init__()
        self.network = network
        self.energies = energies

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits, energies = self.network(images, return_energies=True)
        return (logits, *(energies.values() if self.energies else ()))


def export_program(
    model: CodedResNeXt, image_size: int, *, batch: int | None = None, energies: bool = False
) -> torch.export.ExportedProgram:
    """A network, full or cut, folded and traced by `torch.export`, for images (B, C, image_size, image_size).

    Args:
        batch: B when it is fixed; None takes any.
        energies: outputs are the logits and, in network order, the energies of the coded blocks, not the logits alone.
    """
    network = _Answers(fold(model).cpu().float(), energies)
    images = torch.randn(batch or CHECK_BATCH, model.conv1.in_channels, image_size, image_size)
    shapes = None if batch else {"images": {0: torch.export.Dim(ANY_BATCH, min=1)}}
    return torch.export.export(network, (images,), dynamic_shapes=shapes)


def export_onnx(
    model: CodedResNeXt,
    path: Path,
    manifest: Manifest | None,
    image_size: int,
    *,
    batch: int | None = None,
    energies: bool = False,
) -> None:
    """Write an ONNX file, after ONNX Runtime has answered as PyTorch does.

    Args:
        path: of the file.
        manifest: what it carries along, so that `predict` needs nothing else; None for a file that only computes.
        image_size, batch, energies: see `export_program`.
    Raises:
        ValueError: the packages of the extra [export] are not installed.
        NotEqual: ONNX Runtime answers differently from PyTorch.
    """
    _extra("onnx")
    _extra("onnxscript")
    program = export_program(model, image_size, batch=batch, energies=energies)
    names = [LOGITS, *(ENERGIES + name for name in _coded_blocks(model) if energies)]
    exported = torch.onnx.export(
        program, input_names=[INPUT], output_names=names, opset_version=OPSET, dynamo=True, verbose=False
    )  # fmt: skip
    proto = exported.model_proto
    if batch is None:
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = ANY_BATCH  # else a symbol of the tracer's
    proto.producer_name, proto.producer_version = "coded-resnext", __version__
    notes = {"opset": str(OPSET), "producers": ", ".join(f"{name} {metadata.version(name)}" for name in PRODUCERS)}
    if manifest is not None:
        notes[METADATA] = manifest.to_json()
    for key, value in notes.items():
        proto.metadata_props.add(key=key, value=value)
    content = proto.SerializeToString()
    _check(content, model, image_size, batch)
    write_atomically(path, sealed(content))


def sealed(content: bytes) -> bytes:
    """An ONNX file with one more entry of metadata behind it, see SEAL; runtimes read it as any other.

    By the rules of protobuf a message is still one when a field's entry is appended, so no library has to read or write
    the rest, and what is hashed is every byte of it.
    """
    return content + _seal_entry(hashlib.sha256(content).hexdigest())


def _seal_entry(value: str) -> bytes:
    fields = ((0x0A, SEAL.encode()), (0x12, value.encode()))  # key and value of StringStringEntryProto, as lengths
    pair = b"".join(bytes((tag, len(text))) + text for tag, text in fields)
    return bytes((0x72, len(pair))) + pair  # field 14 of ModelProto, metadata_props


def _is_sealed(content: bytes, source: str) -> bool:
    """Whether a file carries its hash.

    Raises:
        CheckpointError: another hash than it has.
    """
    size = len(_seal_entry("0" * 64))
    body, entry = content[:-size], content[-size:]
    if SEAL.encode() not in entry:
        return False
    if entry != _seal_entry(hashlib.sha256(body).hexdigest()):
        raise CheckpointError(f"{source} is damaged (its content is not what it was sealed with): export it again")
    return True


class OnnxNetwork:
    """An ONNX file of ours in ONNX Runtime; needs no checkpoint.

    Attributes:
        manifest: what the file says of itself.
        energies: names of the coded blocks whose energies it gives.
        class_names: of its logits.
        preparation: how its images are prepared, see `preprocess`.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: a file that is no ONNX file, damaged, or one of another network.
        ValueError: onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise Missing(f"there is no file {path}")
        content = path.read_bytes()
        is_sealed = _is_sealed(content, str(path))
        self.session = session(content, str(path))
        notes = self.session.get_modelmeta().custom_metadata_map
        outputs = {output.name: output.shape for output in self.session.get_outputs()}
        if METADATA not in notes or LOGITS not in outputs:
            raise CheckpointError(
                f"{path} is an ONNX file of another network: it carries no manifest. "
                "Write one with python -m coded_resnext export --onnx"
            )
        if not is_sealed:  # unlike a folder's weights, its own are named by nothing else
            raise CheckpointError(
                f"{path} carries no hash of its content: an earlier version wrote it, or another program rewrote it, "
                "and its answers may have changed. Export it again"
            )
        self.manifest = Manifest.from_json(notes[METADATA], str(path))
        self.class_names = self.manifest.class_names
        self.preparation = Preparation.of(self.manifest.data, str(path))
        data, needs = self.manifest.data, self.session.get_inputs()[0].shape[1:]
        wanted = {
            "logits": (outputs[LOGITS][1:], [len(self.manifest.classes)]),
            "images": (needs, [len(data["mean"]), data["image_size"], data["image_size"]]),
        }
        for what, (has, says) in wanted.items():
            if has != says:
                raise CheckpointError(f"{path} has {what} of {has}, its manifest says {says}: it is another network's")
        self.energies = [name.removeprefix(ENERGIES) for name in outputs if name != LOGITS]

    def preprocess(self, images: Image.Image | Sequence[Image.Image]) -> np.ndarray:
        """One PIL image or several as this network reads them, (B, C, H, W), as `CodedResNeXt.preprocess`."""
        return self.preparation(images).contiguous().numpy()

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits (B, m) and energies by block of normalised images (B, C, H, W), float32.

        A file that was exported for batches of one size gets its last one filled up, and what fills it is not returned.
        """
        values = torch.from_numpy(images)
        for doubt in (self.preparation.check(values), self.preparation.check_values(values)):
            if doubt:
                warnings.warn(f"{doubt}: see OnnxNetwork.preprocess", stacklevel=2)
        size = self.session.get_inputs()[0].shape[0]
        names = [LOGITS, *(ENERGIES + name for name in self.energies)]
        if not isinstance(size, int):
            answers = self.session.run(names, {INPUT: images})
        else:
            filled = np.concatenate([images, np.zeros((-len(images) % size, *images.shape[1:]), images.dtype)])
            pieces = [self.session.run(names, {INPUT: filled[i : i + size]}) for i in range(0, len(filled), size)]
            answers = [np.concatenate(piece)[: len(images)] for piece in zip(*pieces, strict=True)]
        logits, *energies = answers
        return logits, dict(zip(self.energies, energies, strict=True))


def session(content: bytes, source: str, threads: int = 0):
    """An ONNX Runtime session on the CPU; `threads` 0 lets it choose.

    Raises:
        CheckpointError: what is no ONNX file, naming `source`.
    """
    runtime = _extra("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # Else its threads go on spinning after a run, and slow down whatever else this process computes.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no other base
        raise CheckpointError(f"{source} is no ONNX file that ONNX Runtime can run ({error})") from None


@torch.inference_mode()
def _check(content: bytes, model: CodedResNeXt, image_size: int, batch: int | None) -> None:
    images = torch.randn(batch or CHECK_BATCH, model.conv1.in_channels, image_size, image_size)
    found = session(content, "the exported network").run([LOGITS], {INPUT: images.numpy()})[0]
    expected = model.eval()(images.to(model.fc.weight)).cpu().numpy()
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    if not difference <= TOLERANCE:
        raise NotEqual(f"ONNX Runtime differs from PyTorch by {difference:.1e} of the largest logit, not {TOLERANCE}")


def _coded_blocks(model: CodedResNeXt) -> list[str]:
    return [name for name in model.block_names if model.get_submodule(name).coded]


def _extra(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise Refused(f"{name} is not installed: pip install coded-resnext[export]") from None
