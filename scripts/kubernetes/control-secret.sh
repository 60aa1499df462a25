#!/bin/sh
# Prints the Secret that the sink's control API and the judge need: a token that may do everything, one that may only read, and a certificate
# for the names of the sink's Service, which is its own authority.
#
#   scripts/kubernetes/control-secret.sh | kubectl -n smtpstorm apply -f -
#   scripts/kubernetes/control-secret.sh NAME...    # other names or addresses of sinks, such as smtpsink-b or 127.0.0.1
set -eu

command -v openssl >/dev/null || { echo "control-secret.sh: no openssl on the PATH" >&2; exit 2; }
[ $# -gt 0 ] || set -- smtpsink smtpsink.smtpstorm smtpsink.smtpstorm.svc
names=
for name; do
	case $name in
	'' | *[!0-9A-Za-z.:-]*)
		echo "control-secret.sh: '$name' is no host name and no address" >&2
		exit 2
		;;
	*:* | *.*.*.*[0-9]) names=$names,IP:$name ;;
	*) names=$names,DNS:$name ;;
	esac
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj "/CN=$1" \
	-addext "subjectAltName=${names#,}" -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>"$dir/said" || { cat "$dir/said" >&2; exit 2; }
write=$(openssl rand -hex 32) read=$(openssl rand -hex 32)
cat <<SECRET
apiVersion: v1
kind: Secret
metadata: {name: smtpstorm-control, labels: {app.kubernetes.io/part-of: smtpstorm}}
type: Opaque
stringData:
  tokens: |
    write $write
    read $read
  write-token: $write
  read-token: $read
data:
  tls.crt: $(base64 -w 0 <"$dir/tls.crt")
  tls.key: $(base64 -w 0 <"$dir/tls.key")
SECRET
