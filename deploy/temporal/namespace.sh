#!/bin/sh
# Creates the namespace that Holdfast works in, unless it exists. Ended workflows are kept in it for
# 30 days, to be looked at.
set -eu

tries=0
until temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 60 ]; then
        echo "the namespace $TEMPORAL_NAMESPACE could not be created" >&2
        exit 1
    fi
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 720h || sleep 2
done
echo "the namespace $TEMPORAL_NAMESPACE is there"
