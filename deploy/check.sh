#!/usr/bin/env bash
# Checks the deployment files without starting anything: the scripts parse, every variable of the stack
# is explained in example.env, and Compose accepts the stack, but not with a secret missing.
# COMPOSE names another Compose than the plugin of docker.
set -euo pipefail
cd "$(dirname "$0")/.."

stack=docker-compose.temporal.yml
example=deploy/example.env
secrets=(HOLDFAST_API_KEY HOLDFAST_PAYLOAD_KEY HOLDFAST_DB_PASSWORD TEMPORAL_DB_PASSWORD)
read -ra compose <<<"${COMPOSE:-docker compose}"

fail() {
    echo "deploy/check.sh: $*" >&2
    exit 1
}

for script in deploy/temporal/*.sh; do
    sh -n "$script" || fail "$script does not parse"
done

# Variables of the stack: ${NAME...}, and those passed on by name alone.
used=$({ grep -oE '\$\{[A-Z_]+' "$stack" | cut -c3-; grep -oE '^ +(OTEL_[A-Z_]+|RUST_LOG):$' "$stack" | tr -d ' :'; } | sort -u)
explained=$(grep -oE '^#?[A-Z_]+=' "$example" | tr -d '#=' | sort -u)
[ "$used" = "$explained" ] || fail "$stack and $example differ:"$'\n'"$(diff <(echo "$used") <(echo "$explained"))"

if ! "${compose[@]}" version >/dev/null 2>&1; then
    echo "deploy/check.sh: ok, but without '${compose[*]}': the stack itself was not read"
    exit 0
fi

# An env file with every secret set but the one named.
environment() {
    cat "$example"
    for secret in "${secrets[@]}"; do
        [ "$secret" = "$1" ] || echo "$secret=x"
    done
}

accepts() {
    local file status=0
    file=$(mktemp)
    environment "$1" >"$file"
    env -u "$1" "${compose[@]}" --env-file "$file" -f "$stack" --profile telemetry config --quiet || status=$?
    rm -f "$file"
    return "$status"
}

accepts NONE || fail "Compose does not accept $stack"
for secret in "${secrets[@]}"; do
    ! accepts "$secret" 2>/dev/null || fail "$stack starts without $secret"
done
echo "deploy/check.sh: ok"
