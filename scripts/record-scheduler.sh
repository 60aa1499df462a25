#!/usr/bin/env bash
# Repeats Postfix's own published experiment (SCHEDULER_README, "Impact of active server concurrency limiter") with a private Postfix against
# the sink, and records it with its provenance:
#   scripts/record-scheduler.sh [FILE]        default: results/scheduler/scheduler.md
# RUNS (3) is how often each feedback runs, some 40 s each, six side by side. It ends with status 1 where Postfix doesn't do what theory
# says, with the table written all the same. Needs root, as Postfix does.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/provenance.sh

file=${1:-results/scheduler/scheduler.md}
mkdir -p "$(dirname "$file")"
table=$(mktemp)
trap 'rm -f "$table" "$file.partial"' EXIT

load=$(load_now)
status=0
SMTPSTORM_SCHEDULER=${RUNS:-3} SMTPSTORM_SCHEDULER_FILE=$table REQUIRE_ALL=1 \
  go test -count=1 -parallel 6 -timeout 30m -v -run '^TestPostfixScheduler$' ./bench/mta || status=$?
[ -s "$table" ] || exit "$status"

{
  echo "# Postfix's scheduler against a server that limits concurrency"
  echo
  echo "Made by \`make scheduler\`. One message to 2,000 recipients of a domain, two per delivery; the server takes five connections and turns"
  echo "others away with 421. Initial concurrency 5, limit 20, connection caching off, positive and negative feedback alike; each RCPT takes 50 to"
  echo "150 ms. Published: SCHEDULER_README, last table. Theory: 1/(1+ceil(1/feedback)), with a third for 0.3333. The mean of the runs must be"
  echo "within 1.5 points of theory for the first four; the last two were published for an algorithm that didn't yet round by half a feedback."
  echo
  echo '```'
  provenance "$load" '*.go' go.mod
  echo "load-after: $(load_now)"
  echo "status: $status"
  echo '```'
  echo
  cat "$table"
} > "$file.partial"
mv "$file.partial" "$file"
echo "recorded $file" >&2
exit "$status"
