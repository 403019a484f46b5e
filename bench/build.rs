//! Builds the kernel programs of the benchmark, which the binary embeds.

#[path = "../redirector-ebpf/object.rs"]
mod object;

fn main() {
    object::build("outgate-bench-xdp");
}
