//! Builds the kernel programs, which the binary embeds: the edge's, and those of a relay's host.

#[path = "../redirector-ebpf/object.rs"]
mod object;

fn main() {
    object::build("outgate-xdp");
    object::build("outgate-tunnel");
    // At a fixed address the loader has no 43,000 pointers to set, which took a quarter of the time that a command takes
    // before it does anything. What listens, `outgated`, stays at a random one.
    println!("cargo::rustc-link-arg-bin=outgate=-no-pie");
}
