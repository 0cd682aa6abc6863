# Sourced by the other scripts: where things are on the machine with the card. Everything lies in one folder.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${GPU_WORK:-/tmp/coded-resnext}
project=$work/project # not what travels: that is replaced under whatever still runs when the next command comes
OUT=${OUT:-$work/return} # what comes back
preset=${GPU_PRESET:-cifar10-60-epochs} suffix=${GPU_SUFFIX:-}
python=${GPU_PYTHON:-python3}
export PYTHONPATH=$project/src PYTHONUNBUFFERED=1 CODED_RESNEXT_COMMIT=$(cat "$here/commit") GPU_LOGS=$work/logs
export CODED_RESNEXT_OUT=$work/out CODED_RESNEXT_DATA=$work/data TORCHINDUCTOR_CACHE_DIR=$work/inductor
export GPU_STRIPS=$work/strips CUDA_MPS_PIPE_DIRECTORY=$work/mps CUDA_MPS_LOG_DIRECTORY=$work/logs/mps
mkdir -p "$CODED_RESNEXT_OUT" "$CODED_RESNEXT_DATA" "$work/strips" "$OUT" "$GPU_LOGS"
[ -d "$project" ] || cp -r "$here/project" "$project"
cd "$project"

# The parts of the data travel with different commands and meet here.
keep() {
	for part in "$here"/../[0-9]*; do [ ! -d "$part" ] || cp -r "$part/." "$work/strips/"; done
	mkdir -p "$project/data/weights"
	[ ! -d "$work/strips/weights" ] || cp "$work/strips/weights/"* "$project/data/weights/" 2> /dev/null || true
}

# Strips to image folders, once all parts are there.
unpack() {
	for set in "$work"/strips/cifar*; do
		name=$(basename "$set")
		[ -d "$CODED_RESNEXT_DATA/$name/train" ] || $python "$here/strips.py" unpack "$set" "$CODED_RESNEXT_DATA/$name"
	done
}

# NVIDIA's multi-process service, where it is: kernels of several processes then run side by side and not in turns. It
# belongs to the command that starts it, and ends with it.
serve() {
	command -v nvidia-cuda-mps-control > /dev/null || { echo "no MPS here"; return 1; }
	mkdir -p "$CUDA_MPS_PIPE_DIRECTORY" "$CUDA_MPS_LOG_DIRECTORY"
	timeout 20 nvidia-cuda-mps-control -d
	timeout 60 $python -c 'import torch; print("MPS:", int(torch.ones(8, device="cuda").sum()))' && return
	echo "MPS does not work here"
	end_service
	return 1
}
end_service() {
	echo quit | timeout 20 nvidia-cuda-mps-control > /dev/null 2>&1 || pkill -9 nvidia-cuda-mps
	rm -rf "$CUDA_MPS_PIPE_DIRECTORY"
	export CUDA_MPS_PIPE_DIRECTORY=$work/no-mps
}

# Files that come back: at most 15 MB each.
pack() { # NAME FOLDER PATH...
	[ -d "$2" ] && tar -C "$2" -cz "${@:3}" | split -b 15000000 - "$OUT/$1.tar.gz."
}
