#!/usr/bin/env bash
# Records the Go benchmarks of the hot paths with their provenance, in the format that benchstat reads:
#   scripts/record-bench.sh [FILE]        default: results/bench/COMMIT.txt
# COUNT (5) is how often each benchmark runs, BENCHTIME (1s) how long.
set -euo pipefail
cd "$(dirname "$0")/.."

commit=$(git rev-parse --short HEAD)
dirty=$([ -z "$(git status --porcelain -- '*.go' go.mod)" ] && echo false || echo true)
file=${1:-results/bench/$commit.txt}
mkdir -p "$(dirname "$file")"
partial=$file.partial
trap 'rm -f "$partial"' EXIT

{
  echo "commit: $commit"
  echo "dirty: $dirty"
  echo "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  echo "go: $(go env GOVERSION)"
  echo "kernel: $(uname -sr)"
  echo "cores: $(nproc)"
  echo "load-before: $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown)"
  echo "nofile: $(ulimit -n)"
  go test -run '^$' -bench . -benchmem -benchtime "${BENCHTIME:-1s}" -count "${COUNT:-5}" -timeout 30m \
    ./sink/smtp ./sink/fault ./sink/session ./sink/state ./sink/metrics ./sink ./xk6smtp/client | grep -v '^\(PASS\|ok\|?\)'
  echo "load-after: $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown)"
} | tee "$partial"
mv "$partial" "$file"
echo "recorded $file" >&2
