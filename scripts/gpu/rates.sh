#!/usr/bin/env bash
# Before many small runs: how fast is the card when so many processes train side by side, with and without MPS, with and
# without CUDA graphs; the compiler's cache is warm afterwards. Four minutes.
#
#     bash rates.sh PROCESSES SECONDS [RUN ...]      RUN is PRESET/NAME; one graph each is compiled
set -uo pipefail
. "$(dirname "$0")/common.sh"
keep
begun=$SECONDS
processes=$1 seconds=$2
shift 2
export OMP_NUM_THREADS=1
together() { # NAME PROCESSES RUN...: one process each, in turn, until there are so many
	local name=$1 count=$2 folder=$work/rates/$1 i runs=("${@:3}")
	rm -rf "$folder" && mkdir -p "$folder"
	for ((i = 0; i < count; i++)); do
		local run=${runs[$((i % ${#runs[@]}))]}
		timeout 150 $python "$here/rate.py" "${run%%/*}" "${run##*/}" "$folder" "$seconds" > "$folder/$i.txt" 2> "$folder/$i.err" &
	done
	for ((i = 0; i < 1400; i++)); do
		[ "$(ls "$folder" | grep -c ready)" -ge "$count" ] && break
		[ "$(jobs -rp | wc -l)" -ge "$count" ] || break # one failed
		sleep 0.1
	done
	touch "$folder/go"
	wait
	cat "$folder"/*.txt | awk -v name="$name" '{ s += $2; n += 1; print } END { print "=== " name ": " n " processes, " s " images/s together" }' |
		tee -a "$OUT/rates.txt" | tail -n 4
	tail -n 2 "$folder/0.err"
	echo "at $((SECONDS - begun)) s"
}
TORCHINDUCTOR_COMPILE_THREADS=3 together compile $# "$@"
together turns "$processes" "$1" "$2"
if serve; then
	together served "$processes" "$1" "$2"
	GPU_GRAPHS=yes together served-graphs "$processes" "$1" "$2"
	end_service
else
	GPU_GRAPHS=yes together graphs "$processes" "$1" "$2"
fi
