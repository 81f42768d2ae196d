# shellcheck shell=sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Writes what standard input has in base64 to the file $1, for root alone, and prints "changed" where that changes it: what
# Ansible copies from a variable is text.
set -eu
umask 077
base64 --decode > "$1.new"
if cmp --silent "$1.new" "$1"; then
    rm "$1.new"
else
    mv "$1.new" "$1"
    echo changed
fi
