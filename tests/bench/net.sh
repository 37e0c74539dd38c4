#!/bin/sh
# net.sh PEERS MBIT SLOW CMD...: CMD in network namespaces of its own. The tracker's, which is CMD's, is 10.77.0.1; peer
# n is 10.77.1.n in namespace p<n>, behind a link of MBIT Mbit/s each way (tc tbf; 0: not limited). Peer SLOW has
# 1 Mbit/s (0: none has).
# All of it is in namespaces of this process, and gone with it. Needs root.
set -eu
if [ "${BENCH_NET:-}" != 1 ]; then
	BENCH_NET=1
	export BENCH_NET
	exec unshare --net --mount --propagation private "$0" "$@"
fi
peers=$1 mbit=$2 slow=$3
shift 3
mount -t tmpfs none /run
mkdir -p /run/netns
ip link set lo up
ip link add br0 type bridge
ip addr add 10.77.0.1/16 dev br0
ip link set br0 up
n=1
while [ "$n" -le "$peers" ]; do
	rate=$mbit
	[ "$n" -ne "$slow" ] || rate=1
	ip netns add "p$n"
	ip link add "v$n" type veth peer name eth0 netns "p$n"
	ip link set "v$n" master br0 up
	ip -n "p$n" link set lo up
	ip -n "p$n" addr add "10.77.1.$n/16" dev eth0
	ip -n "p$n" link set eth0 up
	[ "$rate" -eq 0 ] || tc qdisc add dev "v$n" root tbf rate "${rate}mbit" burst 64kb latency 50ms
	[ "$rate" -eq 0 ] || tc -n "p$n" qdisc add dev eth0 root tbf rate "${rate}mbit" burst 64kb latency 50ms
	n=$((n + 1))
done
exec "$@"
