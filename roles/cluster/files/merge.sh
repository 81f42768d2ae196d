# shellcheck shell=sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Merges the configuration that standard input has into that of the cluster, and prints "changed" where that changes it.
# With COLO_CLUSTER_DRY nothing is changed.
set -eu
umask 077
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cat > "$directory/wanted.xml"
cibadmin --query > "$directory/before.xml"
cp "$directory/before.xml" "$directory/after.xml"
CIB_file="$directory/after.xml" cibadmin --modify --allow-create --xml-file="$directory/wanted.xml"
crm_verify --xml-file="$directory/after.xml" > "$directory/verified" 2>&1 || { cat "$directory/verified" >&2; exit 1; }
difference=0
crm_diff --no-version --original="$directory/before.xml" --new="$directory/after.xml" > /dev/null || difference=$?
[ "$difference" -le 1 ] || exit "$difference"
[ "$difference" -eq 1 ] || exit 0
echo changed
[ -n "${COLO_CLUSTER_DRY:-}" ] || cibadmin --modify --allow-create --xml-file="$directory/wanted.xml"
