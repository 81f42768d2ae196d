# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: E501 - commands that are one line each
"""What a domain may ask of the host of its standby, and what that host may lack, one thing at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

IMAGES, ONLY = "/var/lib/libvirt/images", "/var/lib/libvirt/images/only-here"
VNC = "<graphics type='vnc' port='-1' autoport='yes' passwd='lab'/>"
BRIDGE = "<source bridge='br0'/>"
SERIAL = "</devices>"
CLOCK = "<clock offset='utc'/>"


@dataclass(frozen=True)
class Mutation:
    """``edit`` of the domain's XML; commands for kvm1 (``here``) and kvm2 (``there``) before, and to undo them."""

    kind: str
    name: str
    edit: Callable[[str], str] = lambda xml: xml
    here: str = ""
    there: str = ""
    undo_here: str = ""
    undo_there: str = ""


def swap(old: str, new: str) -> Callable[[str], str]:
    def edit(xml: str) -> str:
        assert old in xml, f"the domain has no {old}"
        return xml.replace(old, new, 1)

    return edit


def graphics(text: str) -> Callable[[str], str]:
    def edit(xml: str) -> str:
        begin, end = xml.index("<graphics"), xml.index("</graphics>") + len("</graphics>")
        return xml[:begin] + text + xml[end:]

    return edit


def device(text: str) -> Callable[[str], str]:
    return swap("</devices>", f"{text}</devices>")


def listen(port: int, address: str = "0.0.0.0") -> dict[str, str]:
    """Somebody who listens on kvm2, as long as it is there."""
    words = f"python3 -m http.server {port} --bind {address}"
    begin = f"setsid {words} >/dev/null 2>&1 & echo $! > /run/taken.pid; sleep 0.7"
    return {"there": begin, "undo_there": "kill $(cat /run/taken.pid)"}


def only_here(path: str, content: str = "x") -> dict[str, str]:
    return {"here": f"mkdir -p $(dirname {path}); echo {content} > {path}", "undo_here": f"rm -f {path}"}


def network(xml: str) -> str:
    return f'echo "{xml}" > /run/n.xml; virsh -q net-define /run/n.xml; virsh -q net-start lan 2>/dev/null; true'


GONE = "virsh -q net-destroy lan 2>/dev/null; virsh -q net-undefine lan 2>/dev/null; true"
LAN = "<network><name>lan</name><forward mode='bridge'/><bridge name='br0'/></network>"
ON_LAN = swap("<interface type='bridge'>", "<interface type='network'>")


def on_lan(source: str = "<source network='lan'/>") -> Callable[[str], str]:
    return lambda xml: ON_LAN(swap(BRIDGE, source)(xml))


def lan_there(xml: str | None, *more: str) -> dict[str, str]:
    """The network lan leads to br0 on kvm1, and is another one on kvm2, or none."""
    there = "; ".join([*([network(xml)] if xml else []), *more]) or "true"
    return {"here": network(LAN), "undo_here": GONE, "there": there, "undo_there": GONE}


FILTER = "<filter name='lab' chain='root'><rule action='accept' direction='inout' priority='500'><all/></rule></filter>"
ASKING = (
    "<filter name='lab' chain='root'><rule action='accept' direction='out' priority='500'>"
    "<ip srcipaddr='\\$ADDRESS'/></rule></filter>"
)
NO_FILTER = "virsh -q nwfilter-undefine lab; true"


def nwfilter(xml: str) -> str:
    return f'echo "{xml}" > /run/f.xml; virsh -q nwfilter-define /run/f.xml'


