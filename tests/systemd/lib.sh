# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034 # variables are for those who source this
#
# What the tests under systemd share. Sourced first thing by each test_* script, which boot runs:
#
#   source "$(dirname "$0")/lib.sh"
#   install_modelhealthd
#   write_config '...'
#   check "title that says the rule" COMMAND...
#   finish
#
# Nothing sleeps to wait: `eventually` polls with a deadline.
set -uo pipefail

status=http://127.0.0.1:9877
config=/etc/modelhealthd/modelhealthd.yaml # install_modelhealthd knows better
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
passed=0 failed=0

# ---- saying what is right ----

# check TITLE COMMAND...: one result; shows what the command said when it fails.
check() {
	local title=$1 output
	shift
	if output=$("$@" 2>&1); then
		echo "ok   $title"
		passed=$((passed + 1))
		return 0
	fi
	echo "FAIL $title: $*"
	printf '%s\n' "$output" | tail -n 15 | sed 's/^/     /'
	failed=$((failed + 1))
	return 1
}

# eventually COMMAND...: true within $DEADLINE seconds (30).
eventually() {
	local deadline=$((SECONDS + ${DEADLINE:-30}))
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			"$@"
			return
		fi
		sleep 0.05
	done
}

# has TEXT COMMAND...: the command's output contains it.
has() {
	local text=$1 output
	shift
	output=$("$@" 2>&1)
	[[ $output == *"$text"* ]] || { printf 'no "%s" in:\n%s\n' "$text" "$output" && return 1; }
}

not() {
	! "$@"
}

skip() {
	echo "SKIP: $*"
	exit 77
}

# The last command of a script: how many passed, and with failures what the journal has to say.
finish() {
	if [ "$failed" -ne 0 ]; then
		echo "---- the journal's last lines"
		journalctl -n 40 --no-pager -o short-monotonic 2>&1
	fi
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
	exit
}

# give_up WHY: the rest makes no sense without what just failed.
give_up() {
	echo "FAIL $*"
	failed=$((failed + 1))
	finish
}

# ---- the service ----

# Installs the build with all it brings. Starts nothing.
install_modelhealthd() {
	local output
	output=$(meson install -C "$BUILD" --no-rebuild 2>&1) || {
		printf '%s\n' "$output"
		give_up "meson install"
	}
	journalctl --update-catalog
	systemctl daemon-reload
	config=$(property Environment | sed -n 's/.*MODELHEALTHD_CONFIG=\([^ ]*\).*/\1/p')
}

# write_config TEXT: the whole configuration file.
write_config() {
	printf '%s\n' "$1" >"$config"
	chmod 644 "$config"
}

# A unit's drop-in NAME from standard input: drop_in UNIT NAME.
drop_in() {
	mkdir -p "/run/systemd/system/$1.d"
	cat >"/run/systemd/system/$1.d/$2.conf"
	systemctl daemon-reload
}

# property NAME [UNIT]
property() {
	systemctl show -P "$1" "${2:-modelhealthd.service}"
}

main_pid() {
	property MainPID
}

# fetch PATH: from the status port.
fetch() {
	curl -fsS -m 5 "$status$1"
}

# metric NAME: the value of one without labels
metric() {
	fetch /metrics | sed -n "s/^$1 //p"
}

# metric_is_at_least NAME NUMBER
metric_is_at_least() {
	[ "$(metric "$1")" -ge "$2" ]
}

# state_of ENDPOINT: up, degraded, down, unknown or init, as the API says.
state_of() {
	fetch "/api/v1/endpoints/$1" | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'
}

# is_state ENDPOINT STATE
is_state() {
	[ "$(state_of "$1")" = "$2" ]
}

start_modelhealthd() {
	check "systemctl start modelhealthd" systemctl start modelhealthd ||
		give_up "without a running service nothing else can be tested"
}

# ---- what it watches ----

# serve PORT: answers each GET with 200, until the script ends.
serve() {
	/usr/bin/python3 - "$1" <<'PYTHON' &
import http.server
import sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024

Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
PYTHON
	served=$!
	eventually is_listening "$1" || give_up "the server to watch does not listen on $1"
}

# clients_begin: 1,000 clients a second come to the status port until clients_end, which sets
# $came to how it went for them: asked, ok, refused, reset, cut, late, other, slowest_ms.
clients_begin() {
	"$BUILD/tests/systemd/clients" 9877 1000 >/tmp/clients &
	clients=$!
}

clients_end() {
	kill -TERM "$clients"
	wait "$clients"
	declare -gA came=()
	local word words
	read -ra words </tmp/clients
	for word in "${words[@]}"; do
		came[${word%%=*}]=${word#*=}
	done
	echo "     1,000 clients a second: ${words[*]}"
}

is_listening() {
	(: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
