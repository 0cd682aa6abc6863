#!/usr/bin/env bash
# What runs on the card from call 2 on, whatever calls come and go: the paper's pair side by side, its evaluations, and
# beside these many small runs. Every step is resumable, and one that fails does not stop the next.
set -uo pipefail
. "$(dirname "$0")/common.sh"
budget=$1
runs="coded-s0 plain-s0" shorter=
if [ -z "${GPU_ARGS:-}" ]; then # as many epochs as fit, by the speed of the rehearsal
	epochs=$($python "$here/epochs_that_fit.py" "$work/rehearsal/data/results/$preset" "$budget")
	[ "$epochs" = 60 ] || { shorter="-p epochs=$epochs -p warmup_epochs=$((epochs / 10))"; suffix=$epochs-epochs; }
	GPU_ARGS="-p evaluate_every=5"
fi
echo "pair: $preset ${suffix:-as listed} $GPU_ARGS $shorter"
$python -m coded_resnext together "$preset" $runs ${suffix:+--suffix $suffix} $GPU_ARGS $shorter > "$work/pair.txt" 2>&1
touch "$work/pair-ended"
echo "pair ended: $SECONDS s"
for run in $(ls "$CODED_RESNEXT_OUT/data/runs/$preset"); do
	$python "$here/evaluate_runs.py" "$preset" "$run" >> "$work/evaluate.txt" 2>&1 &
done
if [ -n "${GPU_FEW:=$(cat "$here/few.txt")}" ]; then
	# a line of few.txt is a preset and runs that one process trains one after another
	echo "$GPU_FEW" | TORCHINDUCTOR_COMPILE_THREADS=2 OMP_NUM_THREADS=1 xargs -P "${GPU_JOBS:-12}" -L 1 \
		$python "$here/several.py" ${GPU_FEW_ARGS:--p compile=true -p evaluate_every=50} > "$work/few.txt" 2>&1
	echo "few ended: $SECONDS s"
fi
wait
touch "$work/all-ended"
