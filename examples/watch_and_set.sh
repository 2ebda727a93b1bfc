#!/usr/bin/env bash
# One process waits, another sets, the first prints the change; a server just for that.
#
#   cargo build && examples/watch_and_set.sh
#
# prints `changed: greeting`, `now: hello`. $WAKEFUL names another binary than target/debug/wakeful.
set -euo pipefail

wakeful=${WAKEFUL:-$(dirname "$0")/../target/debug/wakeful}
[ -x "$wakeful" ] || { echo "there is no $wakeful; build it first: cargo build" >&2; exit 1; }

unset WAKEFUL_ADDR
temp=$(mktemp -d)
server=
waiting=
stop() {
    # By pid, and only what was started here; one that has ended is no error.
    [ -z "$waiting" ] || kill "$waiting" 2>/dev/null || true
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    wait
    rm -rf "$temp"
}
trap stop EXIT

# Port 0: a free one, which the first line tells.
: >"$temp/server"
"$wakeful" serve --listen 127.0.0.1:0 --data-dir "$temp/data" --log warn >"$temp/server" &
server=$!
for _ in {1..200}; do
    addr=$(sed -n 's/^listening on //p' "$temp/server")
    [ -z "$addr" ] || break
    kill -0 "$server" || exit 1
    sleep 0.05
done
[ -n "$addr" ] || { echo "the server does not say where it listens" >&2; exit 1; }
export WAKEFUL_ADDR=$addr

# From the present revision on, so that it does not matter which of the two comes first.
revision=$("$wakeful" status --json | sed 's/^{"revision":\([0-9]*\).*/\1/')
"$wakeful" wait greeting --after "$revision" --timeout 30s >"$temp/changed" &
waiting=$!

"$wakeful" set greeting hello >"$temp/set"

wait "$waiting"
waiting=
echo "changed: $(cat "$temp/changed")"
echo "now: $("$wakeful" get greeting)"
