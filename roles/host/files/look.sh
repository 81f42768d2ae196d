# SPDX-License-Identifier: GPL-3.0-or-later
# What the role reads of a host before it changes anything, as YAML and in one go: each task costs a connection.
# Arguments: the directory for images, libvirt's daemon, the watcher's archive, the files that the role may have written for
# apt, then --, then the packages to look for.
export LC_ALL=C
directory=$1 daemon=$2 archive=$3
shift 3

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

# Owner, group and mode, and of a file a digest; nothing of what is not there, or is a link.
owned() { stat --format '%U %G %a' "$1"; }
digest() { sha256sum | cut -d' ' -f1; }
kept() {
    [ -L "$1" ] && return
    [ -d "$1" ] && owned "$1"
    [ -f "$1" ] && echo "$(owned "$1") $(digest <"$1")"
}
unit() { echo "$(systemctl is-enabled "$1" 2>/dev/null) $(systemctl is-active "$1" 2>/dev/null)"; }
# Whether one of these files was changed after a moment, in nanoseconds since the epoch.
changed_since() {
    moment=$1
    shift
    for path in "$@"; do
        [ -e "$path" ] && [ "$(stat --format %.9Z "$path" | tr -d .)" -gt "$moment" ] && return
    done
    return 1
}
# Whether a service runs that has not read these files as they are: a run that changed them was cut off before it restarted it.
outdated() {
    systemctl is-active --quiet "$1" || return
    began=$(systemctl show --property=ExecMainStartTimestamp --timestamp=us+utc --value "$1" 2>/dev/null)
    [ -n "$began" ] && began=$(date --date="$began" +%s%N 2>/dev/null) || return
    shift
    changed_since "$began" "$@"
}
# Whether guests may run that have not read AppArmor's rules as they are: libvirt reads them when it starts a guest. A guest
# of an earlier boot there is not, and the handler that has all read them leaves a note until the next.
unread_by_guests() {
    note=/run/lockstep-colo/apparmor-rules
    [ -e /sys/kernel/security/apparmor ] || return
    changed_since "$(sed -n 's/^btime //p' /proc/stat)000000000" "$1" || return
    [ ! -e $note ] || changed_since "$(stat --format %.9Y $note | tr -d .)" "$1"
}

# A digest of a key is no key: it tells whether the one that is there is the one that shall be.
echo "pki:"
for file in /etc/lockstep-colo/pki/*.pem; do
    [ -e "$file" ] && echo "  ${file##*/}: '$(stat --format '%U %a' "$file") $(sha256sum <"$file" | cut -d' ' -f1)'"
done

# The certificate of the authority that the host knows, as PEM has it between its lines.
echo "authority: '$(
    sed -n '/-----BEGIN CERTIFICATE/,/-----END CERTIFICATE/{/-----END/q;/-----/!p}' /etc/lockstep-colo/pki/ca-cert.pem \
        2>/dev/null | tr -cd 'A-Za-z0-9+/=' | head -c 4096
)'"

command -v nft >/dev/null && echo "nftables: true" || echo "nftables: false"

# Who else manages the host's firewall. The unit of ufw runs also where ufw is off.
echo "firewalls: [$(
    systemctl is-active --quiet firewalld.service && echo 'firewalld,'
    grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf && echo 'ufw,'
)]"

# The role's own table: a digest of its files, and how it stands.
units=/etc/systemd/system
table=$(cat /etc/lockstep-colo/firewall.nft $units/lockstep-colo-firewall.service \
    $units/nftables.service.d/lockstep-colo.conf 2>/dev/null | digest)
# What the kernel has is held against what the file makes in a network of its own: a run may have been cut off before it
# loaded what it wrote, and a chain be flushed.
listed='nft --stateless list table inet lockstep_colo'
live=$($listed 2>/dev/null)
made=$(unshare --net sh -c "nft --file /etc/lockstep-colo/firewall.nft && $listed" 2>/dev/null)
loaded=$([ -n "$live" ] && [ "$live" = "$made" ] && echo loaded)
[ -n "$live" ] || [ -e /etc/lockstep-colo/firewall.nft ] || [ -e $units/lockstep-colo-firewall.service ] ||
    [ -e $units/nftables.service.d/lockstep-colo.conf ] && echo "own_firewall: true" || echo "own_firewall: false"
echo "table: '$table $(unit lockstep-colo-firewall.service) $loaded'"

# The addresses of the pairs that the host has already, the peers' and its own: of their records alone, as a domain that came
# from a peer has more of its metadata.
ends() {
    python3 -I -c '
import re, sys
from xml.etree import ElementTree
for path in sys.argv[2:]:
    try:
        found = ElementTree.parse(path).findall("metadata/{urn:lockstep:colo:1}pair/{urn:lockstep:colo:1}" + sys.argv[1])
    except (OSError, ElementTree.ParseError):
        continue
    for address in {one.get("address", "") for one in found}:
        if re.fullmatch("[0-9a-fA-F:.]+", address):
            print(f"\047{address}\047,")
' "$1" /etc/libvirt/qemu/*.xml 2>/dev/null | sort -u
}
echo "peers: [$(ends peer)]"
echo "local: [$(ends local)]"

echo "second_addresses: [$(grep -ohE '"[0-9a-fA-F]*[.:][0-9a-fA-F:.]*"' /etc/lockstep-colo/automation/*.json 2>/dev/null | sort -u | tr '"\n' "',")]"

# What the role keeps as it shall be: of AppArmor's rules its own part.
rules=/etc/apparmor.d/local/abstractions/libvirt-qemu
echo "directory: '$(kept "$directory")'"
echo "hooks: '$(kept /etc/libvirt/hooks/qemu.d)'"
echo "hook: '$(kept /etc/libvirt/hooks/qemu.d/lockstep-colo)'"
echo "rules: '$([ -f $rules ] && echo "$(owned $rules) $(sed -n '/^# BEGIN lockstep.colo$/,/^# END lockstep.colo$/p' $rules | digest)")'"
unread_by_guests $rules && echo "rules_unread: true" || echo "rules_unread: false"
outdated "$daemon.service" /etc/libvirt/hooks/qemu.d/lockstep-colo && echo "hook_unread: true" || echo "hook_unread: false"
echo "service: '$(unit "$daemon.service")'"
echo "socket: '$(unit "$daemon.socket")'"

watch=$units/lockstep-colo-watch.service
[ -e $watch ] && echo "watcher: true" || echo "watcher: false"
echo "watch:"
for path in "${archive%/*}" /etc/lockstep-colo /etc/lockstep-colo/automation /var/lib/lockstep-colo \
    "$archive" /etc/lockstep-colo/watch.json $watch; do
    echo "  - '$(kept "$path")'"
done
outdated lockstep-colo-watch.service "$archive" /etc/lockstep-colo/watch.json $watch && old=' outdated' || old=
echo "  - '$(unit lockstep-colo-watch.service)$old'"

# The script sets its own default and then sources the file, so the last assignment counts
# and an environment variable in a systemd drop-in would not.
echo "guests_enabled: '$(systemctl is-enabled libvirt-guests.service 2>/dev/null)'"
echo "guests_at_shutdown: '$(
    grep -hE '^[[:space:]]*ON_SHUTDOWN=' /usr/lib/libvirt/libvirt-guests.sh /usr/libexec/libvirt-guests.sh \
        /etc/default/libvirt-guests 2>/dev/null | tail -n 1 | tr -d "[:space:]'\""
)'"
