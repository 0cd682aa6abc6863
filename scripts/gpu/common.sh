# Sourced by the other scripts: where things are on the machine with the card. Everything lies in one folder.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$here/project
work=${GPU_WORK:-/tmp/coded-resnext}
OUT=${OUT:-$work/return} # what comes back
preset=${GPU_PRESET:-cifar10-60-epochs} suffix=${GPU_SUFFIX:-}
few=${GPU_FEW_PRESET:-cifar10-few}
python=${GPU_PYTHON:-python3}
export PYTHONPATH=$project/src PYTHONUNBUFFERED=1 CODED_RESNEXT_COMMIT=$(cat "$here/commit")
export CODED_RESNEXT_OUT=$work/out CODED_RESNEXT_DATA=$work/data TORCHINDUCTOR_CACHE_DIR=$work/inductor
mkdir -p "$CODED_RESNEXT_OUT" "$CODED_RESNEXT_DATA" "$work/strips" "$OUT"
cd "$project"

# The halves of the data travel with different commands and meet here.
keep() { for half in "$here"/../a "$here"/../b; do [ ! -d "$half" ] || cp -r "$half/." "$work/strips/"; done; }

# Files that come back: at most 15 MB each.
pack() { # NAME FOLDER PATH...
	[ -d "$2" ] && tar -C "$2" -cz "${@:3}" | split -b 15000000 - "$OUT/$1.tar.gz."
}
