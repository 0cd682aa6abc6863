#!/usr/bin/env bash
# Many small runs: trains and evaluates what a list names, see pool.py, so many processes at a time, for so many seconds at
# most, and brings back what there is. Again to go on.
#
#     bash many.sh SECONDS PROCESSES [LIST]          GPU_GRAPHS=yes for CUDA graphs
set -uo pipefail
. "$(dirname "$0")/common.sh"
begun=$SECONDS
keep
for set in "$GPU_STRIPS"/cifar*; do mkdir -p "$CODED_RESNEXT_DATA/$(basename "$set")/test"; done # what is read are the strips
export OMP_NUM_THREADS=1
serve || true
$python "$here/pool.py" "$2" ${GPU_MANY_ARGS:--p compile=true -p evaluate_every=50} < "${3:-$here/many.txt}" > "$work/logs/pool.txt" 2>&1 &
pool=$!
while kill -0 $pool 2> /dev/null && [ $((SECONDS - begun)) -lt "$1" ]; do sleep 1; done
command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=utilization.gpu,memory.used,power.draw,clocks.sm --format=csv
pkill -f pool.py
sleep 0.5
pkill -9 -f pool.py
end_service
tail -n 70 "$work/logs/pool.txt" | cut -c1-180
tail -qn 1 "$work/logs"/worker-*.txt | head -n 20
tar -C "$work/logs" -czf "$OUT/logs.tar.gz" .
pack results "$CODED_RESNEXT_OUT" data/results
# Weights come back of these runs, in this order, as far as they fit; of the others their records.
kept= room=${GPU_ROOM:-58000000}
for name in ${GPU_KEEP:-$(cat "$here/keep.txt")}; do
	file=data/weights/$name.safetensors
	size=$(stat -c %s "$CODED_RESNEXT_OUT/$file" 2> /dev/null || echo 0)
	[ "$size" = 0 ] || [ "$size" -gt "$room" ] || { kept="$kept $file ${file%.safetensors}.json" && room=$((room - size)); }
done
[ -z "$kept" ] || pack weights "$CODED_RESNEXT_OUT" $kept
ls -l "$OUT"
echo "call: $((SECONDS - begun)) s"
