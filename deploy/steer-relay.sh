#!/bin/sh
# Prepares a relay host for pools with via = "steer", or undoes it:
#
#   steer-relay.sh up INTERFACE       INTERFACE leads to the edge, and so does the default route
#   steer-relay.sh down INTERFACE
#
# What the edge steers here is addressed to somebody else: a customer's connection to a mail server, and the
# mail server's answers to a connection of ours that leaves from the customer's address; and ICMP errors about
# either. Three rules hand exactly these to the local stack, whose transparent sockets take them. They must not
# be wider: with a bare "iif INTERFACE lookup 100" the host would answer ARP for the whole network.
#
# At the edge reverse path filtering must be off on the relay's interface: customers' addresses come from there.
#
# Needs root and iproute2 4.17 or later. Running it twice changes nothing. TABLE and PREFERENCE choose other numbers.
set -eu

usage() {
    echo "usage: $0 up|down INTERFACE" >&2
    exit 64
}

[ $# -eq 2 ] || usage
action=$1
interface=$2
table=${TABLE:-100}
preference=${PREFERENCE:-100}

# The rules of a family, one a line.
rules() {
    for port in dport sport; do
        echo "pref $preference iif $interface ipproto tcp $port 25 lookup $table"
    done
    case $1 in
        -4) echo "pref $preference iif $interface ipproto icmp lookup $table" ;;
        -6) echo "pref $preference iif $interface ipproto ipv6-icmp lookup $table" ;;
    esac
}

# Of a rule that is to be split into words.
# shellcheck disable=SC2086
down() {
    for family in -4 -6; do
        rules "$family" | while read -r rule; do
            # As often as it is there; the last attempt says that it is not.
            while ip "$family" rule del $rule 2>/dev/null; do :; done
        done
        ip "$family" route flush table "$table" 2>/dev/null || true
    done
}

# shellcheck disable=SC2086
up() {
    for family in -4 -6; do
        ip "$family" route add local default dev lo table "$table"
        rules "$family" | while read -r rule; do
            ip "$family" rule add $rule || exit 1
        done
    done
    # A second guard for the ARP of addresses that are not on this very interface.
    sysctl -q -w "net.ipv4.conf.$interface.arp_ignore=1"
    # The greater of this and net.ipv4.conf.all.rp_filter counts. Strict filtering is fine as long as
    # the default route leads to the edge.
    sysctl -q -w "net.ipv4.conf.$interface.rp_filter=0"
}

case $action in
    up) down; up ;;
    down) down ;;
    *) usage ;;
esac
