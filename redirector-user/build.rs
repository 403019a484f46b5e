//! Builds the kernel program, which the binary embeds.

#[path = "../redirector-ebpf/object.rs"]
mod object;

fn main() {
    object::build("outgate-xdp");
}
