#!/bin/sh
# One load by several k6, by execution segments: each has its share of the virtual users, of the rate and of the iterations, and all together do what
# one k6 would have done alone. Without --part all run here; on several machines run one part on each, at the same time, and merge by hand.
#
#   scripts/segments.sh 3 results/segments scripts/calm.js -e SMTP_HOST=127.0.0.1 -e SMTP_PORT=2525
#   scripts/segments.sh --part 2 3 results/segments scripts/calm.js -e SMTP_HOST=mx.example.net    # on the second machine of three
#   scripts/segments.sh --merge 3 results/segments                                                 # once the files of all are there
#
# Leaves run-N.json (record) and sent-N.jsonl (claims) of each part, and run.json and sent.jsonl of all. A part whose record is missing is
# named, and the exit status is 3, as it is of who judges the directory then (smtpbench judge): what the others did is no measure of the load
# that was asked for. K6 is the k6 to run (bin/k6).
set -eu

k6=${K6:-bin/k6}
usage() {
	echo "usage: segments.sh [--part I | --merge] PARTS DIR [SCRIPT [K6 ARGUMENTS]]" >&2
	exit 2
}

only= merge_only=
case ${1-} in
--part)
	only=${2-}
	[ $# -ge 2 ] || usage
	shift 2
	;;
--merge)
	merge_only=1
	shift
	;;
esac
[ $# -ge 2 ] || usage
parts=$1 dir=$2
shift 2
number() {
	case $1 in
	'' | *[!0-9]* | 0*)
		echo "segments.sh: $2 is '$1': want a whole number from 1" >&2
		exit 2
		;;
	esac
}
number "$parts" PARTS
if [ -n "$only" ]; then
	number "$only" --part
	[ "$only" -le "$parts" ] || { echo "segments.sh: --part $only: there are $parts parts" >&2; exit 2; }
fi
[ -n "$merge_only" ] || [ $# -ge 1 ] || usage

# 0,1/3,2/3,1
sequence=0
i=1
while [ "$i" -lt "$parts" ]; do
	sequence=$sequence,$i/$parts
	i=$((i + 1))
done
sequence=$sequence,1

# RUN keeps the addresses of the parts apart.
part() {
	i=$1
	shift
	script=$1
	shift
	from=$(($i - 1))/$parts to=$i/$parts
	[ "$i" -ne 1 ] || from=0
	[ "$i" -ne "$parts" ] || to=1
	K6_SMTPSTORM_SENT=$dir/sent-$i.jsonl K6_NO_USAGE_REPORT=true K6_AUTO_EXTENSION_RESOLUTION=false \
		"$k6" run --quiet --execution-segment "$from:$to" --execution-segment-sequence "$sequence" -e "RUN=part$i" -o "smtpstorm=$dir/run-$i.json" "$@" "$script"
}

status=0
if [ -z "$merge_only" ]; then
	mkdir -p "$dir"
	for i in ${only:-$(seq "$parts")}; do
		for old in "$dir/run-$i.json" "$dir/sent-$i.jsonl"; do
			[ ! -e "$old" ] || { echo "segments.sh: $old is there already: name another directory, or remove it" >&2; exit 2; }
		done
	done
	if [ -n "$only" ]; then
		part "$only" "$@"
		exit
	fi
	running=
	for i in $(seq "$parts"); do
		part "$i" "$@" &
		running="$running $!"
	done
	for pid in $running; do
		wait "$pid" || ended=$?
		# Crossed thresholds (99) are judged again on the merged figures.
		case ${ended:-0} in 0 | 99) ;; *) status=3 && echo "segments.sh: a part ended with status $ended" >&2 ;; esac
		ended=
	done
fi

missing= records=
for i in $(seq "$parts"); do
	if [ -s "$dir/run-$i.json" ]; then records="$records $dir/run-$i.json"; else missing="$missing $i"; fi
done
cat "$dir"/sent-*.jsonl > "$dir/sent.jsonl" || status=3
if [ -n "$missing" ]; then
	echo "segments.sh: no record of part$missing of $parts: the load was not carried out as a whole" >&2
	exit 3
fi
if [ "$parts" -eq 1 ]; then
	cp "$dir/run-1.json" "$dir/run.json"
else
	"$k6" x smtp merge $records --out "$dir/run.json" || { ended=$?; [ "$status" -ne 0 ] || status=$ended; }
fi
exit "$status"
