#!/bin/sh
# Drives a running Upbeat end to end with the two official Metronome SDKs, Python and Node.
#
# UPBEAT_BIN     the server to test, relative to the repository (target/release/upbeat)
# UPBEAT_SHARED  optional folder of the published API document and its checking proxy (../shared).
#                The tests pass without it; answers are then not checked against the document.
set -eu
cd "$(dirname "$0")/../.."

fail() {
    echo "tests/sdk: $1" >&2
    exit 2
}

UPBEAT_BIN=${UPBEAT_BIN:-target/release/upbeat}
[ -x "$UPBEAT_BIN" ] || fail "no server at $UPBEAT_BIN: run 'cargo build --release' or set UPBEAT_BIN"
python3 -c 'import ensurepip, venv' 2>/dev/null || fail "python3 with venv is missing (apt-get install python3-venv)"
command -v node >/dev/null || fail "node is missing (apt-get install nodejs)"
command -v npm >/dev/null || fail "npm is missing (apt-get install npm)"

# Installed once, and again only when the pins change.
venv=target/sdk/venv
if ! cmp -s tests/sdk/requirements.txt "$venv/installed.txt" || ! "$venv/bin/python" -c '' 2>/dev/null; then
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --requirement tests/sdk/requirements.txt
    cp tests/sdk/requirements.txt "$venv/installed.txt"
fi
modules=tests/sdk/node_modules
if ! cmp -s tests/sdk/package-lock.json "$modules/.installed.json"; then
    (cd tests/sdk && npm ci --ignore-scripts --no-progress)
    cp tests/sdk/package-lock.json "$modules/.installed.json"
fi

# The server listens on the loopback address, which no HTTP proxy of this machine can reach.
NO_PROXY="127.0.0.1${NO_PROXY:+,$NO_PROXY}"
no_proxy=$NO_PROXY
PYTHONDONTWRITEBYTECODE=1
UPBEAT_SDK_PYTHON=$venv/bin/python
export UPBEAT_BIN UPBEAT_SDK_PYTHON NO_PROXY no_proxy PYTHONDONTWRITEBYTECODE

# Reports of files that are no more would speak for them.
rm -f target/sdk/logs/*.report.json

# A call that never ends must not hold everything up.
limit='timeout --foreground --kill-after=60 1800'
status=0
$limit "$UPBEAT_SDK_PYTHON" -m pytest -p no:cacheprovider tests/sdk || status=1
$limit node --test tests/sdk/*.test.mjs || status=1
"$UPBEAT_SDK_PYTHON" tests/sdk/coverage.py || status=1
exit "$status"
