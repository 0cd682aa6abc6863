#!/usr/bin/env bash
# Call 2 (with tools and b): unpacks, starts queue.sh so that it outlives the call, and waits at most so many seconds.
#
#     bash train.sh SECONDS [SECONDS that the pair may train]
set -uo pipefail
. "$(dirname "$0")/common.sh"
limit=$1 budget=${2:-420} begun=$SECONDS
keep
if [ ! -d "$CODED_RESNEXT_DATA/cifar10/test" ]; then
	for set in "$work"/strips/*; do $python "$here/strips.py" unpack "$set" "$CODED_RESNEXT_DATA/$(basename "$set")"; done
fi
echo "unpacked: $((SECONDS - begun)) s"
setsid nohup bash "$here/queue.sh" "$budget" > "$work/queue.txt" 2>&1 < /dev/null &
echo $! > "$work/queue.pid"
until [ -e "$work/pair-ended" ] || [ $((SECONDS - begun)) -ge "$limit" ]; do sleep 1; done
cat "$work/queue.txt" "$work/pair.txt"
command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=utilization.gpu,memory.used,power.draw,clocks.sm --format=csv
cp "$work"/*.txt "$OUT/"
pack results "$CODED_RESNEXT_OUT" data/results
echo "call: $((SECONDS - begun)) s"
