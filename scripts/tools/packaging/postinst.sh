#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# Nothing is started: a port that loses mail opens only when asked to. One that ran goes on with the new program.
	if [ "$1" = configure ] && [ -n "$2" ]; then
		systemctl try-restart smtpsink.service
	fi
fi
