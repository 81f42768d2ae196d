# SPDX-License-Identifier: GPL-3.0-or-later
# What the role reads of a host before it changes anything, as YAML and in one go: each task costs a connection.
# Arguments: the files that the role may have written for apt, then --, then the packages to look for.
export LC_ALL=C

. /etc/os-release
echo "distribution: '$NAME'"
echo "like: '${ID:-} ${ID_LIKE:-}'"
echo "release: '${VERSION_CODENAME:-}'"

echo "written:"
while [ "$#" -gt 0 ] && [ "$1" != -- ]; do
    [ -e "$1" ] && echo "  - $1"
    shift
done
shift

echo "packages:"
dpkg-query --show --showformat \
    '  - {name: "${Package}", status: "${db:Status-Status}", source: "${source:Package}", version: "${Version}"}\n' "$@" 2>/dev/null

[ -e /sys/kernel/security/apparmor ] && echo "apparmor: true" || echo "apparmor: false"

# A digest of a key is no key: it tells whether the one that is there is the one that shall be.
echo "pki:"
for file in /etc/lockstep-colo/pki/*.pem; do
    [ -e "$file" ] && echo "  ${file##*/}: '$(stat --format '%U %a' "$file") $(sha256sum <"$file" | cut -d' ' -f1)'"
done

command -v nft >/dev/null && echo "nftables: true" || echo "nftables: false"

# Who else manages the host's firewall. The unit of ufw runs also where ufw is off.
echo "firewalls: [$(
    systemctl is-active --quiet firewalld.service && echo 'firewalld,'
    grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf && echo 'ufw,'
)]"

# The role's own table: a digest of its files, and how it stands.
units=/etc/systemd/system
digest=$(cat /etc/lockstep-colo/firewall.nft $units/lockstep-colo-firewall.service \
    $units/nftables.service.d/lockstep-colo.conf 2>/dev/null | sha256sum | cut -d' ' -f1)
loaded=$(nft list table inet lockstep_colo >/dev/null 2>&1 && echo loaded)
echo "table: '$digest $(systemctl is-enabled lockstep-colo-firewall.service 2>/dev/null)" \
    "$(systemctl is-active lockstep-colo-firewall.service) $loaded'"

# Of the pairs that the host has already.
echo "peers: [$(sed -n "s/.*<colo:peer .*address=[\"']\([0-9a-fA-F:.]*\)[\"'].*/'\1',/p" /etc/libvirt/qemu/*.xml 2>/dev/null | sort -u)]"

[ -e /etc/systemd/system/lockstep-colo-watch.service ] && echo "watcher: true" || echo "watcher: false"

# The script sets its own default and then sources the file, so the last assignment counts
# and an environment variable in a systemd drop-in would not.
echo "guests_enabled: '$(systemctl is-enabled libvirt-guests.service 2>/dev/null)'"
echo "guests_at_shutdown: '$(
    grep -hE '^[[:space:]]*ON_SHUTDOWN=' /usr/lib/libvirt/libvirt-guests.sh /usr/libexec/libvirt-guests.sh \
        /etc/default/libvirt-guests 2>/dev/null | tail -n 1 | tr -d "[:space:]'\""
)'"
