#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
# Ledgers are the user's until he says purge.
if [ "$1" = purge ]; then
	rm -rf "${DPKG_ROOT:-}/var/lib/smtpsink" "${DPKG_ROOT:-}/var/lib/private/smtpsink"
fi
