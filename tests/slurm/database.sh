#!/bin/sh
# database.sh PLACE: the database of slurmdbd, as empty as on the first day.
set -eu
place=$1
data=$place/db
mariadb-install-db --no-defaults --user=root --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
mariadbd --no-defaults --user=root --datadir="$data" --socket=/run/mysqld/mysqld.sock --skip-networking \
    --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 --pid-file="$data/mysqld.pid" &
until mariadb-admin --no-defaults --socket=/run/mysqld/mysqld.sock ping >/dev/null 2>&1; do sleep 0.1; done
mariadb --no-defaults --socket=/run/mysqld/mysqld.sock <"$place/etc/accounting.sql"
touch "$place/pid/database"
wait
