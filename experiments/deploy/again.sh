#!/usr/bin/env bash
# What hangs on the weights that ship, measured anew and put into README.md; some ten minutes on one core.
#
#   DATA=/data/real bash experiments/deploy/again.sh FOLDER-FOR-ENVIRONMENTS [STEP...]
#
# From the repository. Steps, all of them unless some are named:
#   runtimes  on the rendered pictures (runtimes.txt), with the decisions that differ (apart.json); OTHERS= which
#             beside the formats, IMAGES= how many pictures (100; the bar asks for 250)
#   int8      per channel and per tensor on all test photographs (../export/int8.json)
#   folding   what folding batch norms costs (folding.json)
#   grouping  rules of matching on all val and test photographs (grouping.json)
#   port      from the folder alone (port.txt); VECTORS= how many (20)
#   page      on the test photographs (web.json), where npm's onnxruntime-web and Chromium are there
#   rows      README.md's block of the figures of the steps before it; alone, of all that is recorded
# A step that fails is told, and the rest goes on.
set -uo pipefail
envs=$1
here=${BASH_SOURCE[0]%/*}
network=${NETWORK:-photographs:large}
export OMP_NUM_THREADS=1 PYTHONPATH=${PYTHONPATH:-$PWD}
p="$envs/small/bin/python"

runtimes() {
    rm -rf runs/export/runtimes-small runs/export/runtimes-tensor
    # AOTInductor compiles for minutes: name it in OTHERS to have it.
    NETWORK=$network CALIBRATION=32 IMAGES=${IMAGES:-100} ROWS="small apart" OTHERS="${OTHERS:-ncnn mnn opencv tract coreml openvino_int8}" \
        bash "$here/runtimes.sh" "$envs" >"$here/runtimes.txt" 2>&1
}
int8() { $p -m experiments.export.int8 "$network" --photographs "$DATA" --again; }
folding() { $p "$here/folding.py" photographs:small photographs:medium "$network"; }
grouping() {
    $p "$here/grouping.py" "$network" --photographs "$DATA" --splits val test --rules hungarian greedy first \
        --name photographs
}
port() {
    rm -rf runs/export/again-port
    $p -m subnets.export "arch=$network" "export.vectors=${VECTORS:-20}" export.latency_rounds=0 name=again-port \
        >/dev/null
    $p "$here/port.py" runs/export/again-port | tee "$here/port.txt"
}
page() {
    [ -d node_modules/onnxruntime-web ] && command -v chromium >/dev/null ||
        { echo "left out: npm install --no-save onnxruntime-web, apt-get install chromium"; return 1; }
    rm -rf runs/export/again-page
    $p -m subnets.export "arch=$network" "format=[onnx,web]" export.latency_rounds=0 name=again-page >/dev/null
    $p "$here/web.py" runs/export/again-page --data "$DATA" --name "$network"
}
rows() { $p "$here/rows.py" "${ran[@]}"; } # of what ran now, or of all that is recorded
ran=()

for step in $([ $# -gt 1 ] && echo "${@:2}" || echo runtimes int8 folding grouping port page rows); do
    echo "## $step ($(date +%T))"
    if $step; then ran+=("$step"); else echo "!! $step failed with status $?"; fi
done
echo "## done ($(date +%T))"
