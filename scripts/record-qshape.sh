#!/usr/bin/env bash
# Repeats the example of Postfix's QSHAPE_README ("one of two MX hosts is down") with a private Postfix against the sink, and records it with its
# provenance:
#   scripts/record-qshape.sh [FILE]        default: results/qshape/qshape.md
# RUNS (3) is how often it runs, some 100 s each. It ends with status 1 where Postfix doesn't do what theory says, with the table written all the
# same. Needs root: Postfix does, and so does a name with two addresses, in a hosts file that only the test sees.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/provenance.sh

file=${1:-results/qshape/qshape.md}
mkdir -p "$(dirname "$file")"
table=$(mktemp) hosts=$(mktemp)
trap 'rm -f "$table" "$hosts" "$file.partial"' EXIT
chmod 644 "$hosts"
printf '127.0.0.1 localhost mx.qshape.test\n127.0.0.2 mx.qshape.test\n' >"$hosts"

load=$(load_now)
status=0
SMTPSTORM_QSHAPE=${RUNS:-3} SMTPSTORM_QSHAPE_FILE=$table REQUIRE_ALL=1 \
  unshare -m sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$hosts" go test -count=1 -timeout 30m -v -run '^TestPostfixDeadExchanger$' ./bench/mta || status=$?
[ -s "$table" ] || exit "$status"

{
  echo "# Postfix, when one of two mail exchangers doesn't answer"
  echo
  echo "Made by \`make qshape\`, after an example of QSHAPE_README. A name has two addresses, of which one takes no connection (its queue is full);"
  echo "the connect time-out is 3 s, 20 deliveries at once from the beginning, 1,000 messages for one domain. Half of the deliveries try the dead"
  echo "address first: without connection caching 20 / (3 s / 2) = 13.3 a second, within 10%; with caching on demand at least five times that."
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
