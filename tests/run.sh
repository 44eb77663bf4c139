#!/usr/bin/env bash
# Runs every check and every test, goes on past a failure, and closes with one line that adds up what the
# runners say they counted, alone on the line:
#
#   N passed, N failed, N skipped
#
# A step that fails without counting a failed test (a lint, a build, a crash), or that prints no count where one
# is due, is one failure more. The exit code is 0 only if nothing failed. Each step's output stays in
# target/test-logs/STEP.log.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# Tests bring their own database and server: never those of whoever runs them.
unset DATABASE_URL UPBEAT_LISTEN UPBEAT_DATA_DIR UPBEAT_BOOTSTRAP_TOKEN
export SQLX_OFFLINE=true NO_COLOR=1 CARGO_TERM_COLOR=never
logs=target/test-logs
rm -rf "$logs"
mkdir -p "$logs"

# Each count_* reads a log and prints "PASSED FAILED SKIPPED" for every summary in it.

count_nextest() { # Summary [ 1.234s] 7 tests run: 4 passed (1 slow), 2 failed, 1 timed out, 3 skipped
    awk '/^ *Summary \[/ {
        passed = failed = skipped = 0
        sub(/.*tests? run:/, "")
        gsub(/\([^)]*\)/, "")
        parts = split($0, part, ",")
        for (i = 1; i <= parts; i++) {
            number = part[i] + 0
            if (part[i] ~ / passed/) passed += number
            else if (part[i] ~ / skipped/) skipped += number
            else failed += number
        }
        print passed, failed, skipped
    }'
}

count_pytest() { # === 1 failed, 4 passed, 2 skipped, 1 warning in 1.23s ===
    awk '/^(=+ )?[0-9]+ [a-z]+(, [0-9]+ [a-z ]+)* in [0-9.]+s/ {
        passed = failed = skipped = 0
        sub(/^=+ /, "")
        sub(/ in [0-9.]+s.*/, "")
        parts = split($0, part, ",")
        for (i = 1; i <= parts; i++) {
            number = part[i] + 0
            if (part[i] ~ /[0-9] (passed|xpassed)$/) passed += number
            else if (part[i] ~ /[0-9] (failed|errors?)$/) failed += number
            else if (part[i] ~ /[0-9] (skipped|xfailed)$/) skipped += number
        }
        print passed, failed, skipped
    }'
}

count_node() { # the lines "# tests 5", "# pass 4", "# fail 1", ..., or the same with another mark
    awk '/^(#|ℹ) (tests|pass|fail|cancelled|skipped|todo) [0-9]+$/ {
        if ($2 == "tests") { if (seen) print passed, failed, skipped; seen = 1; passed = failed = skipped = 0 }
        if ($2 == "pass") passed += $3
        if ($2 == "fail" || $2 == "cancelled") failed += $3
        if ($2 == "skipped" || $2 == "todo") skipped += $3
    }
    END { if (seen) print passed, failed, skipped }'
}

passed=0 failed=0 skipped=0
table=()

# step NAME "COUNTER..." COMMAND...: every COUNTER must find a summary, with at least one test in all of its.
step() {
    local name=$1 counters=$2 started=$SECONDS
    shift 2
    printf '\n=== %s: %s\n' "$name" "$*"
    "$@" </dev/null 2>&1 | tee "$logs/$name.log"
    local status=${PIPESTATUS[0]} counter p f s step_passed=0 step_failed=0 step_skipped=0 note=
    for counter in $counters; do
        local ran=0
        while read -r p f s; do
            ran=$((ran + p + f))
            step_passed=$((step_passed + p)) step_failed=$((step_failed + f)) step_skipped=$((step_skipped + s))
        done < <(sed 's/\x1b\[[0-9;]*m//g' "$logs/$name.log" | "count_$counter")
        [ "$ran" -gt 0 ] || note+=", no test of $counter ran"
    done
    [ "$status" -eq 0 ] || note+=", exit code $status"
    [ -z "$note" ] || [ "$step_failed" -gt 0 ] || step_failed=1
    passed=$((passed + step_passed)) failed=$((failed + step_failed)) skipped=$((skipped + step_skipped))
    table+=("$(printf '%-6s %6d passed %4d failed %4d skipped %5d s%s' \
        "$name" "$step_passed" "$step_failed" "$step_skipped" $((SECONDS - started)) "$note")")
}

step lint '' make --no-print-directory lint
step rust 'nextest' tests/with-postgres.sh cargo nextest run --locked --all-targets
# The server that the tests above were built with: another build would take longer than these tests.
step sdk 'pytest node' env UPBEAT_BIN=target/debug/upbeat tests/sdk/run.sh

printf '\n'
printf '%s\n' "${table[@]}"
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
