#!/bin/sh
# Creates Temporal's two databases, or brings their schema up to date. Safe to repeat. The password
# comes from SQL_PASSWORD.
set -eu

schema() { # database, folder of its schema
    tool="temporal-sql-tool --plugin postgres12 --ep $POSTGRES_SEEDS --port 5432 --user $POSTGRES_USER --db $1"
    $tool create
    $tool setup-schema --version 0.0
    $tool update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$2/versioned"
}

schema temporal temporal
schema temporal_visibility visibility