CDROM = (
    "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{}'/><target dev='hdc' bus='ide'/>"
    "<readonly/></disk>"
)
RAW_READONLY = (
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/><target dev='vdz' bus='virtio'/>"
    "<readonly/></disk>"
)
PORT = "<channel type='{}'><source {}/><target type='virtio' name='org.lab.0'/></channel>"
POOL = "<pool type='dir'><name>isos</name><target><path>/var/lib/libvirt/images</path></target></pool>"
MUTATIONS = [
    Mutation(
        "graphics",
        "VNC on kvm1's address",
        graphics("<graphics type='vnc' port='-1' autoport='yes' listen='10.77.0.1'/>"),
    ),
    Mutation(
        "graphics",
        "VNC port taken",
        graphics("<graphics type='vnc' port='5907' autoport='no' listen='0.0.0.0'/>"),
        **listen(5907),
    ),
    Mutation(
        "graphics",
        "VNC port taken on another address",
        graphics("<graphics type='vnc' port='5907' autoport='no' listen='127.0.0.1'/>"),
        **listen(5907, "10.77.0.2"),
    ),
    Mutation(
        "graphics",
        "VNC websocket taken",
        graphics("<graphics type='vnc' port='-1' autoport='yes' websocket='5777' listen='0.0.0.0'/>"),
        **listen(5777),
    ),
    Mutation(
        "graphics",
        "VNC on the address of a network that kvm2 lacks",
        graphics("<graphics type='vnc' port='-1' autoport='yes'><listen type='network' network='lan'/></graphics>"),
        here=network(
            "<network><name>lan</name><forward mode='nat'/><bridge name='virbr7'/><ip address='192.168.77.1' netmask='255.255.255.0'/></network>"
        ),
        undo_here=GONE,
    ),
    Mutation(
        "graphics",
        "VNC on a name that only kvm1 knows",
        graphics("<graphics type='vnc' port='-1' autoport='yes' listen='only-here.lab'/>"),
        here="echo 127.0.0.1 only-here.lab >> /etc/hosts",
        undo_here="sed -i /only-here/d /etc/hosts",
    ),
    Mutation(
        "graphics",
        "VNC socket in a directory that kvm2 lacks",
        graphics(f"<graphics type='vnc' socket='{ONLY}/vnc.sock'/>"),
        here=f"mkdir -p {ONLY}; chmod 777 {ONLY}",
        undo_here=f"rm -rf {ONLY}",
    ),
    Mutation(
        "graphics",
        "VNC without a listener",
        graphics("<graphics type='vnc' port='-1' autoport='yes'><listen type='none'/></graphics>"),
    ),
    Mutation(
        "graphics",
        "VNC on IPv6 of kvm1",
        graphics("<graphics type='vnc' port='-1' autoport='yes' listen='fd00:99::1'/>"),
        here="sysctl -qw net.ipv6.conf.br0.disable_ipv6=0; ip -6 addr add fd00:99::1/64 dev br0 nodad",
        undo_here="ip -6 addr del fd00:99::1/64 dev br0",
    ),
    Mutation(
        "listeners",
        "serial line's port taken",
        device(
            "<serial type='tcp'><source mode='bind' host='0.0.0.0' service='5555'/><protocol type='raw'/><target port='1'/></serial>"
        ),
        **listen(5555),
    ),
    Mutation(
        "listeners",
        "serial line on kvm1's address",
        device(
            "<serial type='tcp'><source mode='bind' host='10.77.0.1' service='5556'/><protocol type='raw'/><target port='1'/></serial>"
        ),
    ),
    Mutation(
        "listeners",
        "serial line calls a server that kvm2 lacks",
        device(
            "<serial type='tcp'><source mode='connect' host='127.0.0.1' service='5557'/><protocol type='raw'/><target port='1'/></serial>"
        ),
        here="setsid python3 -m http.server 5557 --bind 127.0.0.1 >/dev/null 2>&1 & echo $! > /run/taken.pid; sleep 0.7",
        undo_here="kill $(cat /run/taken.pid)",
    ),
    Mutation(
        "listeners",
        "serial line's UDP on kvm1's address",
        device(
            "<serial type='udp'><source mode='bind' host='10.77.0.1' service='5558'/><source mode='connect' host='10.77.0.100' service='5559'/><target port='1'/></serial>"
        ),
    ),
    Mutation(
        "listeners",
        "channel's socket in a directory that kvm2 lacks",
        device(PORT.format("unix", f"mode='bind' path='{ONLY}/c.sock'")),
        here=f"mkdir -p {ONLY}; chmod 777 {ONLY}",
        undo_here=f"rm -rf {ONLY}",
    ),
    Mutation(
        "listeners",
        "channel to a socket that kvm2 lacks",
        device(PORT.format("unix", "mode='connect' path='/run/only-here.sock'")),
        here="setsid python3 -c 'import socket,time; s=socket.socket(socket.AF_UNIX); s.bind(\"/run/only-here.sock\"); s.listen(); time.sleep(600)' >/dev/null 2>&1 & echo $! > /run/taken.pid; sleep 0.7; chmod 777 /run/only-here.sock",
        undo_here="kill $(cat /run/taken.pid); rm -f /run/only-here.sock",
    ),
    Mutation(
        "filters",
        "nwfilter missing",
        swap(BRIDGE, f"{BRIDGE}<filterref filter='lab'/>"),
        here=nwfilter(FILTER),
        undo_here=NO_FILTER,
    ),
    Mutation(
        "filters",
        "nwfilter the same",
        swap(BRIDGE, f"{BRIDGE}<filterref filter='lab'/>"),
        here=nwfilter(FILTER),
        undo_here=NO_FILTER,
        there=nwfilter(FILTER),
        undo_there=NO_FILTER,
    ),
    Mutation(
        "filters",
        "nwfilter of that name wants a variable",
        swap(BRIDGE, f"{BRIDGE}<filterref filter='lab'/>"),
        here=nwfilter(FILTER),
        undo_here=NO_FILTER,
        there=nwfilter(ASKING),
        undo_there=NO_FILTER,
    ),
    Mutation(
        "filters",
        "nwfilter missing in a portgroup's network",
        on_lan("<source network='lan'/><filterref filter='lab'/>"),
        here=f"{network(LAN)}; {nwfilter(FILTER)}",
        undo_here=f"{GONE}; {NO_FILTER}",
        there=network(LAN),
        undo_there=GONE,
    ),
    Mutation("networks", "network missing", on_lan(), **lan_there(None)),
    Mutation("networks", "network the same", on_lan(), **lan_there(LAN)),
    Mutation("networks", "network not started", on_lan(), **lan_there(LAN, "virsh -q net-destroy lan")),
    Mutation(
        "networks",
        "network leads to a bridge without uplinks",
        on_lan(),
        **{
            **lan_there(LAN.replace("br0", "br1"), "ip link add br1 type bridge; ip link set br1 up"),
            "undo_there": f"{GONE}; ip link del br1",
        },
    ),
    Mutation("networks", "network's bridge is gone", on_lan(), **lan_there(LAN.replace("br0", "br1"))),
    Mutation(
        "networks",
        "network with NAT of its own",
        on_lan(),
        **lan_there(
            "<network><name>lan</name><forward mode='nat'/><bridge name='virbr8'/><ip address='192.168.88.1' netmask='255.255.255.0'/></network>"
        ),
    ),
    Mutation(
        "networks",
        "network without a bridge",
        on_lan(),
        **lan_there("<network><name>lan</name><forward mode='passthrough'><interface dev='br0'/></forward></network>"),
    ),
    Mutation(
        "networks",
        "portgroup missing",
        on_lan("<source network='lan' portgroup='web'/>"),
        here=network(LAN.replace("</network>", "<portgroup name='web'/></network>")),
        undo_here=GONE,
        there=network(LAN),
        undo_there=GONE,
    ),
    Mutation(
        "networks",
        "bridge missing",
        swap(BRIDGE, "<source bridge='br7'/>"),
        here="ip link add br7 type bridge; ip link set br7 up",
        undo_here="ip link del br7",
    ),
    Mutation(
        "networks",
        "bridge that is none",
        swap(BRIDGE, "<source bridge='br7'/>"),
        here="ip link add br7 type bridge; ip link set br7 up",
        undo_here="ip link del br7",
        there="ip link add br7 type veth peer name br7p; ip link set br7 up",
        undo_there="ip link del br7",
    ),
    Mutation(
        "networks",
        "bridge that is down",
        swap(BRIDGE, "<source bridge='br7'/>"),
        here="ip link add br7 type bridge; ip link set br7 up",
        undo_here="ip link del br7",
        there="ip link add br7 type bridge",
        undo_there="ip link del br7",
    ),
    Mutation(
        "networks",
        "tap's name taken",
        swap(BRIDGE, f"{BRIDGE}<target dev='tapweb1'/>"),
        there="ip link add tapweb1 type veth peer name tapweb1p",
        undo_there="ip link del tapweb1",
    ),
    Mutation("networks", "another MTU", swap(BRIDGE, f"{BRIDGE}<mtu size='1400'/>")),
    Mutation("networks", "isolated port", swap(BRIDGE, f"{BRIDGE}<port isolated='yes'/>")),
    Mutation("networks", "bandwidth", swap(BRIDGE, f"{BRIDGE}<bandwidth><outbound average='10000'/></bandwidth>")),
    Mutation(
        "files",
        "kernel missing",
        there="mv /var/lib/libvirt/boot /var/lib/libvirt/boot.away",
        undo_there="mv /var/lib/libvirt/boot.away /var/lib/libvirt/boot",
    ),
    Mutation(
        "files", "CD-ROM's image missing", device(CDROM.format(f"{IMAGES}/only.iso")), **only_here(f"{IMAGES}/only.iso")
    ),
    Mutation(
        "files",
        "CD-ROM's image is a directory",
        device(CDROM.format(f"{IMAGES}/only.iso")),
        **only_here(f"{IMAGES}/only.iso"),
        there=f"mkdir {IMAGES}/only.iso",
        undo_there=f"rmdir {IMAGES}/only.iso",
    ),
    Mutation(
        "files",
        "CD-ROM's image is a link to nothing",
        device(CDROM.format(f"{IMAGES}/only.iso")),
        **only_here(f"{IMAGES}/only.iso"),
        there=f"ln -s /nowhere {IMAGES}/only.iso",
        undo_there=f"rm {IMAGES}/only.iso",
    ),
    Mutation(
        "files",
        "read-only disk missing",
        device(RAW_READONLY.format(f"{IMAGES}/only.raw")),
        here=f"truncate -s 1M {IMAGES}/only.raw",
        undo_here=f"rm {IMAGES}/only.raw",
    ),
    Mutation(
        "files",
        "read-only disk the same",
        device(RAW_READONLY.format(f"{IMAGES}/only.raw")),
        here=f"truncate -s 1M {IMAGES}/only.raw",
        undo_here=f"rm {IMAGES}/only.raw",
        there=f"truncate -s 1M {IMAGES}/only.raw",
        undo_there=f"rm {IMAGES}/only.raw",
    ),
    Mutation(
        "files",
        "read-only qcow2 that is raw on kvm2",
        device(RAW_READONLY.format(f"{IMAGES}/only.raw").replace("type='raw'", "type='qcow2'")),
        here=f"qemu-img create -q -f qcow2 {IMAGES}/only.raw 1M",
        undo_here=f"rm {IMAGES}/only.raw",
        there=f"truncate -s 1M {IMAGES}/only.raw",
        undo_there=f"rm {IMAGES}/only.raw",
    ),
    Mutation(
        "files",
        "CD-ROM from a pool that kvm2 lacks",
        device(
            "<disk type='volume' device='cdrom'><driver name='qemu' type='raw'/><source pool='isos' volume='only.iso'/><target dev='hdc' bus='ide'/><readonly/></disk>"
        ),
        here=f'echo x > {IMAGES}/only.iso; echo "{POOL}" > /run/p.xml; virsh -q pool-define /run/p.xml; virsh -q pool-start isos; virsh -q pool-refresh isos',
        undo_here=f"virsh -q pool-destroy isos; virsh -q pool-undefine isos; rm -f {IMAGES}/only.iso",
    ),
    Mutation(
        "files",
        "emulator missing",
        swap("/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-only-here"),
        here="ln -s /usr/bin/qemu-system-x86_64 /usr/local/bin/qemu-only-here",
        undo_here="rm /usr/local/bin/qemu-only-here",
    ),
    Mutation(
        "files",
        "NIC's ROM missing",
        swap(BRIDGE, f"{BRIDGE}<rom file='{ONLY}/efi.rom'/>"),
        here=f"mkdir -p {ONLY}; cp /usr/lib/ipxe/qemu/efi-virtio.rom {ONLY}/efi.rom",
        undo_here=f"rm -rf {ONLY}",
    ),
    Mutation(
        "files",
        "firmware's file missing",
        swap("<features>", f"<sysinfo type='fwcfg'><entry name='opt/lab' file='{ONLY}/fw'/></sysinfo><features>"),
        **only_here(f"{ONLY}/fw"),
    ),
    Mutation(
        "files",
        "QEMU argument's file missing",
        swap(
            "<qemu:commandline>",
            f"<qemu:commandline><qemu:arg value='-fw_cfg'/><qemu:arg value='name=opt/lab,file={ONLY}/fw'/>",
        ),
        **only_here(f"{ONLY}/fw"),
    ),
    Mutation(
        "files",
        "serial line's file in a directory that kvm2 lacks",
        device(f"<serial type='file'><source path='{ONLY}/out'/><target port='1'/></serial>"),
        here=f"mkdir -p {ONLY}; chmod 777 {ONLY}",
        undo_here=f"rm -rf {ONLY}",
    ),
    Mutation(
        "files",
        "console's log in a directory that kvm2 lacks",
        swap("/var/log/libvirt/qemu/web1-console.log", f"{ONLY}/web1-console.log"),
        here=f"mkdir -p {ONLY}",
        undo_here=f"rm -rf {ONLY}",
    ),
    Mutation(
        "files",
        "random numbers from a device that kvm2 lacks",
        device("<rng model='virtio'><backend model='random'>/dev/only-here</backend></rng>"),
        here="mknod -m 666 /dev/only-here c 1 9",
        undo_here="rm /dev/only-here",
    ),
    Mutation("files", "preloaded library missing", swap("LD_PRELOAD", "LAB_SETTING")),
    Mutation(
        "files",
        "label of a user that kvm2 lacks",
        swap(CLOCK, f"{CLOCK}<seclabel type='static' model='dac' relabel='no'><label>onlyhere:kvm</label></seclabel>"),
        here="useradd -r -G kvm onlyhere; setfacl -m u:onlyhere:rw /var/lib/libvirt/images/web1-vda.qcow2 2>/dev/null; chmod 666 /var/lib/libvirt/images/web1-vda.qcow2",
        undo_here="userdel onlyhere",
    ),
    Mutation(
        "files",
        "UUID under another name",
        there="virsh -q define /run/other.xml",
        undo_there="virsh -q undefine web1-old",
    ),
    Mutation("CPU", "another model", swap(">qemu64<", ">Nehalem<")),
    Mutation(
        "CPU",
        "the host's model",
        swap("<cpu mode='custom' match='exact' check='none'>", "<cpu mode='host-model' check='partial'>"),
    ),
    Mutation(
        "CPU",
        "pinned to a processor that is not there",
        swap("<os>", "<cputune><vcpupin vcpu='0' cpuset='1'/></cputune><os>"),
    ),
    Mutation("CPU", "eight of them", swap(">1</vcpu>", ">8</vcpu>")),
    Mutation("CPU", "a machine type without a version", swap("hvm</type>", "hvm</type><boot dev='hd'/>")),
    Mutation(
        "memory", "more than is free", swap("<memory unit='KiB'>131072</memory>", "<memory unit='GiB'>900</memory>")
    ),
    Mutation("memory", "huge pages", swap("<vcpu", "<memoryBacking><hugepages/></memoryBacking><vcpu")),
    Mutation("memory", "locked", swap("<vcpu", "<memoryBacking><locked/></memoryBacking><vcpu")),
    Mutation(
        "memory",
        "in a file, shared",
        swap("<vcpu", "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking><vcpu"),
    ),
    Mutation(
        "memory", "all at once", swap("<vcpu", "<memoryBacking><allocation mode='immediate'/></memoryBacking><vcpu")
    ),
    Mutation(
        "memory",
        "on a node that kvm2 lacks",
        swap("<vcpu", "<numatune><memory mode='strict' nodeset='0'/></numatune><vcpu"),
    ),
]
