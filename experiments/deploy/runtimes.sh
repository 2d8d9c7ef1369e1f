#!/usr/bin/env bash
# Runtimes beside the export: one command per row, each through subnets.compare on 250 rendered images.
#
#   NETWORK=runs/search/demo:p85 bash experiments/deploy/runtimes.sh FOLDER-FOR-ENVIRONMENTS
#
# From the repository, after `make demo`. Every environment has torch's CPU build first, so that no other is pulled.
# Which rows, without making the environments: ROWS="onnx tflite" ...
set -uo pipefail
envs=$1
network=${NETWORK:-runs/search/demo:p85}
export OMP_NUM_THREADS=1 PYTHONPATH=$PWD
out=runs/export/runtimes
common="arch=$network export.shapes=fixed export.latency_rounds=0 export.calibration_images=128"
cpu="--extra-index-url ${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"

environment() { # NAME PACKAGES...
    [ -d "$envs/$1" ] && return
    python3 -m venv "$envs/$1"
    # shellcheck disable=SC2086
    "$envs/$1/bin/pip" install -q torch==2.13.0 $cpu && "$envs/$1/bin/pip" install -q "${@:2}"
}
row() { # NAME TOLERANCE COMMAND...
    echo "== $1"
    timeout 600 "${@:3}" tolerance="$2" split=test threads=1 2>&1 | grep -E "largest|people|AP on|NHWC|error"
}
elsewhere() { # NAME RUNTIME PYTHON
    "$3" experiments/deploy/elsewhere.py "$2" $out-onnx $out-onnx.npz $out-$2.npz > /dev/null 2>&1
    row "$1" 1e-3 "$3" -m subnets.compare $out-onnx other=$out-$2.npz
}
wanted() { [[ " ${ROWS:-onnx torch openvino tflite executorch} " == *" $1 "* ]]; }

if wanted onnx; then
    environment small . openvino ncnn pnnx
    p="$envs/small/bin/python"
    $p -m subnets.export $common format=[onnx,levelled,int8,torch_export,openvino] name=runtimes-onnx
    $p -m subnets.export $common format=[onnx,int8] export.int8=tensor name=runtimes-tensor
    row "onnxruntime" 1e-3 $p -m subnets.compare $out-onnx other=$out-onnx/model.onnx
    row "torch.export" 1e-3 $p -m subnets.compare $out-onnx other=$out-onnx/model.pt2
    row "openvino" 1e-3 $p -m subnets.compare $out-onnx other=$out-onnx/openvino/model.xml
    $p -m subnets.compare $out-onnx write=$out-onnx.npz split=test
    elsewhere ncnn ncnn $p
    elsewhere AOTInductor aotinductor $p
    row "onnxruntime, INT8" null $p -m subnets.compare $out-onnx other=$out-onnx/model_int8.onnx
    row "onnxruntime, INT8 per tensor" null $p -m subnets.compare $out-tensor other=$out-tensor/model_int8.onnx
fi
# A format and its INT8, of an optional package: name of the row, extra and format, name of its files, label.
optional() {
    wanted "$1" || return 0
    environment "$1" ".[$1]"
    p="$envs/$1/bin/python"
    $p -m subnets.export $common "format=[$1,$1_int8]" "name=runtimes-$1"
    row "$3" 1e-3 $p -m subnets.compare "$out-$1" "other=$out-$1/model.$2"
    row "$3, INT8" null $p -m subnets.compare "$out-$1" "other=$out-$1/model_int8.$2"
}
optional tflite tflite litert
optional executorch pte executorch
