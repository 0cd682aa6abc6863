#!/usr/bin/env bash
# Call 2 (with tools and 2): unpacks, trains the paper's pair side by side, evaluates it, and brings everything back; stops
# after so many seconds. Again to go on.
#
#     bash train.sh SECONDS [SECONDS that the pair may train]
set -uo pipefail
. "$(dirname "$0")/common.sh"
limit=$1 budget=${2:-420} begun=$SECONDS
left() { echo $((limit - SECONDS + begun)); }
keep
unpack
echo "unpacked: $((SECONDS - begun)) s"
runs="coded-s0 plain-s0" shorter=
if [ -z "${GPU_ARGS:-}" ]; then # as many epochs as fit, by the speed of the rehearsal
	epochs=$($python "$here/epochs_that_fit.py" "$work/rehearsal/data/results/$preset" "$budget")
	[ "$epochs" = 60 ] || { shorter="-p epochs=$epochs -p warmup_epochs=$((epochs / 10))"; suffix=$epochs-epochs; }
	GPU_ARGS="-p evaluate_every=5"
fi
echo "pair: $preset ${suffix:-as listed} $GPU_ARGS $shorter"
timeout "$(left)" $python -m coded_resnext together "$preset" $runs ${suffix:+--suffix $suffix} $GPU_ARGS $shorter \
	> "$work/logs/pair.txt" 2>&1
echo "trained: $((SECONDS - begun)) s"
if [ "$(left)" -gt 0 ]; then
	ls "$CODED_RESNEXT_OUT/data/runs/$preset" | sed "s/^/evaluate $preset /" |
		timeout "$(left)" $python "$here/pool.py" 2 > "$work/logs/evaluate.txt" 2>&1
fi
tail -n 3 "$work/logs/pair.txt"
cat "$work/logs/evaluate.txt"
command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=utilization.gpu,memory.used,power.draw,clocks.sm --format=csv
tar -C "$work/logs" -czf "$OUT/logs.tar.gz" .
pack results "$CODED_RESNEXT_OUT" data/results
pack weights "$CODED_RESNEXT_OUT" data/weights
echo "call: $((SECONDS - begun)) s"
