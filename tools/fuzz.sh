#!/usr/bin/env bash
# Every fuzz target for FUZZ_SECONDS each (default 20), as many at a time as there are cores.
# Seeds come from tests/fuzz/corpora/TARGET/; what is found beyond them is kept in
# $FERRULE_CACHE/corpora/TARGET/ and used again. Fails if any target crashed, and shows where.
# With FUZZ_RUNS: so many inputs each, from the seeds alone and the same ones each time, for CI.
# Arguments: names of targets; none for all.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-20}
cache=${FERRULE_CACHE:-$PWD/.cache}
corpora=$cache/corpora
venv=.venv-fuzz
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

if [[ ! -e $venv/.locked || requirements/fuzz.lock -nt $venv/.locked ]]; then
	"${PYTHON:-python3}" -m venv "$venv"
	echo '*' >"$venv/.gitignore"
	"$venv/bin/python" -m pip install --quiet --require-hashes -r requirements/fuzz.lock
	"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e .
	touch "$venv/.locked"
fi

limits="-max_total_time=$seconds"
if [[ -n ${FUZZ_RUNS:-} ]]; then
	limits="-runs=$FUZZ_RUNS -seed=1"
	corpora=$logs/corpora
	export PYTHONHASHSEED=0
fi

export PYTHONPATH=tests
python=$PWD/$venv/bin/python
if (($#)); then targets=("$@"); else mapfile -t targets < <("$python" -m fuzz --list); fi

fuzz_one() { # fuzz_one TARGET
	local target=$1 kept=$corpora/$1 crashes=$cache/crashes
	mkdir -p "$kept" "$crashes"
	"$python" -m fuzz "$target" "$kept" "tests/fuzz/corpora/$target" \
		$limits -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$crashes/$target-" >"$logs/$target" 2>&1 || touch "$logs/$target.failed"
	local runs
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/$target")
	echo "${runs:-0}" >"$logs/$target.runs"
	printf '%-20s %10s executions, %4s inputs kept\n' "$target" "${runs:-0}" "$(find "$kept" -type f | wc -l)"
}
export -f fuzz_one
export limits corpora cache logs python

printf '%s\0' "${targets[@]}" | xargs -0 -P "$(nproc)" -I{} bash -c 'fuzz_one "$1"' fuzz {}

status=0
for failed in "$logs"/*.failed; do
	[[ -e $failed ]] || continue
	target=$(basename "$failed" .failed)
	echo "=== $target crashed; the input is in $cache/crashes/ =========================="
	grep -v '^#' "$logs/$target" | tail -40
	status=1
done
total=$(awk '{ n += $1 } END { print n }' "$logs"/*.runs)
echo "${#targets[@]} targets, $total executions"
exit "$status"
