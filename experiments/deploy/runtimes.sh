#!/usr/bin/env bash
# Runtimes beside the export: one command per row, each through subnets.compare on 250 rendered images.
#
#   NETWORK=runs/search/demo:p85 bash experiments/deploy/runtimes.sh FOLDER-FOR-ENVIRONMENTS
#
# From the repository, after `make demo`; NETWORK=photographs:large needs no training. NETWORK is arch=, with what
# else an export needs: NETWORK="largest supernet=demo" after the demo's training alone. Every environment has torch's CPU
# build first, so that no other is pulled, but rknn's, which pins an older torch with CUDA (6 GB).
# Which rows: ROWS="small tflite" ... ; of "small" which runtimes beside the formats: OTHERS="ncnn mnn" ... ; how many
# training images set the ranges of INT8: CALIBRATION=128; how many test images: IMAGES=250.
set -uo pipefail
envs=$1
network=${NETWORK:-runs/search/demo:p85}
here=${BASH_SOURCE[0]%/*}
export OMP_NUM_THREADS=1 PYTHONPATH=${PYTHONPATH:-$PWD}
out=runs/export/runtimes
images=${IMAGES:-250}
common="arch=$network export.shapes=fixed export.latency_rounds=0 export.calibration_images=${CALIBRATION:-128}"
cpu="--extra-index-url ${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"

environment() { # NAME PACKAGES...
    [ -d "$envs/$1" ] && return
    python3 -m venv "$envs/$1"
    # shellcheck disable=SC2086
    [[ " rknn mnn " == *" $1 "* ]] || "$envs/$1/bin/pip" install -q torch==2.13.0 $cpu
    "$envs/$1/bin/pip" install -q "${@:2}"
}
versions() { # NAME PATTERN
    "$envs/$1/bin/pip" list 2>/dev/null | grep -iE "^($2) " | tr -s ' '
}
row() { # NAME TOLERANCE COMMAND...
    echo "== $1"
    timeout 900 "${@:3}" tolerance="$2" split=test images=$images threads=1 2>&1 | grep -E "largest|people|AP on|NHWC|error"
}
# What `apart` tells as well is told once.
fp32() { [ "$2" = 1e-3 ] && wanted apart || row "$@"; }
elsewhere() { # NAME RUNTIME ENVIRONMENT TOLERANCE [TRAINING]
    local target="$out-$2${5:+-int8}.npz"
    rm -f "$target"
    [[ " ${OTHERS:-ncnn mnn opencv tract aotinductor coreml openvino_int8 rknn} " == *" $2 "* ]] || return 0
    "$envs/$3/bin/python" "$here/elsewhere.py" "$2" $out-small $out-pixels.npz "$target" ${5:+"$5"} >/dev/null 2>&1
    fp32 "$1" "$4" $p -m subnets.compare $out-small other="$target"
}
wanted() { [[ " ${ROWS:-small apart tflite executorch rknn} " == *" $1 "* ]]; }

environment small ".[coreml]" openvino ncnn pnnx tract
p="$envs/small/bin/python"
if wanted small; then
    versions small "torch|onnx|onnxruntime|openvino|ncnn|pnnx|tract|coremltools|opencv-python-headless|numpy"
    $p -m subnets.export $common "format=[onnx,fp16,int8,torch_export,openvino,coreml]" name=runtimes-small
    $p -m subnets.export $common format=int8 export.int8=tensor name=runtimes-tensor
    fp32 "onnxruntime" 1e-3 $p -m subnets.compare $out-small other=$out-small/model.onnx
    fp32 "torch.export" 1e-3 $p -m subnets.compare $out-small other=$out-small/model.pt2
    fp32 "OpenVINO" 1e-3 $p -m subnets.compare $out-small other=$out-small/openvino/model.xml
    $p -m subnets.compare $out-small write=$out-pixels.npz split=test images=$images
    elsewhere ncnn ncnn small 1e-3
    environment mnn MNN numpy
    versions mnn MNN
    elsewhere MNN mnn mnn 1e-3
    elsewhere OpenCV opencv small 1e-3
    elsewhere tract tract small 1e-3
    elsewhere AOTInductor aotinductor small 1e-3
    elsewhere "Core ML's program, operator by operator in torch" coreml small 1e-3
    row "onnxruntime, fp16" null $p -m subnets.compare $out-small other=$out-small/model_fp16.onnx
    row "onnxruntime, INT8" null $p -m subnets.compare $out-small other=$out-small/model_int8.onnx
    elsewhere "OpenVINO, INT8" openvino_int8 small null
    row "onnxruntime, INT8 per tensor" null $p -m subnets.compare $out-tensor other=$out-tensor/model_int8.onnx
fi
# Which decisions of grouping differ, in all of them at once.
if wanted apart; then
    others=("$out"-small/model.onnx "$out"-small/model.pt2 "$out"-small/openvino/model.xml)
    for each in ncnn mnn opencv tract aotinductor coreml; do
        [ -f "$out-$each.npz" ] && others+=("$out-$each.npz")
    done
    $p experiments/deploy/apart.py $out-small "${others[@]}" --images "$images" --name "$network"
fi
# A format and its INT8, of an optional package: name of the row, extra and format, name of its files, label.
optional() {
    wanted "$1" || return 0
    environment "$1" ".[$1]"
    versions "$1" "torch|litert-torch|ai-edge-litert|ai-edge-quantizer|executorch|torchao"
    local p="$envs/$1/bin/python"
    $p -m subnets.export $common "format=[$1,$1_int8]" "name=runtimes-$1"
    row "$3" 1e-3 $p -m subnets.compare "$out-$1" "other=$out-$1/model.$2"
    row "$3, INT8" null $p -m subnets.compare "$out-$1" "other=$out-$1/model_int8.$2"
}
optional executorch pte ExecuTorch
optional tflite tflite LiteRT
if wanted rknn; then
    environment rknn rknn-toolkit2
    versions rknn "rknn-toolkit2"
    $p -m subnets.compare $out-small write=$out-training.npz split=train images=32
    elsewhere "RKNN's simulator, fp16" rknn rknn null
    elsewhere "RKNN's simulator, INT8" rknn rknn null $out-training.npz
fi
