//! What the fuzzer has found on the host, before the program in the kernel.

use redirector_common::{
    abi::Role,
    check::{CORPUS, case, unhex},
};

use super::{Hook, Kernel, compare, monotonic_s};

#[test]
fn the_kernel_answers_the_fuzzers_corpus_as_the_host_does() {
    for hook in Hook::ALL {
        let mut run = 0;
        for role in [Role::Customer, Role::Uplink, Role::Relay] {
            let mut kernel = Kernel::load(hook, Some(role), false);
            for line in CORPUS.lines() {
                run += usize::from(replay(hook, &mut kernel, role, line));
            }
        }
        assert_eq!(run, CORPUS.lines().count(), "each has one of the roles");
    }
}

/// Compares one input on host and kernel, if the hook takes it; `false` = it has another role.
#[track_caller]
fn replay(hook: Hook, kernel: &mut Kernel, role: Role, line: &str) -> bool {
    let input = unhex(line);
    // As with the golden cases: both sides must stand in one second.
    for _ in 0..100 {
        let now_s = monotonic_s();
        let case = case(&input, now_s).expect("the corpus is made of cases");
        if case.role != Some(role) {
            return false;
        }
        if !hook.takes(&case.frame) {
            return true;
        }
        kernel.fill(&case.tables);
        let ran = kernel.run(&case.frame);
        if now_s == monotonic_s() {
            compare(hook, line, &case.run(), &ran);
            return true;
        }
    }
    panic!("a case never ends in the second that it began in");
}
