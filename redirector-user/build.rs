//! Builds the kernel programs, which the binary embeds: the edge's, and those of a relay's host.

#[path = "../redirector-ebpf/object.rs"]
mod object;

fn main() {
    object::build("outgate-xdp");
    object::build("outgate-tunnel");
}
