"""The names that the released LitePose checkpoints give to the tensors of our layers."""

from __future__ import annotations

from supernet.arch import Arch
from supernet.topology import Layer
from supernet.topology import layers

NORM_TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
# Per part of a layer's name: where the released network keeps its convolution and its norm.
_STEM = {
    "conv": ("first.0.0", "first.0.1"),
    "depthwise": ("first.1.0", "first.1.1"),
    "project": ("first.2", "first.3"),
}
_BLOCK = {"expand": "inv", "depthwise": "depth_conv", "project": "point_conv"}
_OUTPUT = {"output_refined": "final_refined", "output_raw": "final_raw"}


def official_names(arch: Arch, num_joints: int) -> dict[str, str]:
    """For every tensor of our static network of `arch` its name in the released one."""
    names: dict[str, str] = {}
    for layer in layers(arch, num_joints):
        conv, norm = _modules(layer)
        if layer.kind != "norm":
            names[f"{layer.name}.conv.weight"] = f"{conv}.weight"
        if layer.norm:
            names |= {f"{layer.name}.norm.{tensor}": f"{norm}.{tensor}" for tensor in NORM_TENSORS}
    return names


def _modules(layer: Layer) -> tuple[str, str]:
    """Official paths of the layer's convolution and of its norm (of which one may not exist)."""
    group, *path = layer.name.split(".")
    if group == "stem":
        return _STEM[path[0]]
    if group == "stages":
        stage, block, part = path
        base = f"stage.{stage}.{block}.{_BLOCK[part]}"
        return f"{base}.0", f"{base}.1"
    step, part, *rest = path
    if part in _OUTPUT:
        # Outputs count from the first step that has one.
        base = f"{_OUTPUT[part]}.{int(step) - 1}.conv"
        return (f"{base}.0", f"{base}.1") if rest == ["depthwise"] else (f"{base}.3", "")
    return f"deconv_{part}.{step}", f"deconv_bnrelu.{step}.0"
