# Where a recorded measurement comes from, for scripts/record-*.sh, which source this file in the root of the checkout.

# load_now prints the load averages.
load_now() { cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown; }

# provenance LOAD PATH... prints lines of "key: value". LOAD is what load_now said before the measurement. The record is dirty when what is below
# a PATH isn't as committed.
provenance() {
  local load=$1
  shift
  echo "commit: $(git rev-parse --short HEAD)"
  echo "dirty: $([ -z "$(git status --porcelain -- "$@")" ] && echo false || echo true)"
  echo "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  echo "go: $(go env GOVERSION)"
  echo "kernel: $(uname -sr)"
  echo "cores: $(nproc)"
  echo "load-before: $load"
}
