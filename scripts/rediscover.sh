#!/usr/bin/env bash
# Known bugs of senders, met by storms that were not made for them: the old version of each must fail and the new one pass, in the same storm
# with the same seed. Which storm finds which bug is told in results/storms/bugs.md. It needs npm, Go and their registries, fetches each
# version into the private directory of smtpbench mta list, and takes about six minutes. Exit status 1 unless all is as told.
#
#   scripts/rediscover.sh [DIR]    records go to DIR; without it to a temporary directory, which is removed
set -euo pipefail
cd "$(dirname "$0")/.."
bench=bin/smtpbench
dir=${1:-}
plans=$(mktemp -d)
trap 'rm -rf "$plans"; [ -n "${1:-}" ] || rm -rf "$dir"' EXIT
[ -n "$dir" ] || dir=$(mktemp -d)
mkdir -p "$dir"

# The shipped storms, eight seconds long. A reply that is lost after the dot is so always: of one in twenty hardly any is lost twice.
short() { sed 's/duration: 60s/duration: 8s/' scripts/plans/storms/*-"$1".yaml >"$plans/$1.yaml"; }
short outage-421
short outage-no-banner
short recipients-deferred
short ambiguous
sed -i '/- {weight: 95}/d; s/{weight: 5, close: fin/{weight: 100, close: fin/' "$plans/ambiguous.yaml"
# Connections that break at any command, one in five.
{
  printf 'version: 1\nname: dropped\nseed: 1\nstart: first-connection\nphases:\n  - name: dropping\n    duration: 8s\n    rules:\n'
  for stage in connect ehlo mail rcpt data rset; do
    printf '      - {name: at %s, stage: %s, outcomes: [{weight: 80}, {weight: 20, close: fin}]}\n' $stage $stage
  done
} >"$plans/dropped.yaml"

# fetch SENDER: gets the version unless it is there. The command is the one that smtpbench says.
fetch() {
  local command
  command=$("$bench" mta list --fetch "$1")
  [ -z "$command" ] || sh -e -c "$command" >"$dir/fetch-$1.log" 2>&1 || { echo "rediscover: $1 can't be fetched: $(tail -n 1 "$dir/fetch-$1.log")"; return 1; }
}

# storm SENDER STORM: the exit status of the storm, with the verdict in a file.
storm() {
  local status=0
  "$bench" storm --mta "$1" --storm "$plans/$2.yaml" --messages 60 --backoff 5s --cutoff 25s --fail-on faults,undetermined,queued,expired --out "$dir/$2-$1" >"$dir/$2-$1.log" 2>&1 || status=$?
  echo $status >"$dir/$2-$1.status"
}

failed=0
# pair STORM OLD NEW
pair() {
  local storm=$1 old=$2 new=$3 o n
  fetch "$old" && fetch "$new" || { failed=1; return; }
  storm "$old" "$storm" &
  storm "$new" "$storm" &
  wait
  o=$(cat "$dir/$storm-$old.status") n=$(cat "$dir/$storm-$new.status")
  # What the fates and the verdict say, in one line.
  told() { sed -n '/^units /,/^attempts/{/^  /p}; /^verdict /,/^report /{/^report /!p}' "$dir/$storm-$1.log" | tr -s ' \n' ' '; }
  if [ "$o" -eq 1 ] && [ "$n" -eq 0 ]; then echo "found    $storm: $old"; else echo "NOT SO   $storm: $old ended with status $o (want 1), $new with $n (want 0)"; failed=1; fi
  echo "         $old: $(told "$old")"
  echo "         $new: $(told "$new")"
}

pair ambiguous nodemailer@6.3.0 nodemailer@10.6.1
pair dropped nodemailer@2.7.2 nodemailer@3.0.0
pair recipients-deferred smtppool@1.0.0 smtppool@1.1.0
pair outage-421 smtppool@1.1.0 smtppool@1.2.1
pair outage-no-banner go-mail@0.4.4 go-mail@0.8.1
exit $failed
