#!/bin/bash
# throwaway_root.sh PACKAGE.deb CGROUP: this machine's root file system as an overlay whose changes
# are in memory, with the package installed, and systemd as its first process. Everything is gone
# when the script is killed, but for the cgroup. test_package.py runs it in namespaces of its own
# (mounts, processes, network, IPC, host name).
set -e
package=$1 cgroup=$2

# A cgroup below ours, so that this systemd has nothing to do with the machine's.
place=$(mktemp -d)
mount -t cgroup2 cgroup2 "$place"
mkdir "$place/$cgroup"
echo $$ >"$place/$cgroup/cgroup.procs"
umount "$place"

mount -t tmpfs tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" overlay "$place/root"
cd "$place/root"
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
  touch "dev/$node"
  mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts devpts dev/pts
ln -s pts/ptmx dev/ptmx # as PrivateDevices= of a unit expects it
ln -s /proc/self/fd dev/fd
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t bpf -o mode=0700 bpf sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
cat "$package" >bulkhead.deb

chroot . dpkg -i /bulkhead.deb

# Of this machine's services none but the journal.
for unit in getty.target systemd-udevd.service systemd-udev-trigger.service; do
  ln -sf /dev/null "etc/systemd/system/$unit"
done
cat >etc/systemd/system/throwaway.target <<UNIT
[Unit]
Requires=basic.target systemd-journald.service
After=basic.target
AllowIsolate=yes
UNIT
rm -f usr/sbin/policy-rc.d # which may forbid packages to stop services
: >etc/fstab
: >etc/machine-id
exec unshare --cgroup sh -c 'mount -t cgroup2 cgroup2 sys/fs/cgroup &&
  exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . /lib/systemd/systemd --unit=throwaway.target'
