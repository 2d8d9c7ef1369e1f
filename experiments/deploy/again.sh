#!/usr/bin/env bash
# What hangs on the weights that ship, measured anew; a few minutes on one core.
#
#   DATA=/data/real bash experiments/deploy/again.sh FOLDER-FOR-ENVIRONMENTS
#
# From the repository. Rules of matching on all photographs (grouping.json), runtimes on the rendered pictures
# (runtimes.txt) with the decisions that differ (apart.json), a port from the folder alone (port.txt), and, where
# npm's onnxruntime-web and Chromium are there, the page on the photographs (web.json). Figures of the README are
# read off these files. A step that fails is told, and the rest goes on.
set -uo pipefail
envs=$1
here=${BASH_SOURCE[0]%/*}
network=${NETWORK:-photographs:large}
export OMP_NUM_THREADS=1 PYTHONPATH=${PYTHONPATH:-$PWD}

step() { # NAME COMMAND...
    echo "## $1 ($(date +%T))"
    "${@:2}" || echo "!! $1 failed with status $?"
}
fresh() { rm -rf runs/export/again-page runs/export/again-port runs/export/runtimes-small runs/export/runtimes-tensor; }
runtimes() {
    NETWORK=$network CALIBRATION=32 ROWS="small apart" bash "$here/runtimes.sh" "$envs" 2>&1 | tee "$here/runtimes.txt"
}
port() {
    $p -m subnets.export "arch=$network" export.vectors=40 export.latency_rounds=0 name=again-port >/dev/null
    $p "$here/port.py" runs/export/again-port | tee "$here/port.txt"
}
page() {
    $p -m subnets.export "arch=$network" "format=[onnx,web]" export.latency_rounds=0 name=again-page >/dev/null
    $p "$here/web.py" runs/export/again-page --data "$DATA" --name "$network"
}

fresh
step runtimes runtimes
p="$envs/small/bin/python"
step grouping $p "$here/grouping.py" "$network" --photographs "$DATA" --splits val test \
    --rules hungarian greedy first --name photographs
step port port
if [ -d node_modules/onnxruntime-web ] && command -v chromium >/dev/null; then
    step page page
else
    echo "## page left out: npm install --no-save onnxruntime-web, apt-get install chromium"
fi
echo "## done ($(date +%T))"
