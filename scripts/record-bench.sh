#!/usr/bin/env bash
# Records the Go benchmarks of the hot paths with their provenance, in the format that benchstat reads:
#   scripts/record-bench.sh [FILE]        default: results/bench/COMMIT.txt
# COUNT (5) is how often each benchmark runs, BENCHTIME (1s) how long.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/provenance.sh

file=${1:-results/bench/$(git rev-parse --short HEAD).txt}
mkdir -p "$(dirname "$file")"
partial=$file.partial
trap 'rm -f "$partial"' EXIT

{
  provenance "$(load_now)" '*.go' go.mod
  echo "nofile: $(ulimit -n)"
  go test -run '^$' -bench . -benchmem -benchtime "${BENCHTIME:-1s}" -count "${COUNT:-5}" -timeout 30m \
    ./sink/smtp ./sink/fault ./sink/session ./sink/state ./sink/metrics ./sink ./xk6smtp/client | grep -v '^\(PASS\|ok\|?\)'
  echo "load-after: $(load_now)"
} | tee "$partial"
mv "$partial" "$file"
echo "recorded $file" >&2
