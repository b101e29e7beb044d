#!/bin/bash
# enter.sh FOLDER: the first process of a node. Runs in mount, PID and network namespaces of its own, gives the
# node the folders that containerd, the CNI plugins and the kubelet write to, says so, and reaps orphans until it is killed.
set -euo pipefail
folder=$1

mount --make-rshared / # the kubelet's mounts must reach the containers
mount -t tmpfs -o mode=755 tmpfs /run
for place in /var/lib/containerd /var/lib/kubelet /var/lib/cni /etc/cni /etc/containerd /var/log/pods \
    /var/log/containers /opt/cni /usr/libexec/kubernetes; do
    mkdir -p "$folder$place" "$place"
    mount --bind "$folder$place" "$place"
done

# The kubelet wants these values and would set them for the whole machine. Here it reads what it wants.
mkdir -p /run/sysctl
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=/run/sysctl/$(tr / . <<<"${setting%=*}")
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
done

# With version 1 and 2 side by side crun gives up; what is on version 2 here is not needed.
if mountpoint -q /sys/fs/cgroup/unified; then
    umount /sys/fs/cgroup/unified
fi

touch "$folder/entered"
while :; do
    sleep 3600 &
    wait $! || :
done
