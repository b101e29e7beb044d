#!/bin/sh
# First process of a guest. Its root is the host's, read-only, by hostfs; this lays a tmpfs over it
# (and packages unpacked into FERRULE_LAYERS between the two), so that everything in the guest
# is writable and nothing reaches the host, and hands over to the agent.
# The kernel passes unknown KEY=VALUE arguments of its command line as the environment.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs -o mode=755 tmpfs /mnt || exit 1
mkdir -p /mnt/upper /mnt/work /mnt/root
insmod "$FERRULE_MODULES/kernel/fs/overlayfs/overlay.ko" || exit 1
lower=/
count=0
IFS=:
for layer in $FERRULE_LAYERS; do # each by a mount of its own: layers must not lie in one another
    count=$((count + 1))
    mkdir -p "/mnt/layer$count"
    mount -t hostfs -o "$layer" none "/mnt/layer$count" || exit 1
    lower=/mnt/layer$count:$lower
done
unset IFS
mount -t overlay -o "lowerdir=$lower,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root || exit 1
cd /mnt/root || exit 1
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs tmpfs run
cp "$FERRULE_AGENT" run/guest_agent.py || exit 1 # the checkout may lie in /tmp
mount -t tmpfs tmpfs tmp
mkdir -p run/lock var/run lib/modules
rm -rf "lib/modules/$(uname -r)"
ln -s "$FERRULE_MODULES" "lib/modules/$(uname -r)"
pivot_root . mnt || exit 1
cd /
hostname "$FERRULE_HOSTNAME"
ip link set lo up
# The shell stays the first process and collects orphans; the agent's children are its own.
"$FERRULE_PYTHON" -I -S /run/guest_agent.py /dev/ttyS0 </dev/null >/dev/console 2>&1 &
wait
